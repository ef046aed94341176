"""What an ONNX operator costs: multiplications, a pass over its data, or nothing.

A kernel of a GPU is one pass over memory. Which operators start one, which ride along in the kernel
before them, and which vanish when an engine is built, decides how many bytes a network moves.
"""

from __future__ import annotations

from math import prod
from typing import Any

import onnx

Shape = tuple[int, ...]


def _named(names: str) -> frozenset[str]:
    return frozenset(names.split())


MATRIX = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators that multiply and accumulate."""

POINTWISE = _named(
    "Abs Add And BatchNormalization Cast Ceil Clip Div Elu Equal Erf Exp Floor Gelu Greater "
    "GreaterOrEqual HardSigmoid HardSwish LeakyRelu Less LessOrEqual Log Max Min Mod Mul Neg Not "
    "Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Softplus Sqrt Sub Tanh Where"
)
"""One number out for one number in: they ride along in the kernel that made their input."""

REDUCING = _named(
    "GlobalAveragePool GlobalMaxPool ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare"
)
"""Many numbers become one: they end a chain of pointwise operators in the same kernel."""

POOLING = frozenset({"AveragePool", "MaxPool"})

MOVING = _named(
    "ArgMax ArgMin Concat DepthToSpace Expand Gather GatherElements GatherND InstanceNormalization "
    "LayerNormalization LogSoftmax Pad Resize Slice Softmax SpaceToDepth Split Tile TopK "
    "Transpose"
)
"""Counted by the bytes they move alone: next to them, their arithmetic is nothing."""

SLICING = frozenset({"Gather", "GatherElements", "GatherND", "Slice", "Split"})
"""Of their input they read what they hand on."""

VIEWS = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""The same bytes under another shape."""

CONSTANT = frozenset({"Constant", "ConstantOfShape", "Shape", "Size"})
"""Known when the engine is built, shapes being known."""

QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
"""They have no kernel of their own: what was quantised is written and read as bytes."""

KNOWN = MATRIX | POINTWISE | REDUCING | POOLING | MOVING | VIEWS | CONSTANT | {QUANTISE, DEQUANTISE}


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """An attribute of ``node``, or ``default``."""
    for one in node.attribute:
        if one.name == name:
            return onnx.helper.get_attribute_value(one)
    return default


def multiply_accumulates(node: onnx.NodeProto, first: Shape, second: Shape, out: Shape) -> int:
    """Multiply-accumulates of a :data:`MATRIX` node.

    Args:
        node: convolution or product.
        first: shape of its first input: the picture ``[N, C, H, W]`` or the left matrix.
        second: shape of its second: the kernel ``[O, C / groups, h, w]`` or the right matrix.
        out: shape of its output.
    """
    if node.op_type == "Conv":
        return prod(out) * prod(second[1:])
    if node.op_type == "Gemm":
        return prod(out) * first[0 if attribute(node, "transA", 0) else 1]
    return prod(out) * first[-1]


def is_depthwise(node: onnx.NodeProto, kernel: Shape) -> bool:
    """Whether each channel of a convolution is filtered by itself.

    There is no matrix in it that a tensor core could take: seen as one, it is diagonal, and at most
    one number in eight of the fragments that a tensor core multiplies is not zero. NVIDIA's
    kernels for it do not use them (the comments on github.com/pytorch/pytorch/pull/22302).
    """
    return node.op_type == "Conv" and attribute(node, "group", 1) > 1 and kernel[1] == 1


def pass_operations(node: onnx.NodeProto, inputs: int, outputs: int) -> int:
    """Operations of a node that multiplies no matrices, of so many numbers in and out."""
    if node.op_type in POINTWISE:
        return outputs
    if node.op_type in REDUCING:
        return inputs
    if node.op_type in POOLING:
        return outputs * prod(attribute(node, "kernel_shape", [1]))
    return 0
