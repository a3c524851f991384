"""Reading networks from ONNX files."""

from fiberscope.readers.onnx.reader import load_onnx

__all__ = ["load_onnx"]
