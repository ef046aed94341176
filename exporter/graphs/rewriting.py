"""ONNX graphs as lists of nodes, and as files: what every rewriting of a graph needs."""

from __future__ import annotations

from pathlib import Path

import onnx

from exporter.errors import ExportError


def check_graph(model: onnx.ModelProto, where: str) -> None:
    """Hold a graph against the ONNX standard.

    Raises:
        ExportError: ``onnx.checker`` refuses it; ``where`` says whose it is.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"onnx.checker refuses {where}: {error}") from error


def write_graph(model: onnx.ModelProto, file: Path) -> None:
    """Write a sound graph to ``file``, whole or not at all; the same graph is the same bytes.

    Raises:
        ExportError: ``onnx.checker`` refuses it.
    """
    check_graph(model, file.name)
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_bytes(model.SerializeToString(deterministic=True))
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def drop_unread(graph: onnx.GraphProto) -> set[str]:
    """Drop the nodes and constants that nobody reads; the names that are read."""
    answers = {output.name for output in graph.output}
    while True:
        read = {name for node in graph.node for name in node.input} | answers
        unread = [node for node in graph.node if not read.intersection(node.output)]
        if not unread:
            break
        for node in unread:
            graph.node.remove(node)
    for tensor in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(tensor)
    return read


def answering_nodes(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that no convolution follows: those that make the answers.

    The last convolutions of a detector; of a classifier all that reads its features: sums, spreads
    and logarithms, to which a step of one 127th of a range can be all there is.
    """
    makers = {output: node for node in graph.node for output in node.output}
    followed: set[str] = set()
    waiting = [name for node in graph.node if node.op_type == "Conv" for name in node.input]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in followed:
            followed.add(node.name)
            waiting.extend(node.input)
    return {node.name for node in graph.node} - followed
