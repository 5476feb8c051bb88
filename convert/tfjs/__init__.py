"""TensorFlow.js models: their graph and weights, and dlib's network in that format."""
