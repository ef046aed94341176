"""From float32 to fewer bits: try, judge, and keep only what passes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_daemon.contract.bundle import RoleName
from exporter.errors import ExportError
from exporter.gate.examples import Examples
from exporter.gate.trials import Trials, digest_of
from exporter.gate.verdict import Measured, Verdict
from exporter.graphs.correction import mean_answer, moved
from exporter.graphs.fp16 import halvable
from exporter.graphs.int8 import Calibrator, Quantised, calibrate
from exporter.graphs.reference import ReferenceSession
from exporter.graphs.rewriting import write_graph
from exporter.graphs.sensitivity import Reducible, sensitivities

CALIBRATORS: tuple[Calibrator, ...] = ("minmax", "percentile")
IN_FLOAT = (0, 1, 3, 6, 12)
"""How many layers keep more bits, the most sensitive first; tried in this order (of INT8 with each
calibrator), until one passes the gate."""
LOGITS = "logits"
"""What a classifier answers with, float32 ``[N, 2]``."""


@dataclass(frozen=True, eq=False)
class _Mix:
    """A graph with fewer bits in all but some layers."""

    make: Callable[[], onnx.ModelProto]
    kept: tuple[str, ...]
    """Names of those layers, the most sensitive first."""
    layers: int
    """How many could have fewer bits."""

    @property
    def words(self) -> str:
        if not self.kept:
            return ""
        return f", {len(self.kept)} of {self.layers} layers in float: {', '.join(self.kept)}"


@dataclass(frozen=True, eq=False)
class _Tried:
    mix: _Mix
    verdict: Verdict


class Reduction:
    """One role's float32 graph and what it is worth; measured once, compared with several times."""

    def __init__(
        self,
        role: RoleName,
        source: Path,
        examples: Examples,
        tell: Callable[[str], None],
        *,
        fine_tune: Callable[[Path], None] | None = None,
        trials: Trials | None = None,
    ) -> None:
        """Start from a graph.

        Args:
            role: what it is in the bundle.
            source: ONNX file in float32.
            examples: what it is calibrated with and judged on.
            tell: gets a line for each verdict.
            fine_tune: writes the graph in float32 with weights that bear INT8, for when it bears
                none as it is.
            trials: keeps what is found, for one who is interrupted.
        """
        self._role = role
        self._trials = (trials or Trials(None)).of(role, examples.calibration_digest())
        self._fine_tune = fine_tune
        self._source = source
        self._examples = examples
        self._tell = tell
        self._float32: Measured | None = None
        self._float32_says: NDArray[np.float64] | None = None
        self._float16_moves = False

    def to_fp16(self, file: Path) -> Verdict:
        """Write float16 into ``file``.

        The verdict of the first mix with float32 that passes the gate; when none does, ``file`` is
        not there, and the verdict is that of the last one.

        Raises:
            ExportError: the graph cannot be rewritten.
        """
        graph = halvable(self._source, keep_answers=self._keeps_answers)
        made = "what the answer is made of in float32" if graph.kept else "all of it"
        trials = self._trials.of(digest_of(self._source), "fp16")
        mixes = self._mixes_of(lambda: graph, trials)
        tried = self._judged_in_turn("fp16", made, mixes, self._write_float16, file, trials)
        self._float16_moves = not tried.verdict.passed or bool(tried.mix.kept)
        return tried.verdict

    def to_int8(self, file: Path) -> Verdict:
        """Write INT8 into ``file``, what is not quantised in float16.

        What stays in float does so in float32 where :meth:`to_fp16` found that float16 moves the
        answers. When no mix passes the gate, weights that were fine-tuned for INT8 are tried. The
        verdict of the first mix that passes; when none does, ``file`` is not there, and the verdict
        is that of the last one.

        Raises:
            ExportError: the graph cannot be quantised, or there are too few pictures.
        """
        verdict = self._quantised(self._source, "", file)
        if verdict.passed or self._fine_tune is None:
            return verdict
        self._tell(f"{self._role} int8: no mix passes; fine-tuning the weights for it")
        with tempfile.TemporaryDirectory() as scratch:
            tuned = Path(scratch) / self._source.name
            trials = self._trials.of(digest_of(self._source))
            if not trials.give_file("fine-tuned", tuned):
                self._fine_tune(tuned)
                trials.keep_file("fine-tuned", tuned)
            return self._quantised(tuned, "fine-tuned, ", file)

    def _quantised(self, source: Path, made: str, file: Path) -> Verdict:
        for calibrator in CALIBRATORS:
            graph = cache(partial(self._calibrated, source, calibrator))
            float_part = "fp32" if self._float16_moves else "fp16"
            trials = self._trials.of(digest_of(source), "int8", calibrator, float_part)
            tried = self._judged_in_turn(
                "int8",
                f"{made}{calibrator}",
                self._mixes_of(graph, trials),
                self._write_int8,
                file,
                trials,
            )
            if tried.verdict.passed:
                break
        return tried.verdict

    def _calibrated(self, source: Path, calibrator: Calibrator) -> Quantised:
        digest = self._examples.calibration_digest()
        return calibrate(source, self._examples.calibration(), calibrator, digest=digest)

    def _judged_in_turn(
        self,
        precision: Literal["fp16", "int8"],
        made: str,
        mixes: Iterator[_Mix],
        write: Callable[[_Mix, Path], None],
        file: Path,
        trials: Trials,
    ) -> _Tried:
        """The first that passes, or the last."""
        tried = None
        for mix in mixes:
            recipe = f"{made}{mix.words}"
            tried = _Tried(mix, self._judged(precision, recipe, partial(write, mix), file, trials))
            if tried.verdict.passed:
                break
        if tried is None:
            raise ExportError(f"{self._source.name} has nothing that can be {precision}")
        return tried

    def _mixes_of(self, graph: Callable[[], Reducible], trials: Trials) -> Iterator[_Mix]:
        """From the fastest on; ``graph`` is asked for when nobody knows the answer."""
        layers = trials.finding("layers", int, lambda: len(graph().nodes))
        for count in IN_FLOAT:
            if count >= layers:
                break
            ranked: list[str] = []
            if count:
                ranked = trials.finding("ranking", list[str], partial(self._ranking, graph))
            kept = tuple(ranked[:count])
            yield _Mix(partial(self._mixed, graph, kept), kept, layers)

    def _ranking(self, graph: Callable[[], Reducible]) -> list[str]:
        return [one.node for one in sensitivities(graph(), self._examples.calibration())]

    @staticmethod
    def _mixed(graph: Callable[[], Reducible], kept: tuple[str, ...]) -> onnx.ModelProto:
        return graph().mixed(kept)

    def _write_int8(self, mix: _Mix, file: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            quantised = Path(scratch) / file.name
            write_graph(mix.make(), quantised)
            graph = halvable(quantised, keep_answers=self._keeps_answers)
            in_float32 = set(mix.kept if self._float16_moves else ()).intersection(graph.nodes)
            self._write_corrected(graph.mixed(in_float32), file)

    def _write_float16(self, mix: _Mix, file: Path) -> None:
        self._write_corrected(mix.make(), file)

    def _write_corrected(self, model: onnx.ModelProto, file: Path) -> None:
        """Write a graph that says, on the average of the calibration, what float32 says."""
        write_graph(model, file)
        if self._role == "detector":  # its answers are of places, most of which are empty
            return
        said = self._mean_logits(file)
        if self._float32_says is None:
            self._float32_says = self._mean_logits(self._source)
        write_graph(moved(model, LOGITS, self._float32_says - said), file)

    def _mean_logits(self, graph: Path) -> NDArray[np.float64]:
        return mean_answer(ReferenceSession(graph), self._examples.calibration(), LOGITS)

    @property
    def _keeps_answers(self) -> bool:
        """Scores and sides of a detector may be float16; statistics over a cell may not."""
        return self._role != "detector"

    def _judged(
        self,
        precision: Literal["fp16", "int8"],
        recipe: str,
        write: Callable[[Path], None],
        file: Path,
        trials: Trials,
    ) -> Verdict:
        """The verdict on what ``write`` writes into ``file``, which is there if it passes."""
        if self._float32 is None:
            self._float32 = self._trials.of(digest_of(self._source)).finding(
                "float32",
                Measured,
                lambda: self._examples.measure(ReferenceSession(self._source).run),
            )

        def measure() -> Measured:
            write(file)
            # float16 says what float32 says; what INT8 says is spread a little differently
            return self._examples.measure(
                ReferenceSession(file).run, recalibrate=precision == "int8"
            )

        reduced = trials.finding(recipe, Measured, measure)
        verdict = Verdict(self._role, precision, recipe, self._float32, reduced)
        self._tell(str(verdict))
        if not verdict.passed:
            file.unlink(missing_ok=True)
        elif file.exists():
            trials.keep_file(recipe, file)
        elif not trials.give_file(recipe, file):
            write(file)
        return verdict
