"""What is known of a device during a rollout, and what a message of it changes. Pure.

Frames, errors, speed and heat are of the bundle and the daemon that the device uses now: they begin
anew when it reports another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from deploy.registry.heard import plain, taken
from deploy.registry.record import Reported
from edge_daemon.contract.base import Digest, StrictModel
from edge_daemon.contract.envelope import Count
from edge_daemon.contract.messages import Health, Message, ShadowReport, Status, UpdateReport
from edge_daemon.contract.update import UpdateStanding

MOST_SLIDES = 32
"""Slides of a candidate that are remembered, the newest."""


@dataclass(frozen=True)
class Looked:
    """What a candidate came to on one slide."""

    candidate: Digest
    cells: int
    """Judged by one of both at least."""
    disagreements: int
    fault: str | None
    at: datetime


@dataclass(frozen=True)
class Seen:
    """One device, as far as it was heard."""

    reported: Reported = field(default_factory=Reported)
    update: UpdateStanding | None = None
    frames: int = 0
    """Ended while somebody listened, with the bundle and the daemon in use."""
    errors: int = 0
    """Of these, failed or dropped."""
    best_fps: float | None = None
    """Highest of its health messages with the bundle in use."""
    counted: tuple[str, int, int] | None = None
    """Start of the daemon, frames and errors at its last health message."""
    looked: Mapping[str, Looked] = field(default_factory=dict)
    """By slide."""


class Before(StrictModel):
    """What a device was when it was ordered; kept in the journal."""

    state: str | None
    bundle: Digest | None
    fps: float | None
    hottest_c: float | None
    control_run: Count
    version: str | None = None
    """Of the daemon."""

    @classmethod
    def of(cls, seen: Seen) -> Before:
        """From what is known now."""
        is_ = seen.reported
        return cls(
            state=is_.state,
            bundle=is_.bundle,
            fps=seen.best_fps or is_.fps or None,
            hottest_c=is_.hottest_c,
            control_run=is_.control_run,
            version=is_.version,
        )


def heard(
    seen: Seen, message: Message, at: datetime, *, retained: bool, historical: bool = False
) -> Seen:
    """What is known with this message."""
    if isinstance(message, UpdateReport):
        return replace(seen, update=message.standing)
    if isinstance(message, ShadowReport):
        return replace(seen, looked=_looked(seen.looked, message))
    reported = taken(seen.reported, message, at, retained=retained, historical=historical)
    if isinstance(message, Status):
        reported = _with_will(reported, message)
    if reported is seen.reported:
        return seen
    is_other = seen.reported.bundle not in (None, reported.bundle)
    if is_other or seen.reported.version not in (None, reported.version):
        reported = reported.model_copy(update={"fps": None, "hottest_c": None})
        seen = replace(seen, frames=0, errors=0, best_fps=None)
        if isinstance(message, Health):
            figures = {"fps": message.fps, "hottest_c": _hottest(message)}
            reported = reported.model_copy(update=figures)
    seen = replace(seen, reported=reported)
    return seen if not isinstance(message, Health) else _counted(seen, message)


def _with_will(reported: Reported, said: Status) -> Reported:
    """Who is away left a last will, which names what it used."""
    told = {"bundle": said.bundle, "version": plain(said.version)}
    news = {name: value for name, value in told.items() if getattr(reported, name) is None}
    return reported.model_copy(update=news) if news else reported


def _counted(seen: Seen, said: Health) -> Seen:
    errors = said.frames.failed + said.frames.dropped
    now = (said.boot_id, said.frames.captured, errors)
    boot, frames_before, errors_before = seen.counted or now
    if boot != said.boot_id:
        frames_before = errors_before = 0
    return replace(
        seen,
        frames=seen.frames + max(now[1] - frames_before, 0),
        errors=seen.errors + max(errors - errors_before, 0),
        best_fps=max(seen.best_fps or 0.0, said.fps) or None,
        counted=now,
    )


def _looked(known: Mapping[str, Looked], said: ShadowReport) -> dict[str, Looked]:
    before = known.get(said.slide)
    if before is not None and before.at > said.ts:
        return dict(known)
    cells = said.table.cells + said.only_active.cells + said.only_candidate.cells
    news = Looked(said.candidate.digest, cells, said.disagreements, said.fault, said.ts)
    slides = sorted({**known, said.slide: news}.items(), key=lambda one: one[1].at)
    return dict(slides[-MOST_SLIDES:])


def _hottest(said: Health) -> float | None:
    return max(said.temperatures_c.values(), default=None)
