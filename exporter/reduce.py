"""From float32 to fewer bits: try, judge, and keep only what passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_daemon.contract.bundle import RoleName
from exporter.examples import Examples
from exporter.gate import Verdict
from exporter.int8 import Int8Recipe, quantise
from exporter.reference import ReferenceSession

RECIPES = (Int8Recipe("minmax"), Int8Recipe("minmax", 5), Int8Recipe("percentile", 5))
"""Tried in this order, the fastest first. In EfficientNet-Lite0 the first five convolutions are the
stem, the first stage, and the widening at half the input's resolution behind it."""


def reduce_to_int8(
    role: RoleName, source: Path, file: Path, examples: Examples, tell: Callable[[str], None]
) -> Verdict:
    """Quantise ``source`` into ``file``; the verdict of the first recipe that passes the gate.

    When none does, ``file`` is not there, and the verdict is that of the last one.

    Raises:
        ExportError: the graph cannot be quantised, or there are too few pictures.
    """
    float32 = examples.measure(ReferenceSession(source).run)
    digest = examples.calibration_digest()
    for recipe in RECIPES:
        quantise(source, file, examples.calibration(), recipe, digest=digest)
        reduced = examples.measure(ReferenceSession(file).run)
        verdict = Verdict(role, "int8", str(recipe), float32, reduced)
        tell(str(verdict))
        if verdict.passed:
            return verdict
        file.unlink()
    return verdict
