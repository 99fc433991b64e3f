"""ONNX Runtime inference server."""
