"""Small charts of a device's health, drawn by the server as SVG; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from deploy.dashboard.queries.device import HealthPoint

WIDTH, HEIGHT = 300.0, 56.0
_COLUMNS = 150
_GAP = timedelta(minutes=6)
"""A health message is kept each minute: more than a few missing ones are a gap in the line."""


@dataclass(frozen=True)
class Spark:
    """One figure over time."""

    title: str
    now: str
    low: str
    high: str
    paths: tuple[str, ...]
    """``d`` of an SVG path for each stretch without a gap, in a box of :data:`WIDTH` by
    :data:`HEIGHT`."""
    end: tuple[float, float] | None
    """Where the newest value is."""

    @property
    def says(self) -> str:
        """The same in words."""
        return f"{self.title}: {self.now} now, between {self.low} and {self.high}"


@dataclass(frozen=True)
class _Figure:
    title: str
    of: Callable[[HealthPoint], float | None]
    write: Callable[[float], str]
    worst: Callable[[Sequence[float]], float]


def _size(value: float) -> str:
    return f"{value / 1e9:.1f} GB"


FIGURES: tuple[_Figure, ...] = (
    _Figure("Frames per second", lambda one: one.fps, lambda v: f"{v:.1f}", min),
    _Figure("Time per frame, 95th perc.", lambda one: one.p95_ms, lambda v: f"{v:.0f} ms", max),
    _Figure("Hottest sensor", lambda one: one.hottest_c, lambda v: f"{v:.0f} °C", max),
    _Figure("Waiting in its outbox", lambda one: float(one.waiting), lambda v: f"{v:.0f}", max),
    _Figure("Disk free", lambda one: one.disk_free_bytes, _size, min),
    _Figure("Clock, ahead of ours", lambda one: one.skew_s, lambda v: f"{v:+.1f} s", max),
)


def sparks(points: Sequence[HealthPoint], since: datetime, until: datetime) -> tuple[Spark, ...]:
    """A chart for each figure that has values."""
    return tuple(
        made for figure in FIGURES if (made := _spark(figure, points, since, until)) is not None
    )


def dropped_since(points: Sequence[HealthPoint]) -> int:
    """Frames dropped over these points; a daemon that starts anew counts from 0."""
    steps = ((one.dropped, other.dropped) for one, other in pairwise(points))
    return sum(now - before if now >= before else now for before, now in steps)


def _spark(
    figure: _Figure, points: Sequence[HealthPoint], since: datetime, until: datetime
) -> Spark | None:
    values = [(one.at, value) for one in points if (value := figure.of(one)) is not None]
    span_s = (until - since).total_seconds()
    if not values or span_s <= 0:
        return None
    low, high = min(v for _, v in values), max(v for _, v in values)
    room = (high - low) or abs(high) or 1.0
    bottom, top = low - 0.08 * room, high + 0.08 * room
    if low >= 0:
        bottom = max(0.0, bottom) if low > 0.5 * high else 0.0

    def x(at: datetime) -> float:
        return round(WIDTH * min(1.0, max(0.0, (at - since).total_seconds() / span_s)), 1)

    def y(value: float) -> float:
        return round(HEIGHT * (1 - (value - bottom) / (top - bottom)), 1)

    paths = []
    for stretch in _stretches(values):
        columns: dict[int, list[tuple[datetime, float]]] = {}
        for at, value in stretch:
            columns.setdefault(int(x(at) * _COLUMNS / WIDTH), []).append((at, value))
        places = [(x(c[-1][0]), y(figure.worst([v for _, v in c]))) for c in columns.values()]
        if len(places) == 1:
            places.append((min(WIDTH, places[0][0] + 1.5), places[0][1]))
        paths.append("M" + "L".join(f"{one} {other}" for one, other in places))
    last_at, last = values[-1]
    return Spark(
        figure.title,
        figure.write(last),
        figure.write(low),
        figure.write(high),
        tuple(paths),
        (x(last_at), y(last)),
    )


def _stretches(
    values: Sequence[tuple[datetime, float]],
) -> list[list[tuple[datetime, float]]]:
    found = [[values[0]]]
    for before, now in pairwise(values):
        if now[0] - before[0] > _GAP:
            found.append([])
        found[-1].append(now)
    return found
