"""Devices at the level of messages: what their daemons would say, numbered as they number it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from edge_daemon.contract.envelope import FromDevice
from edge_daemon.contract.findings import BlastFraction
from edge_daemon.contract.messages import (
    CellCounts,
    CellResult,
    CommandReply,
    Crop,
    FrameCounts,
    FrameQuality,
    FrameResult,
    Health,
    Opinion,
    OutboxDepth,
    SecondOpinion,
    SlideSummary,
    Status,
)
from edge_daemon.contract.topics import channel_of, topic_of
from edge_daemon.delivery.link import Arrival
from edge_daemon.delivery.parcel import JPEG_TYPE, Parcel

BUNDLE = "sha256:" + "1" * 64
BEGAN = datetime(2026, 11, 1, 8, tzinfo=timezone.utc)
JPEG = b"\xff\xd8\xff\xd9"


class Speaker:
    """One start of one device's daemon; ``chance`` decides what its cells are."""

    def __init__(self, site: str, device: str, chance: random.Random | None = None) -> None:
        self.site, self.device = site, device
        self.boot_id = uuid.uuid4().hex
        self.seq = self.record = 0
        self._chance = chance or random.Random(0)
        self.captured = 0
        self.labels: dict[int, str] = {}
        self.views: list[tuple[int, CellResult]] = []

    def _envelope(self, *, stored: bool = True) -> dict[str, Any]:
        self.seq += 1
        self.record += stored
        return {
            "site": self.site,
            "device": self.device,
            "boot_id": self.boot_id,
            "seq": self.seq,
            "record": self.record,
            "bundle": BUNDLE,
            "ts": BEGAN + timedelta(seconds=self.seq),
        }

    def status(self, state: str = "online", **more: Any) -> Status:
        reason = None if state == "online" else "a reason"
        said = {"state": state, "reason": reason, "version": "1.0.0"} | more
        return Status(**{**self._envelope(stored=False), **said})

    def health(self, **more: Any) -> Health:
        said: dict[str, Any] = {
            "uptime_s": 10.0, "fps": 2.0, "frames": FrameCounts(), "latency": {}, "queues": {},
            "drops": {}, "outbox": OutboxDepth(messages=3, size_bytes=1000),
        }  # fmt: skip
        return Health(**{**self._envelope(stored=False), **said, **more})

    def frame(self, slide: str = "slide-1", cells: int = 3, **more: Any) -> FrameResult:
        number, self.captured = self.captured, self.captured + 1
        found = tuple(self._cell(number, place) for place in range(cells))
        said: dict[str, Any] = {
            "slide": slide,
            "frame": number,
            "source": "patient-4711/field.jpg",
            "captured_at": BEGAN + timedelta(seconds=number),
            "outcome": "analysed",
            "quality": FrameQuality(focus=20.0, exposure=0.7),
            "timings_ms": {"detect": 20.0, "classify": 5.0},
            "width": 640,
            "height": 480,
            "counts": CellCounts(wbc=len(found)),
            "cells": found,
        }
        return FrameResult(**{**self._envelope(), **said, **more})

    def _cell(self, frame: int, place: int) -> CellResult:
        chance = self._chance
        unique = max(0, frame - chance.randrange(3)) * 10 + place
        p_blast = round(chance.random(), 3)
        label = "blast" if p_blast > 0.7 else "uncertain" if p_blast > 0.5 else "normal"
        x = chance.choice([0.0, 100.0])  # at the border, or whole
        cell = CellResult(
            id=place, box=(x, 50.0, 30.0, 30.0), kind="wbc", score=round(chance.random(), 3),
            p_blast=p_blast, label=label, unique_id=unique,
        )  # fmt: skip
        self.views.append((frame, cell))
        return cell

    def rejected(self, slide: str = "slide-1") -> FrameResult:
        number, self.captured = self.captured, self.captured + 1
        return FrameResult(
            **self._envelope(), slide=slide, frame=number, source="x", outcome="rejected",
            captured_at=BEGAN, reason="out of focus",
        )  # fmt: skip

    def crop(self, slide: str = "slide-1", unique_id: int = 0, frame: int = 0) -> Crop:
        return Crop(
            **self._envelope(), slide=slide, frame=frame, unique_id=unique_id, p_blast=0.9,
            label="blast", um_per_px=0.1,
        )  # fmt: skip

    def opinion(self, slide: str = "slide-1", unique_id: int = 0) -> SecondOpinion:
        return SecondOpinion(
            **self._envelope(), slide=slide, frame=0, unique_id=unique_id,
            first=Opinion(p_blast=0.9, label="blast"), second=Opinion(p_blast=0.2, label="normal"),
        )  # fmt: skip

    def summary(
        self, slide: str = "slide-1", blasts: int = 3, nucleated: int = 10, **more: Any
    ) -> SlideSummary:
        share = blasts / nucleated
        fraction = BlastFraction(
            estimate=share, low=share / 2, high=min(1.0, share * 2), confidence=0.95
        )
        said: dict[str, Any] = {
            "slide": slide,
            "frames": FrameCounts(captured=self.captured, analysed=self.captured),
            "unique_cells": CellCounts(wbc=nucleated),
            "nucleated_cells": nucleated,
            "blasts": blasts,
            "uncertain": 0,
            "blast_fraction": fraction,
            "disposition": "review",
            "reasons": ("so many cells",),
            "started_at": BEGAN,
        }
        return SlideSummary(**{**self._envelope(), **said, **more})

    def reply(self) -> CommandReply:
        return CommandReply(**self._envelope(), id="c" * 32, name="status", ok=True)

    def some(self, count: int, slide: str = "slide-1") -> Iterator[FromDevice]:
        """So many messages of all kinds."""
        for number in range(count):
            kind = number % 8
            if kind == 0:
                yield self.summary(slide)
            elif kind == 1:
                yield self.crop(slide, unique_id=number)
            elif kind == 2:
                yield self.opinion(slide, unique_id=number)
            elif kind == 3:
                yield self.rejected(slide)
            elif kind == 4:
                yield self.reply()
            else:
                yield self.frame(slide)


def arrival(message: FromDevice, **more: Any) -> Arrival:
    """As it comes out of the broker."""
    parcel = parcel_of(message)
    values: dict[str, Any] = {"retained": False, "about": parcel.about, "historical": False}
    return Arrival(parcel.topic, parcel.payload, **(values | more))


def parcel_of(message: FromDevice) -> Parcel:
    """As it goes to the broker."""
    json = message.to_json()
    channel = channel_of(message)  # type: ignore[arg-type]
    topic = topic_of(message)  # type: ignore[arg-type]
    shared = (message.boot_id, message.seq, channel.qos, channel.retained)
    if isinstance(message, Crop):
        return Parcel(topic, JPEG, *shared, content_type=JPEG_TYPE, about=json.decode())
    return Parcel(topic, json, *shared)
