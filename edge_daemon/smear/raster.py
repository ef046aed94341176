"""The way of the stage over the slide: rows to and fro, neighbouring fields overlapping.

A real stage does not stand exactly where it says: after a change of direction the screw has play
(backlash), and every stop is off by a little. So a stop has two positions, reported and true.
Where a slide is moved by hand it creeps, and that adds up; and its mover looks here and there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, sqrt

import numpy as np


@dataclass(frozen=True)
class Stop:
    """Top left corner of one field in um: what the stage reports, and where it truly is."""

    reported_um: tuple[float, float]
    true_um: tuple[float, float]


@dataclass(frozen=True)
class Raster:
    """All stops of a scan and the area of the slide that they may show, in um."""

    stops: tuple[Stop, ...]
    width_um: float
    height_um: float


def columns_for(fields: int, step_ratio: float) -> int:
    """Fields in a row such that the scan is about square and, if possible, its last row is full.

    ``step_ratio`` is the step between rows over the step between columns.
    """
    ideal = sqrt(fields * step_ratio)
    near = range(max(1, ceil(ideal / 1.5)), min(fields, int(ideal * 1.5)) + 1)
    full = [count for count in near if fields % count == 0]
    return min(full, key=lambda count: abs(count - ideal)) if full else max(1, round(ideal))


def plan_raster(
    rng: np.random.Generator,
    fields: int,
    field_um: tuple[float, float],
    overlap: float,
    jitter_um: float,
    backlash_um: float,
    margin_um: float,
) -> Raster:
    """A serpentine of ``fields`` stops over fields of ``field_um`` (width, height).

    Args:
        rng: draws the jitter.
        fields: number of stops.
        field_um: width and height of a field.
        overlap: share of a field's width and height that it has in common with its neighbour.
        jitter_um: standard deviation of the error of every stop, per axis.
        backlash_um: how far stops of rows run backwards lie off, against the way of the stage.
        margin_um: slide left around the scan, so that its outer fields cut cells too.
    """
    step_x, step_y = field_um[0] * (1 - overlap), field_um[1] * (1 - overlap)
    columns = columns_for(fields, step_y / step_x)
    rows = ceil(fields / columns)
    stops = []
    for index in range(fields):
        row, place = divmod(index, columns)
        backwards = row % 2 == 1
        column = columns - 1 - place if backwards else place
        reported = (margin_um + column * step_x, margin_um + row * step_y)
        error_x, error_y = rng.normal(0, jitter_um, 2) if jitter_um else (0.0, 0.0)
        play = backlash_um if backwards else 0.0
        stops.append(Stop(reported, (reported[0] + play + error_x, reported[1] + error_y)))
    return Raster(
        tuple(stops),
        (columns - 1) * step_x + field_um[0] + 2 * margin_um,
        (rows - 1) * step_y + field_um[1] + 2 * margin_um,
    )


def with_jumps(rng: np.random.Generator, raster: Raster, jumps: int) -> Raster:
    """The same stops in an order that leaves the way ``jumps`` times.

    The way is cut into pieces, and each piece is followed by one that does not begin where it
    ended: the stage moves on to a place that need not overlap with anything seen, and comes back
    to what it left out later. Every stop is made once.
    """
    pieces = min(jumps + 1, len(raster.stops))
    if pieces < 2:
        return raster
    cuts = np.sort(1 + rng.permutation(len(raster.stops) - 1)[: pieces - 1])
    parts = np.split(np.arange(len(raster.stops)), cuts)
    order = _apart(rng, pieces)
    return replace(raster, stops=tuple(raster.stops[i] for part in order for i in parts[part]))


def _apart(rng: np.random.Generator, count: int) -> Sequence[int]:
    """The numbers below ``count`` in an order in which none is followed by the next one."""
    for _ in range(100):
        order: list[int] = rng.permutation(count).tolist()
        if all(after != before + 1 for before, after in pairwise(order)):
            return order
    return range(count - 1, -1, -1)


def with_drift(rng: np.random.Generator, raster: Raster, drift_um: float) -> Raster:
    """The same stops, each off by what the slide crept since the first, unknown to the stage.

    ``drift_um``: standard deviation of a step, per axis; the steps add up.
    """
    if not drift_um:
        return raster
    crept = np.cumsum(rng.normal(0, drift_um, (len(raster.stops), 2)), axis=0)
    stops = tuple(
        replace(stop, true_um=(stop.true_um[0] + float(dx), stop.true_um[1] + float(dy)))
        for stop, (dx, dy) in zip(raster.stops, crept, strict=True)
    )
    return replace(raster, stops=stops)
