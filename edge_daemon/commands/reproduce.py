"""``leuko-edge reproduce``: a recorded session gone through again, decision for decision."""

from __future__ import annotations

import uuid
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from edge_daemon.calibration.apply import Calibrated
from edge_daemon.commands.models import open_models
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import DataError
from edge_daemon.pipeline import Pipeline
from edge_daemon.recording.recorded import RecordedSource
from edge_daemon.recording.session_file import read_recorded_calibration
from edge_daemon.reporter import Reporter
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup, Standing
from edge_daemon.sources.open import open_source
from edge_daemon.vision.quality import QualityThresholds

MOST_SHOWN = 20
_PASSING = {"site", "device", "ts", "boot_id", "seq", "record", "timings_ms"}
"""Fields that belong to the moment and not to the decision."""
_COUNTED = (
    "frames",
    "unique_cells",
    "nucleated_cells",
    "blasts",
    "uncertain",
    "saturated_frames",
    "coverage_mm2",
    "position_lost",
    "revisits",
    "worst_cells",
    "worst_fields",
)
"""Fields of a summary that its frames decide, and no threshold of the slide."""


def reproduce(
    folder: Path,
    console: Console,
    *,
    source: str | None = None,
    bundle: Path | None = None,
    options: EngineOptions = EngineOptions(),
) -> bool:
    """Go through a recording again; True when every decision, and what they add up to, is the same.

    Raises:
        DataError: it is no recording, was cut off, begins in the middle of its slide, was made
            with another bundle, or through a calibration that is not there.
        SourceError: a picture is missing, or not the one that was recorded.
        LeukoError: bundle or engine cannot be used.
    """
    original = None if source is None else open_source(source)
    recorded = RecordedSource(folder, original)
    session = recorded.session
    if not session.from_the_start:
        raise DataError(
            f"{folder} begins where its slide was taken up again; what came before decides which "
            "cell is which, so it cannot be gone through by itself"
        )
    if session.fault is not None:
        console.print(f"the recording ended early: {session.fault}", highlight=False)
    quality = QualityThresholds.model_validate(session.config["quality"])
    calibration = read_recorded_calibration(folder, session)
    calibrated = None if calibration is None else Calibrated(calibration, f"{folder}'s calibration")
    different = 0
    with open_models(bundle, options) as models, recorded:
        if models.bundle.digest != session.bundle:
            raise DataError(
                f"{folder} was recorded with bundle {session.bundle}, this is "
                f"{models.bundle.label} ({models.bundle.digest}); name that one with --bundle"
            )
        pipeline = Pipeline(models, quality, calibrated)
        slide = SlideSession(SlideSetup(session.slide), pipeline.slide_map)
        origin = Origin("lab", "reproduced", uuid.uuid4().hex, models.bundle.digest)
        run = SlideRun(pipeline, slide, Reporter(origin, session.slide))
        frames = track(
            recorded, "going through it again", session.frames, console=console, transient=True
        )
        for captured in frames:
            before = recorded.frames[-1].result
            if calibrated is None and before.quality is not None and before.quality.calibrated:
                raise DataError(
                    f"{folder} was recorded by LeukoEdge {session.version} through a calibration "
                    "that it did not keep; it cannot be gone through again"
                )
            result = run.enter(pipeline.prepare(captured))
            names = differences(before, result)
            if names:
                different += 1
                if different <= MOST_SHOWN:
                    console.print(
                        f"frame {before.frame} ({before.source}): {', '.join(names)}",
                        highlight=False,
                    )
        told = [] if session.summary is None else otherwise(session.summary, slide.standing())
        for line in told:
            console.print(f"summary: {line}", highlight=False)
    count = len(recorded.frames)
    console.print(
        f"{count} frames of {session.slide} gone through again: "
        + ("every decision is the same" if not different else f"{different} are decided otherwise")
        + ("" if session.complete else "; the recording is not complete"),
        highlight=False,
    )
    if different and session.engines != models.description:
        console.print(f"recorded on {session.engines}; here {models.description}", highlight=False)
    return not different and not told


def differences(before: FrameResult, after: FrameResult) -> list[str]:
    """In what two results of one frame differ, in words; nothing but what was decided."""
    old, new = (one.model_dump(mode="json", exclude=_PASSING) for one in (before, after))
    return [_told(name, old[name], new[name]) for name in old if old[name] != new[name]]


def otherwise(before: SlideSummary, after: Standing) -> list[str]:
    """In what a slide adds up to something else, in words; what follows from it is left out."""
    lines = []
    for name in _COUNTED:
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        if name.startswith("worst_"):
            pairs = zip_longest(old, new)
            lines.append(f"{name}: {sum(one != other for one, other in pairs)} of {len(old)}")
        else:
            lines.append(f"{name} {old} -> {new}")
    return lines


def _told(name: str, before: Any, after: Any) -> str:
    if name == "cells":
        pairs = zip(before, after, strict=False)
        changed = sum(one != other for one, other in pairs) + abs(len(before) - len(after))
        return f"{changed} cells"
    return f"{name} {before} -> {after}"
