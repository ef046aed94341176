"""An exported graph with float16 arithmetic, as an explicit, strongly typed graph.

TensorRT 11 has no precision flags any more: what shall be computed in float16 must be float16 in
the graph. Inputs and outputs keep their types. What a graph answers with stays in float32 wherever
it is a sum, a spread or a logarithm of features (see ``answering_nodes``): those are
small differences of large numbers. Of an INT8 graph it is all that is not quantised.

The rewriting is ONNX Runtime's; it wraps every node that stays in float32 into casts of its own, so
that float32 would travel between two such nodes, and from the last one to the answer, as float16.
Those pairs are taken out again.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from exporter.errors import ExportError
from exporter.graphs.rewriting import answering_nodes, drop_unread, write_graph

_FLOAT, _FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
_ACTIVATIONS = frozenset({"Clip", "Relu"})
_MOVING = frozenset(
    {"Cast", "Concat", "Constant", "Expand", "Gather", "Reshape", "Shape", "Slice", "Split"}
    | {"Squeeze", "Transpose", "Unsqueeze", "QuantizeLinear", "DequantizeLinear"}
)
"""Operators that round nothing but what they are given."""
_IN_FLOAT16 = _ACTIVATIONS | {"Conv"}
"""Operators that may be float16 although what they make is the answer, or is read by nobody else:
convolutions and their activations."""


@dataclass(frozen=True, eq=False)
class Halvable:
    """A float32 or INT8 graph, of which any layers may be written in float16.

    A layer is a node that computes, with what clips its sums.
    """

    name: str
    """Of its file."""
    float32: onnx.ModelProto
    kept: frozenset[str]
    """Names of the nodes that are never float16."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the layers, from the input of the graph on."""
        clips = {clip.name for node in self._computing() if (clip := self._clip_of(node))}
        return tuple(node.name for node in self._computing() if node.name not in clips)

    def mixed(self, in_float: Collection[str]) -> onnx.ModelProto:
        """The graph in float16, the layers ``in_float`` in float32.

        Raises:
            ExportError: the graph cannot be rewritten, or one of them is none of :attr:`nodes`.
        """
        from onnxruntime.transformers.float16 import convert_float_to_float16

        unknown = sorted(set(in_float) - set(self.nodes))
        if unknown:
            raise ExportError(f"{unknown[0]} is no layer of {self.name} that can be float16")
        kept = sorted(self.kept.union(*map(self._layer, in_float)))
        model = copy.deepcopy(self.float32)
        try:
            halved = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
            _without_detours(halved.graph)
            _in_order(halved.graph)
            _say_precision(halved, self.float32)
        except Exception as error:  # ONNX Runtime and onnx raise what the operator at fault raises
            cause = " ".join(str(error).split())[:300]
            raise ExportError(f"{self.name} cannot be written in float16: {cause}") from error
        return halved

    def _computing(self) -> Iterator[onnx.NodeProto]:
        for node in self.float32.graph.node:
            if node.name not in self.kept and node.op_type not in _MOVING:
                yield node

    def _layer(self, name: str) -> set[str]:
        node = next(one for one in self.float32.graph.node if one.name == name)
        clip = self._clip_of(node)
        return {name} if clip is None else {name, clip.name}

    def _clip_of(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """What clips the sums of a convolution, where nobody else reads them."""
        if node.op_type != "Conv":
            return None
        readers = [one for one in self.float32.graph.node if node.output[0] in one.input]
        one_clips = len(readers) == 1 and readers[0].op_type in _ACTIVATIONS
        return readers[0] if one_clips else None


def halvable(source: Path, *, keep_answers: bool) -> Halvable:
    """Read ``source``, a float32 or INT8 graph as the exporter writes it.

    ``keep_answers``: leave in float32 what no convolution follows. A detector's scores and sides
    may be float16; a classifier's statistics over a cell may not.
    """
    model = onnx.load(source)
    return Halvable(source.name, model, _answers(model.graph) if keep_answers else frozenset())


def halve(source: Path, file: Path, *, keep_answers: bool) -> None:
    """Write ``source`` to ``file`` with float16 wherever :func:`halvable` allows it.

    ``file`` is replaced only when the graph is sound.

    Raises:
        ExportError: the graph cannot be rewritten.
    """
    write_graph(halvable(source, keep_answers=keep_answers).mixed(()), file)


def _answers(graph: onnx.GraphProto) -> frozenset[str]:
    answering = answering_nodes(graph)
    return frozenset(
        node.name
        for node in graph.node
        if node.name in answering and node.op_type not in _IN_FLOAT16
    )


def _without_detours(graph: onnx.GraphProto) -> None:
    """Take out casts to float16 and back: what is float32 on both sides stays float32 between."""
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    direct: dict[str, str] = {}
    for output, node in casts.items():
        before = casts.get(node.input[0])
        if _target(node) == _FLOAT and before is not None and _target(before) == _FLOAT16:
            direct[output] = before.input[0]
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = _origin(name, direct)
    for answer in {output.name for output in graph.output} & set(direct):
        _rename(graph, _origin(answer, direct), answer)
        graph.node.remove(casts[answer])
    drop_unread(graph)


def _origin(name: str, direct: Mapping[str, str]) -> str:
    while name in direct:
        name = direct[name]
    return name


def _rename(graph: onnx.GraphProto, name: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, one in enumerate(names):
                if one == name:
                    names[index] = new


def _in_order(graph: onnx.GraphProto) -> None:
    """Every node behind those it reads from, otherwise as they were: ONNX asks for that."""
    known = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    waiting, ordered = list(graph.node), []
    while waiting:
        later = []
        for node in waiting:
            if known.issuperset(node.input):
                ordered.append(node)
                known.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise ValueError(f"nothing makes the inputs of {waiting[0].name}")
        waiting = later
    del graph.node[:]
    graph.node.extend(ordered)


def _target(node: onnx.NodeProto) -> int:
    return next(int(attribute.i) for attribute in node.attribute if attribute.name == "to")


def _say_precision(model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """The metadata of ``source``; a float32 graph is called float16 now."""
    model.producer_name, model.producer_version = source.producer_name, source.producer_version
    model.ClearField("metadata_props")
    for entry in source.metadata_props:
        value = "fp16" if entry.value == "fp32" else entry.value
        model.metadata_props.add(key=entry.key, value=value)
    model.ClearField("doc_string")
    del model.graph.value_info[:]
