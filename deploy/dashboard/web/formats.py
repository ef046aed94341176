"""How figures, times and words are written on pages; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

_PERCENT = "\u202f%"  # a figure and its sign stay on one line
NO_FIGURE = "–"  # noqa: RUF001 - an en dash is how tables say it

WORDS: Mapping[str, str] = {
    # dispositions
    "positive": "Positive",
    "review": "For review",
    "negative": "Negative",
    "insufficient": "Too few cells",
    # cells
    "blast": "Blast",
    "uncertain": "Uncertain",
    "normal": "Normal",
    "not_a_cell": "Not a cell",
    # states of a slide
    "running": "In progress",
    "paused": "Paused",
    "complete": "Complete",
    "cut short": "Cut short",
    # states of its review
    "preliminary": "Preliminary",
    "first": "Second reader wanted",
    "signed": "Signed",
    "amended": "Sign again",
    # kinds of decision
    "confirm": "agreed",
    "override": "changed",
    "undo": "took back",
    "sign": "signed",
    "second": "signed as second reader",
    "reopen": "took up again",
    "comment": "commented",
}

COMPLETIONS: Mapping[str, str] = {
    "finished": "finished at the microscope",
    "source_ended": "all of it was screened",
    "aborted": "thrown away at the microscope",
    "stopped": "the daemon was stopped",
    "interrupted": "cut off, and could not be taken up again",
    "bundle_changed": "the models were changed",
    "source_failed": "the camera failed",
    "device_lost": "the accelerator failed",
}

STEPS: Mapping[str, str] = {
    "followed": "read",
    "chosen": "found in the repository",
    "fetched": "downloaded",
    "unpacked": "downloaded",
    "staged": "ready to be tried",
    "built": "ready to be tried",
    "trying": "being tried",
    "switching": "being tried",
    "switched": "being tried",
    "restarted": "being tried",
    "undoing": "being taken back",
    "undone": "taken back",
    "candidate": "looks on",
    "active": "in use",
    "committed": "in use",
    "failed": "failed",
}
"""Of an order of a bundle or of the daemon, as its device says it."""


def percent(fraction: float | None, digits: int = 1) -> str:
    """A share of one as per cent; no 0.0 % or 100.0 % for what is not exactly that."""
    if fraction is None:
        return NO_FIGURE
    value = round(100 * fraction, digits)
    step = 10.0**-digits
    if value == 0 and fraction > 0:
        return f"<{step:.{digits}f}{_PERCENT}"
    if value == 100 and fraction < 1:
        return f">{100 - step:.{digits}f}{_PERCENT}"
    return f"{value:.{digits}f}{_PERCENT}"


def count(number: int | None) -> str:
    """A number of things, with thin spaces between thousands."""
    return NO_FIGURE if number is None else f"{number:,}".replace(",", "\u202f")


def plural(number: int, one: str, many: str | None = None) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def word(name: str | None) -> str:
    """What people call it; a word that is not known here is shown as it is."""
    return NO_FIGURE if name is None else WORDS.get(name, name)


def completion(name: str | None) -> str:
    """Why a slide ended."""
    return NO_FIGURE if name is None else COMPLETIONS.get(name, name)


def step(name: str | None) -> str:
    """How far an order has come; of an updater that says another word, that word."""
    return NO_FIGURE if name is None else STEPS.get(name, name)


def moment(at: datetime | None) -> str:
    """A time of record, UTC."""
    if at is None:
        return NO_FIGURE
    return at.astimezone(timezone.utc).strftime("%d %b %Y, %H:%M:%S UTC").lstrip("0")


def iso(at: datetime) -> str:
    """The same for programs."""
    return at.astimezone(timezone.utc).isoformat(timespec="seconds")


def age(at: datetime | None, now: datetime) -> str:
    """How long ago, in one unit."""
    if at is None:
        return NO_FIGURE
    seconds = max(0.0, (now - at).total_seconds())
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < most * size:
            return f"{int(seconds // size)}\u202f{unit}"
    return f"{int(seconds // 86400)}\u202fd"


def bundle(digest: str | None) -> str:
    """The first digits of a bundle's digest: enough to tell two apart by eye."""
    return NO_FIGURE if digest is None else digest.removeprefix("sha256:")[:12]


def size(size_bytes: int | None) -> str:
    """An amount of data, decimal units."""
    if size_bytes is None:
        return NO_FIGURE
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"


def span(seconds: float | None) -> str:
    """A time that something lasted."""
    if seconds is None:
        return NO_FIGURE
    for unit, factor in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.0f} {unit}"
    return f"{seconds:.0f} s"


def merged(names: Mapping[str, str], key: str, name: str) -> dict[str, str]:
    """The same names and one more."""
    return {**names, key: name}


@dataclass(frozen=True)
class Bar:
    """An interval on a scale, in units of a picture 100 wide."""

    low: float
    high: float
    estimate: float | None
    says: str


MARKS = (0.0, 0.05, 0.20, 0.50, 1.0)
"""Of the scale: 5 % and 20 % are where a disposition changes."""


def place(fraction: float) -> float:
    """Where a fraction lies on the scale, 0 to 100.

    The scale goes by the square root: 5 % and 20 %, which decide, are then apart on a picture two
    centimetres wide.
    """
    return round(100 * math.sqrt(max(0.0, min(1.0, fraction))), 2)


def bar(fraction: float | None, low: float | None, high: float | None) -> Bar | None:
    """An interval to be drawn; None without one."""
    if low is None or high is None:
        return None
    says = f"{percent(fraction)}, interval {percent(low)} to {percent(high)}"
    return Bar(place(low), place(high), None if fraction is None else place(fraction), says)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "percent": percent,
    "count": count,
    "plural": plural,
    "word": word,
    "step": step,
    "completion": completion,
    "moment": moment,
    "iso": iso,
    "age": age,
    "bundle": bundle,
    "place": place,
    "size": size,
    "span": span,
    "merged": merged,
}
