"""A laboratory's database as it looks on a working day, made of simulated slides.

Cells and their pictures are those of the simulated microscope, so no patient's pixel is in it; what
the models say of them is drawn around the truth. Everything goes in as messages, through the
ingest's own code.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from deploy.dashboard.database.opening import Database
from deploy.dashboard.ingest.arrived import Arrived
from deploy.dashboard.ingest.entering import Entering
from edge_daemon.contract.envelope import FromDevice
from edge_daemon.contract.findings import FramePlace
from edge_daemon.contract.messages import (
    CellCounts,
    CellResult,
    Crop,
    FrameCounts,
    FrameQuality,
    FrameResult,
    Opinion,
    OpinionCounts,
    SecondOpinion,
    SlideSummary,
    Status,
)
from edge_daemon.contract.terms import CellLabel, Completion
from edge_daemon.contract.topics import parse_topic, topic_of
from edge_daemon.sources.simulated import SimulatedSource, open_simulated
from edge_daemon.vision.slide import blast_fraction, judge

BUNDLE = "sha256:" + "7c41a90e" * 8
OLDER_BUNDLE = "sha256:" + "19d3b2f4" * 8
_UM_PER_PX = 0.075
_CROP_PX = 112


@dataclass(frozen=True)
class Plan:
    """One slide of the day."""

    site: str
    device: str
    name: str
    blasts: float
    """Share of the white cells."""
    fields: int = 60
    white: float = 5.0
    """White cells in a standard field."""
    hours_ago: float = 3.0
    completion: Completion | None = "finished"
    missing: tuple[int, ...] = ()
    """Frames that never arrived."""
    rejected: tuple[int, ...] = ()
    bundle: str = BUNDLE
    second_opinions: bool = True
    control: bool = False
    pictures: bool = True
    seed: int = 1


DAY = (
    Plan("north", "scope-1", "S26-1047", 0.46, hours_ago=5.2, rejected=(11, 12, 40), seed=11),
    Plan("north", "scope-1", "S26-1052", 0.0, hours_ago=3.9, seed=12, rejected=(3,), fields=90),
    Plan("north", "scope-2", "S26-1061", 0.22, fields=34, hours_ago=0.3, completion=None, seed=13),
    Plan(
        "south", "scope-3", "S26-0987", 0.12, hours_ago=26, seed=14,
        missing=(20, 21, 22, 23, 24, 25, 26, 27, 41), rejected=(8,), bundle=OLDER_BUNDLE,
    ),
    Plan(
        "south", "scope-3", "S26-0990", 0.1, fields=9, hours_ago=22, completion="source_failed",
        seed=15, second_opinions=False,
    ),
    Plan("north", "scope-2", "S26-1058", 0.02, hours_ago=2.1, seed=16, rejected=(30, 31)),
    Plan("south", "scope-4", "S26-1002", 0.31, hours_ago=0.9, seed=17),
    Plan("north", "scope-2", "control-low", 0.05, fields=30, hours_ago=8, seed=18, control=True),
)  # fmt: skip
"""Positive, negative, in progress, with gaps, cut short, borderline, positive, a control."""


def fill(database: Database, now: datetime, plans: tuple[Plan, ...] = DAY) -> None:
    """Enter a day that ends ``now``."""
    worker = Entering(database)
    for plan in plans:
        batch: list[Arrived] = []
        for message, at, jpeg in messages_of(plan, now):
            batch.append(Arrived(parse_topic(topic_of(message)), message, at, jpeg))  # type: ignore[arg-type]
            if len(batch) == 400:
                worker.enter(batch, at)
                batch = []
        if batch:
            worker.enter(batch, batch[-1].at)


def messages_of(plan: Plan, now: datetime) -> Iterator[tuple[FromDevice, datetime, bytes | None]]:
    """What its device says, when it arrives, and the picture that goes with it."""
    source = _source(plan)
    rng = np.random.default_rng([plan.seed, 99])
    began = now - timedelta(hours=plan.hours_ago)
    said = _Said(plan, began)
    yield said.status(began), began, None
    numbers: dict[int, int] = {}
    labels: dict[int, tuple[float, CellLabel]] = {}
    asked: set[int] = set()
    answers = [0, 0]
    for index in range(plan.fields):
        at = began + timedelta(seconds=1.5 * index)
        if index in plan.missing:
            said.skip()
            continue
        if index in plan.rejected:
            yield said.rejected(index, at), at, None
            continue
        truth = source.frame_truth(index).field
        cells: list[CellResult] = []
        for place, kind in enumerate(truth.kinds):
            x0, y0, x1, y1 = (float(value) for value in truth.boxes[place])
            if truth.visible[place] < 0.5:
                continue
            box = (x0, y0, x1 - x0, y1 - y0)
            score = round(float(rng.uniform(0.72, 0.99)), 3)
            if kind != "wbc":
                cells.append(CellResult(id=len(cells), box=box, kind=kind, score=score))
                continue
            unique = numbers.setdefault(int(truth.cell_ids[place]), len(numbers))
            if unique not in labels:
                labels[unique] = _opinion(rng, truth.labels[place] == "blast")
            p_blast, label = labels[unique]
            cells.append(
                CellResult(
                    id=len(cells),
                    box=box,
                    kind="wbc",
                    score=score,
                    p_blast=p_blast,
                    label=label,
                    unique_id=unique,
                )
            )
        yield said.frame(index, at, cells, source.stop_at(index).reported_um, rng), at, None
        picture: np.ndarray | None = None
        for cell in cells:
            unique = cell.unique_id
            if unique is None or cell.label == "normal" or unique in asked or cell.label is None:
                continue
            asked.add(unique)
            assert cell.p_blast is not None
            if plan.pictures:
                picture = source.take_frame(index) if picture is None else picture
                jpeg = _jpeg(picture, cell.box)
                yield said.crop(index, unique, cell.p_blast, cell.label, at), at, jpeg
            if plan.second_opinions:
                second = _second(rng, cell.p_blast)
                answers[0] += 1
                answers[1] += second[1] == cell.label
                yield said.opinion(index, unique, (cell.p_blast, cell.label), second, at), at, None
        if index % 4 == 3:
            yield said.summary(labels, answers, at, None), at, None
    end = began + timedelta(seconds=1.5 * plan.fields)
    if plan.completion is not None:
        yield said.summary(labels, answers, end, plan.completion), end, None


class _Said:
    """The words of one device about one slide."""

    def __init__(self, plan: Plan, began: datetime) -> None:
        self.plan, self.began = plan, began
        self.boot_id = uuid.UUID(int=int(np.random.default_rng(plan.seed).integers(2**62))).hex
        self.seq = self.record = 0
        self.outcomes = {"analysed": 0, "rejected": 0}
        self.lost = 0

    def _envelope(self, at: datetime, *, stored: bool = True) -> dict[str, Any]:
        self.seq += 1
        self.record += stored
        return {
            "site": self.plan.site,
            "device": self.plan.device,
            "boot_id": self.boot_id,
            "seq": self.seq,
            "record": self.record,
            "bundle": self.plan.bundle,
            "ts": at,
        }

    def skip(self) -> None:
        """A frame that was sent and never arrived."""
        self.seq += 1
        self.record += 1
        self.lost += 1
        self.outcomes["analysed"] += 1

    def status(self, at: datetime) -> Status:
        return Status(**self._envelope(at, stored=False), state="online", version="1.0.0")

    def frame(
        self,
        index: int,
        at: datetime,
        cells: list[CellResult],
        stage: tuple[float, float] | None,
        rng: np.random.Generator,
    ) -> FrameResult:
        self.outcomes["analysed"] += 1
        x_um, y_um = stage or (0.0, 0.0)
        quality = FrameQuality(
            focus=round(float(rng.normal(310, 30)), 1),
            exposure=round(float(rng.normal(0.78, 0.01)), 3),
            stain_shift=round(float(abs(rng.normal(0.5, 0.1))), 2),
            hints=("too dense: cells lie on each other",) if index % 23 == 22 else (),
        )
        return FrameResult(
            **self._envelope(at),
            slide=self.plan.name,
            frame=index,
            source="sim",
            captured_at=at,
            outcome="analysed",
            quality=quality,
            timings_ms={"detect": 24.0, "classify": 9.0 + len(cells) / 10},
            width=640,
            height=480,
            um_per_px=_UM_PER_PX,
            um_per_px_from="configured",
            place=FramePlace(
                piece=0, x=x_um / _UM_PER_PX, y=y_um / _UM_PER_PX, tie="stage" if index else "first"
            ),
            counts=CellCounts.of(cells),
            cells=tuple(cells),
            control=self.plan.control,
        )

    def rejected(self, index: int, at: datetime) -> FrameResult:
        self.outcomes["rejected"] += 1
        return FrameResult(
            **self._envelope(at),
            slide=self.plan.name,
            frame=index,
            source="sim",
            captured_at=at,
            outcome="rejected",
            reason="out of focus: turn the fine focus" if index % 2 else "moved while exposed",
            control=self.plan.control,
        )

    def crop(self, index: int, unique: int, p: float, label: CellLabel, at: datetime) -> Crop:
        return Crop(
            **self._envelope(at),
            slide=self.plan.name,
            frame=index,
            unique_id=unique,
            p_blast=p,
            label=label,
            um_per_px=_UM_PER_PX,
        )

    def opinion(
        self,
        index: int,
        unique: int,
        first: tuple[float, CellLabel],
        second: tuple[float, CellLabel],
        at: datetime,
    ) -> SecondOpinion:
        return SecondOpinion(
            **self._envelope(at),
            slide=self.plan.name,
            frame=index,
            unique_id=unique,
            first=Opinion(p_blast=first[0], label=first[1]),
            second=Opinion(p_blast=second[0], label=second[1]),
        )

    def summary(
        self,
        labels: dict[int, tuple[float, CellLabel]],
        answers: list[int],
        at: datetime,
        completion: Completion | None,
    ) -> SlideSummary:
        blasts = sum(label == "blast" for _, label in labels.values())
        uncertain = sum(label == "uncertain" for _, label in labels.values())
        # cells of frames that were lost on their way are counted by the device all the same
        nucleated = len(labels) + 3 * self.lost
        frames = FrameCounts(captured=sum(self.outcomes.values()), **self.outcomes)
        verdict = judge(
            blasts=blasts,
            uncertain=uncertain,
            nucleated=nucleated,
            frames=frames,
        )
        counts = OpinionCounts(wanted=answers[0], answered=answers[0], agreed=answers[1])
        return SlideSummary(
            **self._envelope(at),
            slide=self.plan.name,
            frames=frames,
            unique_cells=CellCounts(wbc=nucleated, rbc=17 * frames.analysed),
            nucleated_cells=nucleated,
            blasts=blasts,
            uncertain=uncertain,
            blast_fraction=blast_fraction(blasts, nucleated),
            second_opinions=counts if self.plan.second_opinions else None,
            coverage_mm2=round(0.0012 * frames.analysed, 4),
            disposition=verdict.disposition,
            reasons=verdict.reasons,
            started_at=self.began,
            ended_at=None if completion is None else at,
            complete=completion in ("finished", "source_ended"),
            completion=completion,
            control=self.plan.control,
        )


def _opinion(rng: np.random.Generator, blast: bool) -> tuple[float, CellLabel]:
    p = float(rng.beta(7, 1.4) if blast else rng.beta(1.3, 9))
    return _labelled(p)


def _second(rng: np.random.Generator, first: float) -> tuple[float, CellLabel]:
    return _labelled(float(np.clip(first + rng.normal(0, 0.14), 0.001, 0.999)))


def _labelled(p: float) -> tuple[float, CellLabel]:
    p = round(p, 4)
    return p, "blast" if p > 0.62 else "uncertain" if p > 0.38 else "normal"


def _jpeg(frame: np.ndarray, box: tuple[float, float, float, float]) -> bytes:
    side = round(1.7 * max(box[2], box[3]))
    left, top = round(box[0] + box[2] / 2 - side / 2), round(box[1] + box[3] / 2 - side / 2)
    room = side
    padded = cv2.copyMakeBorder(frame, room, room, room, room, cv2.BORDER_REFLECT)
    crop = padded[top + room : top + room + side, left + room : left + room + side]
    crop = cv2.resize(crop, (_CROP_PX, _CROP_PX), interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
    )
    assert done
    return bytes(jpeg)


@lru_cache(maxsize=4)
def _source(plan: Plan) -> SimulatedSource:
    return open_simulated(
        f"sim://?seed={plan.seed}&fields={plan.fields}&white={plan.white}&blasts={plan.blasts}"
        "&stain=0.4&drift=0&jitter=4"
    )
