"""ONNX models in, by X2Paddle, and graphs out, for benchmarks."""
