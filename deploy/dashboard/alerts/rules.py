"""The rules: from what is so to what people have to know. Pure.

Each gives at most one finding about its subject. What nobody can know now, since nobody listens, is
neither raised nor cleared: :func:`findings` leaves it out, and :func:`is_over` keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from deploy.dashboard.alerts.drift import Drifted, drifted
from deploy.dashboard.alerts.facts import ChannelFacts, DeviceFacts, Facts, Series, SlideFacts
from deploy.dashboard.alerts.words import Finding, Kind, Level, Limits

CENTRAL = "central side"
_OF_DEVICES: tuple[Kind, ...] = ("device", "gaps", "control", "disk")


@dataclass(frozen=True)
class Open:
    """An alert that is open."""

    id: int
    kind: Kind
    subject: str
    level: Level
    line: str
    raised_at: datetime
    device_id: int | None = None
    slide_id: int | None = None
    acknowledged: bool = False


def findings(facts: Facts, limits: Limits) -> Iterator[Finding]:
    """All that has to be known now."""
    if (found := ingest(facts)) is not None:
        yield found
    if (found := central_disk(facts, limits)) is not None:
        yield found
    for channel in facts.channels:
        if (found := told(channel, limits)) is not None:
            yield found
    for slide in facts.slides.values():
        if (found := positive(slide)) is not None:
            yield found
    for number, series in facts.series.items():
        if number in facts.devices:
            yield from drifts(facts.devices[number], series, limits)
    if facts.heard.since is None:
        return
    for device in facts.devices.values():
        for one in (
            standing(device),
            gaps(device, facts.now, limits),
            control(device),
            disk(device, limits),
        ):
            if one is not None:
                yield one


def ingest(facts: Facts) -> Finding | None:
    """Nobody takes in messages, though somebody once did."""
    if facts.heard.since is not None or not facts.heard.workers:
        return None
    until = facts.heard.until
    when = "" if until is None else f" since {_clock(until)}"
    line = f"Nobody takes in messages{when}: what stands here is of then; start the ingest"
    return Finding("ingest", "ingest", "urgent", line)


def positive(slide: SlideFacts) -> Finding | None:
    """A slide is positive, and no person has signed it."""
    if slide.disposition != "positive" or slide.review == "signed":
        return None
    so_far = " so far" if slide.running else ""
    between = ""
    if slide.low is not None and slide.high is not None:
        between = f", interval {slide.low:.1%} to {slide.high:.1%}"
    line = (
        f"Slide {slide.name} of {slide.device} is positive{so_far}: {slide.fraction:.1%} blasts"
        f"{between}, of {slide.nucleated} nucleated cells; not signed"
    )
    return Finding(
        "positive", f"slide {slide.id}", "urgent", _spaced(line), slide.device_id, slide.id
    )


def standing(device: DeviceFacts) -> Finding | None:
    """A device is not there, or says itself that it is not well."""
    level: Level
    if device.standing == "silent":
        level, what = "urgent", "is silent"
        if device.seen_at is None:
            what = "was never heard itself"
        else:
            what = f"is silent: last heard {_clock(device.seen_at)}"
    elif device.standing == "offline":
        level, what = "warning", "is offline"
        if device.state_at is not None:
            what += f" since {_clock(device.state_at)}"
    elif device.standing == "degraded":
        level, what = "warning", "is degraded: its page says why"
    else:
        return None
    if device.screening is not None and device.standing != "degraded":
        level, what = "urgent", f"{what}, while slide {device.screening} was in progress"
    return Finding("device", f"device {device.id}", level, f"{device.name} {what}", device.id)


def gaps(device: DeviceFacts, now: datetime, limits: Limits) -> Finding | None:
    """Results were issued, and have not arrived for longer than a way takes."""
    since = device.missing_since
    if not device.missing or since is None:
        return None
    if (now - since).total_seconds() < limits.gap_after_s:
        return None
    many = "1 result has" if device.missing == 1 else f"{device.missing} results have"
    line = f"{device.name}: {many} not arrived, the first since {_clock(since)}"
    return Finding("gaps", f"device {device.id}", "warning", line, device.id)


def control(device: DeviceFacts) -> Finding | None:
    """Known cells were not found as expected, or were not looked at when they should."""
    if device.control_verdict == "failed":
        line = f"{device.name}: control run {device.control_run} failed"
        return Finding("control", f"device {device.id}", "urgent", line, device.id)
    if device.control_due:
        line = f"{device.name}: a control is due"
        return Finding("control", f"device {device.id}", "warning", line, device.id)
    return None


def disk(device: DeviceFacts, limits: Limits) -> Finding | None:
    """A device's disk is nearly full; what finds no room is given up, pictures first."""
    free = device.disk_free_bytes
    if free is None or free >= limits.disk_low_bytes:
        return None
    return _disk(f"device {device.id}", device.name, free, limits, device.id)


def central_disk(facts: Facts, limits: Limits) -> Finding | None:
    """Likewise where the database lies."""
    free = facts.central_free_bytes
    if free is None or free >= limits.disk_low_bytes:
        return None
    return _disk(CENTRAL, f"The {CENTRAL}", free, limits, None)


def _disk(subject: str, name: str, free: int, limits: Limits, number: int | None) -> Finding:
    level: Level = "urgent" if free < limits.disk_full_bytes else "warning"
    line = f"{name}: {free / 1e9:.1f} GB of disk are free"
    return Finding("disk", subject, level, _spaced(line), number)


def told(channel: ChannelFacts, limits: Limits) -> Finding | None:
    """Alerts do not reach somebody who should be told."""
    if channel.tries < limits.channel_tries:
        return None
    since = "ever" if channel.told_at is None else f"since {_clock(channel.told_at)}"
    line = f"The {channel.name} has not taken an alert {since}: tried {channel.tries} times"
    return Finding("channel", channel.name, "warning", line)


def drifts(device: DeviceFacts, series: Series, limits: Limits) -> Iterator[Finding]:
    """The newest slides of a device are not as its slides before them."""
    models = "; the models changed meanwhile" if series.bundles > 1 else ""
    found = drifted(series.shares, limits.scores_by, limits)
    if found is not None:
        what = f"{found.recent:.1%} of cells are blasts or uncertain, before {found.past:.1%}"
        yield _drift("scores", device, what, found, models)
    found = drifted(series.stains, limits.stain_by, limits)
    if found is not None:
        what = f"the stain lies {found.recent:.2f} from its reference, before {found.past:.2f}"
        yield _drift("stain", device, what, found, "")


def _drift(kind: Kind, device: DeviceFacts, what: str, found: Drifted, more: str) -> Finding:
    line = (
        f"{device.name}: {what} (medians of the last {found.slides[0]} slides and of "
        f"{found.slides[1]} before them{more})"
    )
    return Finding(kind, f"device {device.id}", "warning", _spaced(line), device.id)


def is_over(alert: Open, facts: Facts, limits: Limits) -> bool:
    """Whether an alert that no rule finds any more is over, rather than unknown."""
    if alert.kind in ("scores", "stain"):
        return alert.device_id in facts.series
    if alert.kind == "positive":
        slide = facts.slides.get(alert.slide_id or 0)
        return slide is None or positive(slide) is None
    if alert.kind == "disk" and alert.subject == CENTRAL:
        free = facts.central_free_bytes
        return free is not None and free >= limits.disk_low_bytes * limits.disk_enough
    if alert.kind not in _OF_DEVICES:
        return True
    if facts.heard.since is None:
        return False
    device = facts.devices.get(alert.device_id or 0)
    if device is None:
        return True
    if alert.kind == "device":
        # a listener that began anew has heard nothing yet: that is no sign of life
        return device.seen_at is not None and device.seen_at >= alert.raised_at
    if alert.kind == "disk":
        free = device.disk_free_bytes
        return free is not None and free >= limits.disk_low_bytes * limits.disk_enough
    return True


def _clock(at: datetime) -> str:
    return f"{at:%d %b %H:%M} UTC".lstrip("0")


def _spaced(line: str) -> str:
    return line.replace("%", " %")
