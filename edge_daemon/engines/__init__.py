"""Where networks run: one Protocol; OpenVINO and ONNX Runtime."""
