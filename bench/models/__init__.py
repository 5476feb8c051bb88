"""Converted models against onnxruntime, which gets them written back as ONNX."""
