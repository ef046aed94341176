"""One message of each kind, built from plain values."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from edge_daemon.contract.messages import (
    BlastFraction,
    CellCounts,
    CellResult,
    Clock,
    Command,
    CommandReply,
    Crop,
    FrameCounts,
    FrameQuality,
    FrameResult,
    Health,
    Latency,
    Message,
    Opinion,
    OpinionCounts,
    OutboxDepth,
    Receipt,
    SecondOpinion,
    SlideSummary,
    StagePoint,
    Status,
)

MOMENT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
PLACE: dict[str, Any] = {"site": "lab", "device": "scope-1", "ts": MOMENT}
SENDER: dict[str, Any] = {**PLACE, "boot_id": "ab" * 16, "seq": 7, "record": 5}
ENVELOPE: dict[str, Any] = {**SENDER, "bundle": "sha256:" + "0" * 64}

BLAST = CellResult(
    id=0, box=(1.26, 2, 30, 40), kind="wbc", score=0.9, p_blast=0.97, label="blast", unique_id=3
)
RED = CellResult(id=1, box=(50, 60, 20.04, 20), kind="rbc", score=0.8)

FRAME: dict[str, Any] = {
    **ENVELOPE,
    "slide": "slide-7",
    "frame": 4,
    "source": "field-0004.jpg",
    "captured_at": MOMENT,
}
ANALYSED: dict[str, Any] = {
    **FRAME,
    "outcome": "analysed",
    "width": 640,
    "height": 480,
    "cells": (BLAST, RED),
    "counts": CellCounts(wbc=1, rbc=1),
}
SUMMARY: dict[str, Any] = {
    **ENVELOPE,
    "slide": "slide-7",
    "frames": FrameCounts(captured=10, analysed=8, rejected=1, dropped=0, failed=1),
    "unique_cells": CellCounts(wbc=40, rbc=900, platelet=30),
    "nucleated_cells": 40,
    "blasts": 10,
    "uncertain": 2,
    "blast_fraction": BlastFraction(estimate=0.25, low=0.127, high=0.412, confidence=0.95),
    "second_opinions": OpinionCounts(wanted=12, answered=10, agreed=9, skipped=1),
    "disposition": "positive",
    "reasons": ("10 of 40 nucleated cells are blasts",),
    "started_at": MOMENT,
    "ended_at": MOMENT + timedelta(minutes=1),
    "complete": True,
    "completion": "finished",
    "operator": "op-3",
    "objective": "100x-oil",
    "revisits": 2,
}

SAMPLES: tuple[Message, ...] = (
    FrameResult(
        **ANALYSED,
        quality=FrameQuality(focus=113.0, exposure=0.7, foreground_fraction=0.4),
        stage=StagePoint(x_um=120.0, y_um=-3.5),
        timings_ms={"detect": 12.3456},
        um_per_px=0.1,
        um_per_px_from="estimated",
    ),
    FrameResult(**FRAME, outcome="failed", reason="the file is no picture"),
    SlideSummary(**SUMMARY),
    Crop(
        **ENVELOPE,
        slide="slide-7",
        frame=4,
        unique_id=3,
        p_blast=0.97,
        label="blast",
        um_per_px=0.1,
    ),
    SecondOpinion(
        **ENVELOPE,
        slide="slide-7",
        frame=4,
        unique_id=3,
        first=Opinion(p_blast=0.97, label="blast"),
        second=Opinion(p_blast=0.42, label="uncertain"),
    ),
    Status(**ENVELOPE, state="degraded", reason="the camera is slow", version="0.1.0"),
    Health(
        **ENVELOPE,
        uptime_s=60.0,
        fps=31.5,
        frames=FrameCounts(captured=2, analysed=2),
        latency={"detect": Latency(p50_ms=9, p95_ms=12, p99_ms=20)},
        queues={"detect": 1},
        drops={"the queue was full": 4},
        temperatures_c={"gpu": 51.5},
        outbox=OutboxDepth(messages=3, size_bytes=4000),
        power_w={"VDD_IN": 9.4},
        throttled=("the GPU is limited to 624 of 1020 MHz",),
        clock=Clock(synchronised=True, offset_ms=-0.4, max_error_ms=12.0, told_by="kernel"),
    ),
    Command(
        **PLACE,
        id="cd" * 16,
        name="slide-start",
        expires_at=MOMENT + timedelta(minutes=1),
        args={"slide": "slide-8"},
    ),
    CommandReply(**ENVELOPE, id="cd" * 16, name="slide-start", ok=False, reason="no bundle"),
    Receipt(**PLACE, boot_id="ab" * 16, up_to_seq=7),
)
