"""A program that enters frame after frame and says how much memory it holds.

Everything from a frame that was looked at to its message at the broker is real: pipeline,
registration, slide map, ledger, outbox, publisher. The networks are scripted, and the first look is
taken once of each place, so that 100,000 frames take minutes and not hours.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.roles import Precision
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.engines.base import Array, Outputs, TensorSpec
from edge_daemon.inference import Models
from edge_daemon.ledger.slides import SlideLedger
from edge_daemon.pipeline import Pipeline, Prepared
from edge_daemon.reporter import Reporter
from edge_daemon.service.health import HealthReporter
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Frame, StagePosition
from tests.edge_daemon.scenes import LENIENT, WHEN
from tests.edge_daemon.tiny_bundle import SIDE, STRIDE

ROWS, COLUMNS = 12, 20
"""Places of a slide, with 30 % overlap; the way goes over them again and again."""
STEP = round(0.7 * SIDE)
UM_PER_PX = 0.5
SLIDE = 500
"""Frames of each of many slides."""
SAY_EVERY = 250


class Scripted:
    """A network that always says the same: here three red cells, two white ones, one a blast."""

    name, precision = "scripted", "fp32"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self, answers: Mapping[str, Array]) -> None:
        self._answers = answers
        self.precision: Precision = "fp32"

    def run(self, inputs: Mapping[str, Array]) -> Outputs:
        (given,) = inputs.values()
        return {
            name: answer[: len(given)] if name == "logits" else answer
            for name, answer in self._answers.items()
        }

    def close(self) -> None:
        pass


def scripted(bundle: Path) -> Models:
    """Two networks that answer at once."""
    grid = SIDE // STRIDE
    scores = np.full((1, 3, grid, grid), -9.0, np.float32)
    for kind, row, column in ((0, 1, 1), (0, 5, 4), (1, 2, 5), (1, 6, 1), (1, 4, 6)):
        scores[0, kind, row, column] = 5.0
    boxes = np.ones((1, 4, grid, grid), np.float32)
    logits = np.array([[4.0, -4.0], [-4.0, 4.0]], np.float32)
    found = load_bundle(bundle)
    detector = Scripted({f"scores_{STRIDE}": scores, f"boxes_{STRIDE}": boxes})
    role = found.manifest.roles.classifier.spec
    return Models(found, detector, Scripted({"logits": logits}), role)


def places() -> list[Frame]:
    """A slide of speckles, as a camera sees it on its way to and fro."""
    chance = np.random.default_rng(4)
    height, width = STEP * ROWS + SIDE, STEP * COLUMNS + SIDE
    noise = chance.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    speckled = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    way = [
        (STEP * row, STEP * (column if row % 2 == 0 else COLUMNS - 1 - column))
        for row in range(ROWS)
        for column in range(COLUMNS)
    ]
    return [
        Frame(
            i,
            f"place-{i}",
            WHEN,
            speckled[y : y + SIDE, x : x + SIDE].copy(),
            field=0,
            stage=StagePosition(x * UM_PER_PX, y * UM_PER_PX),
            um_per_px=UM_PER_PX,
        )
        for i, (y, x) in enumerate(way + way[::-1])
    ]


def memory_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def run(folder: Path, bundle: Path, url: str, frames: int, *, many_slides: bool) -> Iterator[int]:
    """Enter ``frames``, over one slide or many; memory after every 250 of them, in bytes."""
    models = scripted(bundle)
    looked_at: list[Prepared] = [Pipeline(models, LENIENT).prepare(frame) for frame in places()]
    origin = Origin("lab", "m1", "0" * 32, models.bundle.digest)
    with (
        Outbox(folder / "outbox.db") as outbox,
        Publisher(BrokerSettings(url=url, backlog_per_s=100_000), outbox, origin) as publisher,
        HealthReporter(publisher, outbox, 1.0) as health,
    ):
        ledger = SlideLedger(outbox)
        slide: SlideRun | None = None
        for index in range(frames):
            if slide is None or (many_slides and index % SLIDE == 0):
                if slide is not None:
                    slide.end("finished")
                pipeline = Pipeline(models, LENIENT)
                session = SlideSession(SlideSetup(f"s{index}"), pipeline.slide_map)
                reporter = Reporter(origin, f"s{index}", outbox=outbox)
                slide = SlideRun(pipeline, session, reporter, ledger=ledger)
                ledger.begin(session.setup, origin.bundle, session.started_at)
            prepared = looked_at[index % len(looked_at)]
            captured = dataclasses.replace(prepared.captured, index=index)
            health.frame(slide.enter(dataclasses.replace(prepared, captured=captured)))
            slide.tick()
            if index % SAY_EVERY == SAY_EVERY - 1:
                publisher.flush(60)  # what waits is on disk, and how much is not the question
                yield memory_bytes()


if __name__ == "__main__":
    cv2.setNumThreads(1)
    where, tiny, broker, count, how = sys.argv[1:]
    for held in run(Path(where), Path(tiny), broker, int(count), many_slides=how == "many"):
        print(held, flush=True)
