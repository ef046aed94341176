"""The words a user may say for an engine and a precision. Light: the command line imports it."""

from __future__ import annotations

from typing import Literal, TypeAlias

EngineName: TypeAlias = Literal["openvino", "onnxruntime"]
EngineChoice: TypeAlias = Literal["auto", "openvino", "onnxruntime"]
PrecisionChoice: TypeAlias = Literal["auto", "fp32", "fp16", "int8"]
