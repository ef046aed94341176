"""The inputs and outputs that the contract prescribes for the graph of a role.

``edge_daemon.contract.roles`` says it in words; this says it as shapes, so that an exported graph
is held against the contract by name, type and size before it is written, and again whenever a
bundle is verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import onnx

from edge_daemon.contract.roles import ClassifierRole, DetectorRole
from exporter.errors import ExportError

RoleSpec: TypeAlias = DetectorRole | ClassifierRole

FREE_BATCH = "N"
"""Name of the batch dimension where any batch may be run."""


@dataclass(frozen=True)
class Tensor:
    """A graph input or output: name, ONNX element type, sizes (None: any)."""

    name: str
    element_type: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join(FREE_BATCH if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.element_type}[{sizes}]"


@dataclass(frozen=True)
class Signature:
    """What goes into the graph of a role and what comes out, in order."""

    input: Tensor
    outputs: tuple[Tensor, ...]

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(output.name for output in self.outputs)

    @property
    def free_batch(self) -> bool:
        """Whether any number of pictures may be given at once."""
        return self.input.shape[0] is None


def signature_of(spec: RoleSpec) -> Signature:
    """The signature that the contract prescribes for ``spec``."""
    if isinstance(spec, ClassifierRole):
        crops = Tensor("crops", "uint8", (None, spec.size, spec.size, 3))
        logits = Tensor("logits", "float32", (None, len(spec.classes)))
        novelty = Tensor("novelty", "float32", (None,))
        return Signature(crops, (logits,) if spec.novelty_limit is None else (logits, novelty))
    image = Tensor("image", "uint8", (1, spec.input_height, spec.input_width, 3))
    outputs = []
    for stride in spec.strides:
        grid = (spec.input_height // stride, spec.input_width // stride)
        outputs.append(Tensor(f"scores_{stride}", "float32", (1, len(spec.kinds), *grid)))
        outputs.append(Tensor(f"boxes_{stride}", "float32", (1, 4, *grid)))
    return Signature(image, tuple(outputs))


def check_signature(model: onnx.ModelProto, spec: RoleSpec, where: str) -> None:
    """Hold a graph against the contract.

    Raises:
        ExportError: naming the first input or output that differs; ``where`` says whose graph.
    """
    expected = signature_of(spec)
    inputs = tuple(_tensor(value) for value in model.graph.input)
    if inputs != (expected.input,):
        raise ExportError(
            f"{where} takes {', '.join(map(str, inputs))}; the contract wants {expected.input}"
        )
    outputs = tuple(_tensor(value) for value in model.graph.output)
    if sorted(map(str, outputs)) != sorted(map(str, expected.outputs)):
        raise ExportError(
            f"{where} returns {', '.join(map(str, outputs))}; "
            f"the contract wants {', '.join(map(str, expected.outputs))}"
        )


def check_input_is_cast(model: onnx.ModelProto, where: str) -> None:
    """Hold a graph against what TensorRT does with uint8: it casts it, and nothing else.

    Raises:
        ExportError: naming the operator that takes the input as it is.
    """
    name = model.graph.input[0].name
    takers = [node.op_type for node in model.graph.node if name in node.input]
    others = [op_type for op_type in takers if op_type != "Cast"]
    if others:
        raise ExportError(
            f"{where} gives its uint8 input {name} to {others[0]}; TensorRT can only cast it: "
            "cast to float first, then lay out and cut"
        )


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    element_type = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    shape = tuple(
        dimension.dim_value if dimension.HasField("dim_value") else None
        for dimension in kind.shape.dim
    )
    return Tensor(value.name, element_type, shape)
