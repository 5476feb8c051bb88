"""ONNX models in, by X2Paddle."""
