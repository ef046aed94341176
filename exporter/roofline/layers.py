"""Operations and bytes of every layer of an ONNX graph, fused as an engine fuses it.

A layer here is what becomes one kernel: a convolution or product with all that can ride along
behind it (normalisation, activation, the sum of a residual branch), or a chain of pointwise
operators with the reduction that ends it. Between layers each tensor is written once and read once
by every layer that needs it; weights are read once a batch. An engine fuses no better than that, so
the bytes are a lower bound as long as tensors travel through memory. What small tensors save by
staying in the cache is not counted.

Element sizes are those of the graph, because the daemon's engines are strongly typed: int8 between
quantise and dequantise nodes, float16 or float32 elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import onnx

from exporter.errors import ExportError
from exporter.roofline import operators
from exporter.roofline.network import ELEMENT_BYTES, Arithmetic, Layer, Network
from exporter.roofline.operators import DEQUANTISE, QUANTISE, Shape

_FLOAT, _FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
_BYTE_TYPES = frozenset({onnx.TensorProto.INT8, onnx.TensorProto.UINT8})


def count_layers(
    model: onnx.ModelProto,
    where: str,
    *,
    batch: int = 1,
    float32: Arithmetic = "fp32",
) -> Network:
    """Count a graph.

    Args:
        model: the graph; it is not changed, and its weights are not read.
        where: whose graph it is, for errors.
        batch: pictures at once.
        float32: what float32 tensors are counted as: ``fp32`` or ``tf32`` as they are, ``fp16`` or
            ``int8`` as if the graph were of that precision throughout.

    Raises:
        ExportError: an operator whose cost is not known, naming it and its layer; a size that
            cannot be inferred; or a graph that does not take this batch.
    """
    sized = _with_batch(model, batch, where)
    return _Counter(sized.graph, where, float32).count(batch)


def _with_batch(model: onnx.ModelProto, batch: int, where: str) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    weights = {tensor.name for tensor in copy.graph.initializer}
    for value in copy.graph.input:
        if value.name in weights or not value.type.tensor_type.shape.dim:
            continue
        first = value.type.tensor_type.shape.dim[0]
        if first.HasField("dim_value") and first.dim_value != batch:
            raise ExportError(
                f"{where} takes batches of {first.dim_value}, not of {batch}: count it so"
            )
        first.dim_value = batch
    try:
        return onnx.shape_inference.infer_shapes(copy, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        cause = " ".join(str(error).split())[:300]
        raise ExportError(f"the sizes in {where} contradict each other: {cause}") from error


@dataclass
class _Group:
    """Nodes that become one kernel, while they are gathered."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    reads: dict[str, int] = field(default_factory=dict)
    """Tensor -> how many of its elements."""
    constants: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)

    @property
    def leader(self) -> onnx.NodeProto:
        multiplying = [node for node in self.nodes if node.op_type in operators.MATRIX]
        return (multiplying or self.nodes)[0]

    @property
    def multiplies(self) -> bool:
        return self.leader.op_type in operators.MATRIX


class _Counter:
    """Walks one graph whose every size is known."""

    def __init__(self, graph: onnx.GraphProto, where: str, float32: Arithmetic) -> None:
        self._graph, self._where, self._float32 = graph, where, float32
        self._shape: dict[str, Shape] = {}
        self._type: dict[str, int] = {}
        for value in [*graph.input, *graph.value_info, *graph.output]:
            kind = value.type.tensor_type
            self._type[value.name] = kind.elem_type
            if all(size.HasField("dim_value") for size in kind.shape.dim):
                self._shape[value.name] = tuple(size.dim_value for size in kind.shape.dim)
        for tensor in graph.initializer:
            self._shape[tensor.name] = tuple(tensor.dims)
            self._type[tensor.name] = tensor.data_type
        self._constant_bytes = {
            tensor.name: prod(tensor.dims) * self._element_bytes(tensor.data_type)
            for tensor in graph.initializer
        }
        self._same = self._aliases()
        self._groups: list[_Group] = []
        self._maker: dict[str, int] = {}

    def count(self, batch: int) -> Network:
        users = self._users()
        for node in self._costly_nodes():
            self._place(node, users)
        kept = {self._root(value.name) for value in self._graph.output}
        for group in self._groups:
            kept.update(group.reads)
        layers = tuple(self._layer(group, kept) for group in self._groups)
        weights = set[str]().union(*(group.constants for group in self._groups))
        boundary = {self._root(value.name) for value in self._graph.output}
        boundary |= {value.name for value in self._graph.input} - set(self._constant_bytes)
        return Network(
            batch=batch,
            layers=layers,
            boundary_bytes=sum(self._constant_bytes[name] for name in weights)
            + sum(self._bytes(name) for name in boundary),
        )

    def _aliases(self) -> dict[str, str]:
        """What holds the same bytes; on the way, what is known when the engine is built."""
        same: dict[str, str] = {}
        for node in self._graph.node:
            inputs = [name for name in node.input if name]
            if node.op_type not in operators.KNOWN:
                raise ExportError(
                    f"{self._where}: what operator {node.op_type} costs is not known (layer "
                    f"{node.name or node.output[0]}): add it to exporter/roofline/operators.py"
                )
            if node.op_type in operators.CONSTANT or (
                inputs and all(name in self._constant_bytes for name in inputs)
            ):
                for output in node.output:
                    self._constant_bytes[output] = self._folded_bytes(node, output)
                if node.op_type in (QUANTISE, DEQUANTISE):
                    self._type[node.output[0]] = onnx.TensorProto.INT8
            elif node.op_type in operators.VIEWS or node.op_type == DEQUANTISE:
                same[node.output[0]] = same.get(inputs[0], inputs[0])
        return same

    def _folded_bytes(self, node: onnx.NodeProto, output: str) -> int:
        """A quantised weight stays bytes, whatever it becomes; repetition costs nothing."""
        if node.op_type in (QUANTISE, DEQUANTISE):
            return prod(self._shape_of(node.input[0]))
        if node.op_type == "Expand":
            return self._constant_bytes[node.input[0]]
        if output not in self._shape:
            return 0  # a shape, an axis: a handful of numbers
        return prod(self._shape[output]) * self._element_bytes(self._type[output])

    def _costly_nodes(self) -> list[onnx.NodeProto]:
        return [
            node
            for node in self._graph.node
            if node.output[0] not in self._constant_bytes and node.output[0] not in self._same
        ]

    def _users(self) -> dict[str, int]:
        """How many readers each tensor has; a graph output has one more, who never rides along."""
        users: dict[str, int] = {}
        for node in self._costly_nodes():
            if node.op_type != QUANTISE:
                for name in {self._root(name) for name in node.input if name}:
                    users[name] = users.get(name, 0) + 1
        for value in self._graph.output:
            users[self._root(value.name)] = users.get(self._root(value.name), 0) + 1
        return users

    def _place(self, node: onnx.NodeProto, users: dict[str, int]) -> None:
        """Let ``node`` ride along in the last kernel with an input for it alone, or start one."""
        roots = [self._root(name) for name in node.input if name]
        tensors = list(dict.fromkeys(name for name in roots if name not in self._constant_bytes))
        hosts = [
            self._maker[name]
            for name in tensors
            if name in self._maker and (node.op_type == QUANTISE or users[name] == 1)
        ]
        if node.op_type in operators.REDUCING:
            hosts = [host for host in hosts if not self._groups[host].multiplies]
        elif node.op_type not in operators.POINTWISE and node.op_type != QUANTISE:
            hosts = []
        if not hosts:
            hosts = [len(self._groups)]
            self._groups.append(_Group())
        group = self._groups[max(hosts)]
        group.nodes.append(node)
        for name in tensors:
            if name not in group.made:
                elements = prod(self._shape_of(name))
                if node.op_type in operators.SLICING:
                    elements = min(elements, sum(prod(self._shape_of(o)) for o in node.output))
                group.reads[name] = max(group.reads.get(name, 0), elements)
        group.constants.update(name for name in roots if name in self._constant_bytes)
        for output in node.output:
            if output:
                group.made.add(output)
                self._maker[output] = max(hosts)

    def _layer(self, group: _Group, kept: set[str]) -> Layer:
        tensor_macs = cuda_macs = passes = 0
        for node in group.nodes:
            if node.op_type in operators.MATRIX:
                first, second = (self._shape_of(name) for name in node.input[:2])
                macs = operators.multiply_accumulates(
                    node, first, second, self._shape_of(node.output[0])
                )
                if operators.is_depthwise(node, second):
                    cuda_macs += macs
                else:
                    tensor_macs += macs
            else:
                passes += operators.pass_operations(
                    node, prod(self._shape_of(node.input[0])), prod(self._shape_of(node.output[0]))
                )
        return Layer(
            name=group.leader.name or group.leader.output[0],
            operators=tuple(node.op_type for node in group.nodes if node.op_type != QUANTISE),
            arithmetic=self._arithmetic(group.leader),
            tensor_macs=tensor_macs,
            cuda_macs=cuda_macs,
            pass_operations=passes,
            weight_bytes=sum(self._constant_bytes[name] for name in group.constants),
            read_bytes=sum(
                count * self._element_bytes(self._type_of(name))
                for name, count in group.reads.items()
            ),
            written_bytes=sum(self._bytes(name) for name in group.made & kept),
        )

    def _arithmetic(self, leader: onnx.NodeProto) -> Arithmetic:
        multiplies = leader.op_type in operators.MATRIX
        if multiplies and _BYTE_TYPES.issuperset(
            self._type_of(self._root(name)) for name in leader.input[:2]
        ):
            return "int8"
        return "fp16" if self._type_of(leader.output[0]) == _FLOAT16 else self._float32

    def _root(self, name: str) -> str:
        return self._same.get(name, name)

    def _shape_of(self, name: str) -> Shape:
        if name not in self._shape:
            raise ExportError(f"{self._where}: the size of {name} cannot be inferred")
        return self._shape[name]

    def _type_of(self, name: str) -> int:
        if name not in self._type:
            raise ExportError(f"{self._where}: the type of {name} cannot be inferred")
        return self._type[name]

    def _bytes(self, name: str) -> int:
        return prod(self._shape_of(name)) * self._element_bytes(self._type_of(name))

    def _element_bytes(self, kind: int) -> int:
        if kind == _FLOAT:
            return ELEMENT_BYTES[self._float32]
        return onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
