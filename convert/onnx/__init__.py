"""ONNX models in, by X2Paddle; and networks out, written as ONNX."""
