"""Where a device is not as it should be: each point with a line for whoever has to look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from deploy.registry.record import Device, Listened

Point: TypeAlias = Literal[
    "bundle", "version", "offline", "silent", "clock", "duplicate", "certificate"
]


@dataclass(frozen=True)
class Limits:
    """From where on something is told."""

    silent_s: float = 300.0
    """A daemon sends its health every few seconds."""
    skew_s: float = 5.0
    duplicate_s: float = 86_400.0
    """How long two daemons of one name are spoken of."""
    listener_s: float = 60.0
    """A listener that wrote nothing for so long does not listen."""


DEFAULT = Limits()


@dataclass(frozen=True)
class Drift:
    """One point."""

    point: Point
    line: str


def drift(
    device: Device, listened: Listened | None, now: datetime, limits: Limits = DEFAULT
) -> list[Drift]:
    """What is not as desired; empty where all is, as far as anybody listened."""
    found: list[Drift] = []
    wish, is_ = device.desired, device.reported
    if device.enrolment.standing != "enrolled":
        found.append(Drift("certificate", f"its certificate is {device.enrolment.standing}"))
    if wish is not None:
        if wish.bundle is not None and wish.bundle != is_.bundle:
            line = f"shall run bundle {short(wish.bundle)}, reports {short(is_.bundle)}"
            found.append(Drift("bundle", line))
        if wish.version is not None and wish.version != is_.version:
            line = f"shall run daemon {wish.version}, reports {is_.version or 'none'}"
            found.append(Drift("version", line))
    if is_.state == "offline":
        found.append(Drift("offline", "is offline"))
    if (silence := _silence(device, listened, now, limits)) is not None:
        found.append(Drift("silent", silence))
    if (clock := _clock(device, limits)) is not None:
        found.append(Drift("clock", clock))
    recent = timedelta(seconds=limits.duplicate_s)
    if is_.doubled_at is not None and now - is_.doubled_at < recent:
        line = f"two daemons bore this name at {is_.doubled_at:%Y-%m-%d %H:%M:%S}: rename one"
        found.append(Drift("duplicate", line))
    return found


def is_listening(listened: Listened | None, now: datetime, limits: Limits = DEFAULT) -> bool:
    """Whether somebody listens now."""
    return listened is not None and now - listened.until < timedelta(seconds=limits.listener_s)


def short(digest: str | None) -> str:
    """The beginning of a digest, for people."""
    return "none" if digest is None else digest.removeprefix("sha256:")[:12]


def _silence(
    device: Device, listened: Listened | None, now: datetime, limits: Limits
) -> str | None:
    """Only the time in which somebody listened counts."""
    seen = device.reported.seen_at
    if listened is None:
        return None
    end = now if is_listening(listened, now, limits) else listened.until
    begun = max(listened.since, device.enrolment.since)
    quiet_s = (end - (begun if seen is None else max(begun, seen))).total_seconds()
    if quiet_s < limits.silent_s:
        return None
    if seen is None:
        return f"was never heard, in {_span(quiet_s)} of listening"
    return f"is silent for {_span((end - seen).total_seconds())}"


def _clock(device: Device, limits: Limits) -> str | None:
    skew_s = device.reported.skew_s
    if skew_s is not None and abs(skew_s) > limits.skew_s:
        return f"its clock is {_span(abs(skew_s))} {'ahead' if skew_s > 0 else 'behind'}"
    if device.reported.clock_synchronised is False:
        return "no time server sets its clock"
    return None


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
