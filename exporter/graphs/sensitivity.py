"""Which layers suffer from INT8: each by itself, on training pictures.

One node at a time reads quantised inputs while all others compute in float32, and the answers are
held against those of float32 alone, as a share of their spread (the measure of the golden set). The
layers at the top of the list are the first to stay in float when a graph in INT8 does not pass its
gate. Held-out pictures take no part: they judge the result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_daemon.contract.golden import spread_share
from exporter.errors import ExportError
from exporter.graphs.int8 import Quantised
from exporter.graphs.reference import ReferenceSession

PICTURES = 24
"""Enough for the order of the layers; every layer is a network of its own to run."""
_BAR = 40


@dataclass(frozen=True)
class Sensitivity:
    """What INT8 in one layer does to the answers."""

    node: str
    operator: str
    share: float
    """Mean absolute change over the deviation of the output; of the worst output."""

    def line(self, worst: float) -> str:
        """One row of a table with a bar, ``worst`` being as long as a bar may be."""
        bar = "#" * max(1, round(_BAR * self.share / worst)) if worst > 0 else ""
        return f"{self.share:8.4f}  {self.operator:<8} {self.node:<32} {bar}"


def sensitivities(
    quantised: Quantised,
    pictures: Iterable[NDArray[np.uint8]],
    tick: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[Sensitivity, ...]:
    """Every quantised layer, the most sensitive first.

    Args:
        quantised: a calibrated graph.
        pictures: batches, uint8 ``[N, H, W, 3]``; the first ``PICTURES`` of them are shown.
        tick: told how many layers are done, and of how many.

    Raises:
        ExportError: there is no picture, or the runtime fails on a graph.
    """
    shown = _first(pictures, PICTURES)
    operators = {node.name: node.op_type for node in quantised.int8.graph.node}
    wanted = _answers(quantised.float32, shown)
    found = []
    for done, node in enumerate(quantised.nodes, start=1):
        others = [name for name in quantised.nodes if name != node]
        answers = _answers(quantised.mixed(others), shown)
        share = max(spread_share(answers[name], wanted[name]) for name in wanted)
        found.append(Sensitivity(node, operators[node], share))
        tick(done, len(quantised.nodes))
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
