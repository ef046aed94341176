"""From float32 to fewer bits: try, judge, and keep only what passes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import onnx

from edge_daemon.contract.bundle import RoleName
from exporter.errors import ExportError
from exporter.gate.examples import Examples
from exporter.gate.verdict import Measured, Verdict
from exporter.graphs.fp16 import halve
from exporter.graphs.int8 import Calibrator, calibrate
from exporter.graphs.reference import ReferenceSession
from exporter.graphs.rewriting import write_graph
from exporter.graphs.sensitivity import Sensitivity, sensitivities

CALIBRATORS: tuple[Calibrator, ...] = ("minmax", "percentile")
IN_FLOAT = (0, 1, 3, 6, 12)
"""How many layers stay in float, the most sensitive first; tried in this order with each
calibrator, until one passes the gate."""


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

        The verdict of the first mix that passes the gate; when none does, ``file`` is not there,
        and the verdict is that of the last one.

        Raises:
            ExportError: the graph cannot be quantised, or there are too few pictures.
        """
        verdict = None
        for recipe, model in self._mixes():
            with tempfile.TemporaryDirectory() as scratch:
                quantised = Path(scratch) / file.name
                write_graph(model, quantised)
                halve(quantised, file, keep_answers=self._keeps_answers)
            verdict = self._judged("int8", recipe, file)
            if verdict.passed:
                break
        if verdict is None:
            raise ExportError(f"{self._source.name} has nothing that can be quantised")
        return verdict

    def _mixes(self) -> Iterator[tuple[str, onnx.ModelProto]]:
        """What to try, the fastest first: how it was made, and the graph."""
        digest = self._examples.calibration_digest()
        for calibrator in CALIBRATORS:
            pictures = self._examples.calibration()
            quantised = calibrate(self._source, pictures, calibrator, digest=digest)
            ranked: tuple[Sensitivity, ...] = ()
            for count in IN_FLOAT:
                if count >= len(quantised.nodes):
                    break
                if count and not ranked:
                    ranked = sensitivities(quantised, self._examples.calibration())
                kept = [one.node for one in ranked[:count]]
                names = f", {count} of {len(quantised.nodes)} layers in float: {', '.join(kept)}"
                yield calibrator + (names if kept else ""), quantised.mixed(kept)

    @property
    def _keeps_answers(self) -> bool:
        """Scores and sides of a detector may be float16; statistics over a cell may not."""
        return self._role != "detector"

    def _judged(self, precision: Literal["fp16", "int8"], recipe: str, file: Path) -> Verdict:
        if self._float32 is None:
            self._float32 = self._examples.measure(ReferenceSession(self._source).run)
        # float16 says what float32 says; what INT8 says is spread a little differently
        reduced = self._examples.measure(
            ReferenceSession(file).run, recalibrate=precision == "int8"
        )
        verdict = Verdict(self._role, precision, recipe, self._float32, reduced)
        self._tell(str(verdict))
        if not verdict.passed:
            file.unlink()
        return verdict
