"""The words a user may say for an engine and a precision. Light: the command line imports it."""

from __future__ import annotations

from typing import Literal, TypeAlias

NvidiaLibraryName: TypeAlias = Literal["tensorrt", "tensorrt_rtx"]
"""TensorRT, and TensorRT for RTX, which has the same API: engines on a GPU."""
EngineName: TypeAlias = Literal["tensorrt", "tensorrt_rtx", "openvino", "onnxruntime"]
"""Fastest first."""
EngineChoice: TypeAlias = Literal["auto", "tensorrt", "tensorrt_rtx", "openvino", "onnxruntime"]
RoleChoice: TypeAlias = Literal["detector", "classifier", "second_opinion"]
PrecisionChoice: TypeAlias = Literal["auto", "fp32", "fp16", "int8"]
