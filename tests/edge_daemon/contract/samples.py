"""One message of each kind, built from plain values."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from edge_daemon.contract.control import ControlFigures, ControlRun
from edge_daemon.contract.messages import (
    BlastFraction,
    CellCounts,
    CellResult,
    Clock,
    Command,
    CommandReply,
    Crop,
    Desired,
    DesiredBundle,
    EngineInUse,
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
    ReleaseStanding,
    SecondOpinion,
    ShadowReport,
    SlideSummary,
    StagePoint,
    Status,
    UpdateReport,
    UpdateStanding,
)
from edge_daemon.contract.shadow import (
    Agreement,
    Candidate,
    Disagreement,
    LabelCounts,
    LabelTable,
    ProbabilityShift,
    ShadowFrames,
    ShadowSide,
)
from edge_daemon.contract.worst import SlidePlace, WorstCell, WorstField

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
WORST_CELLS = (
    WorstCell(
        unique_id=3,
        label="blast",
        p_blast=0.97,
        frame=4,
        box=(1.3, 2.0, 30.0, 40.0),
        stage=StagePoint(x_um=120.0, y_um=-3.5),
    ),
    WorstCell(unique_id=9, label="blast", p_blast=0.91, frame=7, box=(50.0, 60.0, 31.0, 30.0)),
    WorstCell(unique_id=5, label="uncertain", p_blast=0.55, frame=None, box=(9.0, 8.0, 30.0, 30.0)),
)
WORST_FIELDS = (
    WorstField(
        frame=4,
        blasts=6,
        uncertain=1,
        nucleated=9,
        place=SlidePlace(field=0, piece=0, x=0.0, y=0.0),
        stage=StagePoint(x_um=120.0, y_um=-3.5),
    ),
    WorstField(
        frame=7,
        blasts=4,
        uncertain=1,
        nucleated=8,
        place=SlidePlace(field=0, piece=0, x=448.2, y=-3.0),
    ),
)
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
    "worst_cells": WORST_CELLS,
    "worst_fields": WORST_FIELDS,
}

SHADOW: dict[str, Any] = {
    **ENVELOPE,
    "slide": "slide-7",
    "candidate": Candidate(bundle="leukoedge-0.7.0", digest="sha256:" + "1" * 64),
    "frames": ShadowFrames(first=2, analysed=8, compared=6, skipped=2),
    "table": LabelTable(
        blast=LabelCounts(blast=9), normal=LabelCounts(normal=27, blast=1), uncertain=LabelCounts()
    ),
    "only_active": LabelCounts(blast=1),
    "only_candidate": LabelCounts(normal=2),
    "agreement": Agreement(
        agreed=36, cells=37, estimate=36 / 37, low=0.858, high=0.9994, confidence=0.95
    ),
    "p_blast_shift": ProbabilityShift(mean=0.01, mean_absolute=0.02),
    "by_active": ShadowSide(
        nucleated_cells=38,
        blasts=10,
        blast_fraction=BlastFraction(estimate=10 / 38, low=0.134, high=0.431, confidence=0.95),
        disposition="insufficient",
    ),
    "by_candidate": ShadowSide(
        nucleated_cells=39,
        blasts=10,
        blast_fraction=BlastFraction(estimate=10 / 39, low=0.130, high=0.421, confidence=0.95),
        disposition="insufficient",
    ),
    "disagreements": 4,
    "worst": (
        Disagreement(
            frame=4,
            unique_id=3,
            box=(1.3, 2.0, 30.0, 40.0),
            active=Opinion(p_blast=0.97, label="blast"),
            candidate=None,
            jpeg="/9j/4A==",
        ),
    ),
    "completion": "finished",
}

CONTROL = ControlFigures(
    frames=FrameCounts(captured=10, analysed=10),
    cells=CellCounts(wbc=120, rbc=900, platelet=30),
    nucleated_cells=120,
    blasts=30,
    uncertain=6,
    blast_fraction=BlastFraction(estimate=0.25, low=0.176, high=0.337, confidence=0.95),
    coverage_mm2=0.04,
    um_per_px=0.075,
    focus=21.5,
    exposure=0.71,
    decisions="sha256:" + "7" * 64,
)

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
    ShadowReport(**SHADOW),
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
        engines=(EngineInUse(role="detector", engine="openvino:cpu:f32", precision="int8"),),
    ),
    UpdateReport(
        **ENVELOPE,
        standing=UpdateStanding(
            order="ef" * 16,
            step="failed",
            desired="leukoedge-0.7.0",
            role="active",
            runs="leukoedge-0.6.0",
            waits_for=None,
            refused="leukoedge-0.7.0 was tried and is not good: it fails its golden set",
            orders_refused=(),
            looked_at=MOMENT,
            daemon=ReleaseStanding(
                order="ef" * 16,
                step="committed",
                desired="leukoedge-0.2.0",
                runs="0.2.0",
                waits_for=None,
                refused=None,
            ),
        ),
    ),
    Command(
        **PLACE,
        id="cd" * 16,
        name="slide-start",
        expires_at=MOMENT + timedelta(minutes=1),
        args={"slide": "slide-8"},
    ),
    CommandReply(**ENVELOPE, id="cd" * 16, name="slide-start", ok=False, reason="no bundle"),
    ControlRun(
        **ENVELOPE,
        run=3,
        kind="stored",
        source="control-recording",
        began_at=MOMENT,
        ended_at=MOMENT + timedelta(seconds=20),
        engines="leukoedge-0.6.0 on openvino:cpu",
        setup="sha256:" + "5" * 64,
        pictures="sha256:" + "6" * 64,
        expectation="sha256:" + "8" * 64,
        expected=CONTROL,
        found=CONTROL,
        verdict="passed",
        reasons=("Every decision is the same, on 120 nucleated cells.",),
    ),
    Receipt(**PLACE, boot_id="ab" * 16, up_to_seq=7),
    Desired(**PLACE, id="ef" * 16, bundle=DesiredBundle(name="leukoedge", version="0.7.0")),
)
