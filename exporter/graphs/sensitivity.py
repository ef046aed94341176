"""Which layers suffer from fewer bits: each by itself, on training pictures.

One layer at a time computes in INT8 or in float16 while all others do in float32, and the answers
are held against those of float32 alone, as a share of their spread (the measure of the golden set).
The layers at the top of the list are the first to keep more bits when a graph does not pass its
gate. Held-out pictures take no part: they judge the result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_daemon.contract.golden import spread_share
from exporter.errors import ExportError
from exporter.graphs.reference import ReferenceSession

PICTURES = 24
"""Enough for the order of the layers; every layer is a network of its own to run."""
_BAR = 40


class Reducible(Protocol):
    """A graph of which any layers may have fewer bits."""

    @property
    def float32(self) -> onnx.ModelProto:
        """The graph as it is."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes that may have fewer bits, from the input of the graph on."""

    def mixed(self, in_float: Collection[str]) -> onnx.ModelProto:
        """The graph with fewer bits in all of them but ``in_float``."""


@dataclass(frozen=True)
class Sensitivity:
    """What fewer bits in one layer do to the answers."""

    node: str
    operator: str
    share: float
    """Mean absolute change over the deviation of the output; of the worst output."""

    def line(self, worst: float) -> str:
        """One row of a table with a bar, ``worst`` being as long as a bar may be."""
        bar = "#" * max(1, round(_BAR * self.share / worst)) if worst > 0 else ""
        return f"{self.share:8.4f}  {self.operator:<8} {self.node:<32} {bar}"


def sensitivities(
    reducible: Reducible,
    pictures: Iterable[NDArray[np.uint8]],
    tick: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[Sensitivity, ...]:
    """Every layer that may have fewer bits, the most sensitive first.

    Args:
        reducible: a calibrated graph, or one to be written in float16.
        pictures: batches, uint8 ``[N, H, W, 3]``; the first ``PICTURES`` of them are shown.
        tick: told how many layers are done, and of how many.

    Raises:
        ExportError: there is no picture, or the runtime fails on a graph.
    """
    shown = _first(pictures, PICTURES)
    operators = {node.name: node.op_type for node in reducible.float32.graph.node}
    wanted = _answers(reducible.float32, shown)
    found = []
    for done, node in enumerate(reducible.nodes, start=1):
        others = [name for name in reducible.nodes if name != node]
        answers = _answers(reducible.mixed(others), shown)
        share = max(spread_share(answers[name], wanted[name]) for name in wanted)
        found.append(Sensitivity(node, operators[node], share))
        tick(done, len(reducible.nodes))
    return tuple(sorted(found, key=lambda one: (-one.share, one.node)))


def _first(pictures: Iterable[NDArray[np.uint8]], count: int) -> list[NDArray[np.uint8]]:
    """The first ``count`` pictures, in the batches in which they come."""
    batches: list[NDArray[np.uint8]] = []
    for batch in pictures:
        left = count - sum(map(len, batches))
        if left <= 0:
            break
        batches.append(batch[:left])
    if not batches:
        raise ExportError("no pictures to measure the layers on: give training data")
    return batches


def _answers(
    model: onnx.ModelProto, batches: list[NDArray[np.uint8]]
) -> dict[str, NDArray[np.float32]]:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "one.onnx"
        file.write_bytes(model.SerializeToString())
        session = ReferenceSession(file)
    parts = [session.run(batch) for batch in batches]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
