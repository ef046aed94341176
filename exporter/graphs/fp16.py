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

from collections.abc import Mapping
from pathlib import Path

import onnx

from exporter.errors import ExportError
from exporter.graphs.rewriting import answering_nodes, drop_unread, write_graph

_FLOAT, _FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
_IN_FLOAT16 = frozenset({"Conv", "Clip", "Relu"})
"""Operators that may be float16 although what they make is the answer, or is read by nobody else:
convolutions and their activations."""


def halve(source: Path, file: Path, *, keep_answers: bool) -> None:
    """Write ``source``, a float32 or INT8 graph, to ``file`` with float16 in place of float32.

    Args:
        source: ONNX file, as the exporter writes it.
        file: where to write; replaced only when the graph is sound.
        keep_answers: leave in float32 what no convolution follows. A detector's scores and sides
            may be float16; a classifier's statistics over a cell may not.

    Raises:
        ExportError: the graph cannot be rewritten.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(source)
    kept = _kept_nodes(model.graph) if keep_answers else []
    try:
        halved = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
        _without_detours(halved.graph)
        _in_order(halved.graph)
        _say_precision(halved, onnx.load(source, load_external_data=False))
    except Exception as error:  # ONNX Runtime and onnx raise whatever the operator at fault raises
        cause = " ".join(str(error).split())[:300]
        raise ExportError(f"{source.name} cannot be written in float16: {cause}") from error
    write_graph(halved, file)


def _kept_nodes(graph: onnx.GraphProto) -> list[str]:
    answering = answering_nodes(graph)
    return sorted(
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
