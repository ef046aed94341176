"""``leuko-edge bench --overhead``: what everything around the networks costs.

Two figures, because frames are read and judged beside the networks. *Wall time* is what a frame
waits for: from the detector's start to its message in the outbox, and the part of that in which no
network ran. *Processor time* counts both threads: judging and scaling the frame as well. Reading it
is the camera's; the frames are rendered beforehand.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from edge_daemon.commands.models import open_models
from edge_daemon.contract.roles import DetectorRole
from edge_daemon.contract.terms import KINDS
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.base import Array, Engine
from edge_daemon.engines.options import EngineOptions
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.simulated import open_simulated
from edge_daemon.vision.detect import decode
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.register import view_of
from edge_daemon.vision.slide_map import SlideMap

SLIDE = "sim://?seed=5&fields=24&white=4.2&stage=none"
"""Five white cells a frame, with those that its border cuts."""
CROWD = 1_000
_WARM_UP = 12
_ROUNDS = 20


@dataclass(frozen=True)
class Overhead:
    """Milliseconds a frame, the median, and what of them is not the networks'."""

    white_cells: float
    """Found in a frame, on average."""
    wall_ms: float
    wall_share: float
    processor_ms: float
    beside_share: float
    """Of the processor time: judging and scaling, beside the networks of the frame before."""
    after_share: float
    """Of the processor time: what a frame waits for."""
    crowd_ms: float
    """For a frame of 1,000 cells: decoded, suppressed and registered."""


class _Timed:
    """An engine that is timed; in every other way the engine itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.wall_s = self.thread_s = self.process_s = 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        wall, thread, process = time.perf_counter(), time.thread_time(), time.process_time()
        answer = self._engine.run(inputs)
        self.wall_s += time.perf_counter() - wall
        self.thread_s += time.thread_time() - thread
        self.process_s += time.process_time() - process
        return answer


def bench_overhead(
    bundle: Path | None, options: EngineOptions, console: Console, frames: int = 100
) -> Overhead:
    """Measure and print it."""
    with open_models(bundle, options) as models, tempfile.TemporaryDirectory() as folder:
        console.print(f"{models.description}, {frames} frames of {SLIDE}", highlight=False)
        with Outbox(Path(folder) / "outbox.db") as outbox:
            rows, white = _frames(models, outbox, frames)
        crowd_ms = crowded_ms(models.detector_role)
    wall, wall_net, beside, after, net = np.median(np.array(rows), axis=0).tolist()
    processor = beside + after + net
    result = Overhead(
        white_cells=white,
        wall_ms=wall,
        wall_share=1 - wall_net / wall,
        processor_ms=processor,
        beside_share=beside / processor,
        after_share=after / processor,
        crowd_ms=crowd_ms,
    )
    console.print(
        f"{result.white_cells:.1f} white cells a frame, medians:\n"
        f"wall time, detector to outbox       {result.wall_ms:6.1f} ms, "
        f"{100 * result.wall_share:.1f} % of it around the networks\n"
        f"processor time, both threads        {result.processor_ms:6.1f} ms, "
        f"{100 * result.after_share:.1f} % of it around the networks, "
        f"{100 * result.beside_share:.1f} % beside them\n"
        f"{CROWD} cells decoded and registered {result.crowd_ms:7.1f} ms",
        highlight=False,
    )
    return result


def _frames(models: Models, outbox: Outbox, frames: int) -> tuple[list[tuple[float, ...]], float]:
    """Per frame: wall, the networks' wall; processor time beside, after and in the networks."""
    with open_simulated(SLIDE) as source:
        taken = list(source)
    pipeline = Pipeline(models)
    session = SlideSession(SlideSetup("bench"), pipeline.slide_map)
    origin = Origin("bench", "bench", uuid.uuid4().hex, models.bundle.digest)
    reporter = Reporter(origin, "bench", outbox=outbox)
    rows: list[tuple[float, ...]] = []
    white = 0
    with _timed(models) as engines:
        for number in range(frames + _WARM_UP):
            frame = taken[number % len(taken)]
            before = [(e.wall_s, e.thread_s, e.process_s) for e in engines]
            beside = time.thread_time()
            prepared = pipeline.prepare(frame)
            wall, thread = time.perf_counter(), time.thread_time()
            findings = pipeline.finish(prepared)
            session.enter(findings)
            reporter.frame(findings, frame.pixels)
            wall, beside, thread = (
                time.perf_counter() - wall,
                thread - beside,
                time.thread_time() - thread,
            )
            after = [(e.wall_s, e.thread_s, e.process_s) for e in engines]
            in_wall, in_thread, in_process = (
                (np.array(after) - np.array(before)).sum(axis=0).tolist()
            )
            if number >= _WARM_UP:
                spent = (wall, in_wall, beside, thread - in_thread, in_process)
                rows.append(tuple(1e3 * seconds for seconds in spent))
                white += sum(cell.kind == "wbc" for cell in findings.cells)
    return rows, white / frames


@contextmanager
def _timed(models: Models) -> Iterator[list[_Timed]]:
    detector, classifier = models.engines
    assert detector is not None  # noqa: S101 - these models were opened with one
    timed = [_Timed(detector), _Timed(classifier)]
    models.engines = (timed[0], timed[1])  # type: ignore[assignment]
    try:
        yield timed
    finally:
        models.engines = (detector, classifier)


def crowded_ms(role: DetectorRole, rounds: int = _ROUNDS) -> float:
    """The time that a frame of 1,000 cells, seen for the second time, takes after the detector.

    The median, in milliseconds of processor time: decoding, suppression, finding its place by the
    pictures, and telling that each of its cells is known. The picture is reduced for registration
    beforehand, as in the pipeline. The outputs are made, not a network's.
    """
    height, width = 4 * role.input_height, 4 * role.input_width
    outputs, pixels = _crowd(role, height, width)
    view = view_of(pixels, np.empty((0, 4), np.float32))
    spent: list[float] = []
    for _ in range(rounds):
        slide = SlideMap()
        for _ in range(2):
            started = time.thread_time()
            found = decode(outputs, role, 0.25, height, width)
            seen = type(view)(view.width, view.height, view.thumb, view.px_per_thumb, found.boxes)
            placement = slide.place_view(seen, 0)
            sightings = [
                Sighting((b[0], b[1], b[2], b[3]), KINDS[kind], score)
                for b, kind, score in zip(
                    found.boxes.tolist(), found.kinds.tolist(), found.scores.tolist(), strict=True
                )
            ]
            slide.add(placement, sightings)
            took = time.thread_time() - started
        spent.append(1e3 * took)
    return float(np.median(spent))


def _crowd(
    role: DetectorRole, height: int, width: int
) -> tuple[dict[str, npt.NDArray[np.float32]], npt.NDArray[np.uint8]]:
    """A detector's outputs for cells in 25 rows of 40, and a picture of discs where they lie."""
    import cv2

    chance = np.random.default_rng(1)
    outputs = {}
    for stride in role.strides:
        size = (role.input_height // stride, role.input_width // stride)
        outputs[f"scores_{stride}"] = np.full((1, len(role.kinds), *size), -9, np.float32)
        outputs[f"boxes_{stride}"] = np.ones((1, 4, *size), np.float32)
    stride = role.strides[0]
    scores, boxes = outputs[f"scores_{stride}"][0], outputs[f"boxes_{stride}"][0]
    pixels = np.full((height, width, 3), 225, np.uint8)
    rows, columns = 25, CROWD // 25
    for number in range(CROWD):
        across, down = number % columns + 0.5, number // columns + 0.5
        x, y = chance.normal((across * width / columns, down * height / rows), 2)
        radius = chance.uniform(0.38, 0.46) * width / columns
        colour = tuple(int(c) for c in chance.uniform(120, 200, 3))
        cv2.circle(pixels, (round(x), round(y)), round(radius), colour, cv2.FILLED)
        x, y, reach = x / 4 / stride, y / 4 / stride, radius / 4 / stride
        kind = int(chance.choice(len(role.kinds), p=_SHARES[: len(role.kinds)]))
        for right, below in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            row, column = int(y) + below, int(x) + right
            if not (0 <= row < scores.shape[1] and 0 <= column < scores.shape[2]):
                continue
            score = 3 - abs(right) - abs(below) + chance.normal(0, 0.1)
            if score > scores[:, row, column].max():
                scores[:, row, column] = -9
                scores[kind, row, column] = score
                middle_x, middle_y = column + 0.5, row + 0.5
                boxes[:, row, column] = (
                    middle_x - x + reach,
                    middle_y - y + reach,
                    x + reach - middle_x,
                    y + reach - middle_y,
                )
    return outputs, pixels


_SHARES = (0.1, 0.8, 0.1)
"""Of each kind among the cells of the crowd."""
