"""Models to ONNX, proven before they ship, written as bundles."""
