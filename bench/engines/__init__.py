"""The engines and precisions that a model can be run with, beside each other and onnxruntime."""
