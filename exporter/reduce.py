"""From float32 to fewer bits: try, judge, and keep only what passes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from edge_daemon.contract.bundle import RoleName
from exporter.examples import Examples
from exporter.fp16 import halve
from exporter.gate import Measured, Verdict
from exporter.int8 import Int8Recipe, quantise
from exporter.reference import ReferenceSession

RECIPES = (Int8Recipe("minmax"), Int8Recipe("minmax", 5), Int8Recipe("percentile", 5))
"""Tried in this order, the fastest first. In EfficientNet-Lite0 the first five convolutions are the
stem, the first stage, and the widening at half the input's resolution behind it."""


class Reduction:
    """One role's float32 graph and what it is worth; measured once, compared with several times."""

    def __init__(
        self, role: RoleName, source: Path, examples: Examples, tell: Callable[[str], None]
    ) -> None:
        self._role = role
        self._source = source
        self._examples = examples
        self._tell = tell
        self._float32: Measured | None = None

    def to_fp16(self, file: Path) -> Verdict:
        """Write float16 into ``file``; when it does not pass the gate, ``file`` is not there.

        Raises:
            ExportError: the graph cannot be rewritten.
        """
        halve(self._source, file, keep_answers=self._keeps_answers)
        return self._judged("fp16", "what the answer is made of in float32", file)

    def to_int8(self, file: Path) -> Verdict:
        """Write INT8 into ``file``, what is not quantised in float16.

        The verdict of the first recipe that passes the gate; when none does, ``file`` is not
        there, and the verdict is that of the last one.

        Raises:
            ExportError: the graph cannot be quantised, or there are too few pictures.
        """
        digest = self._examples.calibration_digest()
        for recipe in RECIPES:
            with tempfile.TemporaryDirectory() as scratch:
                quantised = Path(scratch) / file.name
                pictures = self._examples.calibration()
                quantise(self._source, quantised, pictures, recipe, digest=digest)
                halve(quantised, file, keep_answers=self._keeps_answers)
            verdict = self._judged("int8", str(recipe), file)
            if verdict.passed:
                break
        return verdict

    @property
    def _keeps_answers(self) -> bool:
        """Scores and sides of a detector may be float16; statistics over a cell may not."""
        return self._role != "detector"

    def _judged(self, precision: Literal["fp16", "int8"], recipe: str, file: Path) -> Verdict:
        if self._float32 is None:
            self._float32 = self._examples.measure(ReferenceSession(self._source).run)
        reduced = self._examples.measure(ReferenceSession(file).run)
        verdict = Verdict(self._role, precision, recipe, self._float32, reduced)
        self._tell(str(verdict))
        if not verdict.passed:
            file.unlink()
        return verdict
