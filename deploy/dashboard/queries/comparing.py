"""Two judgements of the same cells: candidate and active bundle, second opinion and first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from deploy.dashboard.database.tables import devices, opinions, shadows, slides
from deploy.dashboard.database.types import unpacked

LABELS = ("blast", "uncertain", "normal")
_RECENT_SLIDES = 300
"""Slides whose second opinions are counted, the newest: all of them would be all cells ever."""


@dataclass(frozen=True)
class LabelTable:
    """Cells by what the first says (rows) and the other (columns), in the order of ``LABELS``."""

    counts: tuple[tuple[int, int, int], ...]

    @property
    def cells(self) -> int:
        """All of them."""
        return sum(sum(row) for row in self.counts)

    @property
    def agreed(self) -> int:
        """Those of which both say the same."""
        return sum(self.counts[place][place] for place in range(len(LABELS)))


@dataclass(frozen=True)
class Pair:
    """Two bundles that judged the same slides."""

    active: str | None
    candidate: str
    candidate_name: str
    slides: int
    cells: int
    """That both found."""
    agreed: int
    disagreements: int
    """Those, and cells that only one of them found."""
    newest_at: datetime


@dataclass(frozen=True)
class Report:
    """What a candidate said of a slide, newest report, whole."""

    slide_id: int
    slide: str
    site: str
    device: str
    received_at: datetime
    ended: bool
    said: dict[str, Any]


@dataclass(frozen=True)
class Seconds:
    """Second opinions under one bundle."""

    bundle: str | None
    slides: int
    table: LabelTable


def pairs(connection: Connection) -> tuple[Pair, ...]:
    """Every two bundles that were compared, the newest first; the last report of each slide."""
    it = shadows.c
    last = (
        select(it.slide_id, it.candidate, func.max(it.received_at).label("newest"))
        .group_by(it.slide_id, it.candidate)
        .subquery()
    )
    found = connection.execute(
        select(
            it.bundle, it.candidate, func.max(it.candidate_name), func.count(),
            func.sum(it.cells), func.sum(it.agreed), func.sum(it.disagreements),
            func.max(it.received_at).label("newest"),
        )
        .join(
            last,
            (last.c.slide_id == it.slide_id)
            & (last.c.candidate == it.candidate)
            & (last.c.newest == it.received_at),
        )
        .group_by(it.bundle, it.candidate)
        .order_by(func.max(it.received_at).desc())
    )  # fmt: skip
    return tuple(
        Pair(row[0], row[1], row[2], row[3], int(row[4]), int(row[5]), int(row[6]), row[7])
        for row in found
    )


def report(connection: Connection, slide_id: int, candidate: str) -> Report | None:
    """The newest report of a candidate about a slide; None: there is none."""
    row = connection.execute(
        select(
            shadows.c.received_at, shadows.c.ended, shadows.c.message, slides.c.name,
            devices.c.site, devices.c.name.label("device"),
        )
        .join(slides, slides.c.id == shadows.c.slide_id)
        .join(devices, devices.c.id == slides.c.device_id)
        .where(shadows.c.slide_id == slide_id, shadows.c.candidate == candidate)
        .order_by(shadows.c.received_at.desc(), shadows.c.seq.desc())
        .limit(1)
    ).one_or_none()  # fmt: skip
    if row is None:
        return None
    said = json.loads(unpacked(row.message))
    return Report(slide_id, row.name, row.site, row.device, row.received_at, row.ended, said)


def seconds(connection: Connection, slide_id: int | None = None) -> tuple[Seconds, ...]:
    """Second opinions by bundle: of one slide, or of the newest slides."""
    it = opinions.c
    where = it.slide_id == slide_id
    if slide_id is None:
        newest = select(slides.c.id).order_by(slides.c.newest_at.desc()).limit(_RECENT_SLIDES)
        where = it.slide_id.in_(connection.scalars(newest).all())
    found: dict[str | None, dict[tuple[str, str], int]] = {}
    for bundle, first, second, count in connection.execute(
        select(it.bundle, it.first_label, it.second_label, func.count())
        .where(where)
        .group_by(it.bundle, it.first_label, it.second_label)
    ):
        found.setdefault(bundle, {})[first, second] = count
    on = {
        row[0]: row[1]
        for row in connection.execute(
            select(it.bundle, func.count(it.slide_id.distinct())).where(where).group_by(it.bundle)
        )
    }
    return tuple(
        Seconds(bundle, on[bundle], _table(counts))
        for bundle, counts in sorted(found.items(), key=lambda one: -sum(one[1].values()))
    )


def table_of(said: dict[str, Any]) -> LabelTable:
    """The table of a shadow report."""
    table = said.get("table", {})
    return LabelTable(
        tuple(
            tuple(int(table.get(one, {}).get(other, 0)) for other in LABELS)  # type: ignore[misc]
            for one in LABELS
        )
    )


def _table(counts: dict[tuple[str, str], int]) -> LabelTable:
    return LabelTable(
        tuple(tuple(counts.get((one, other), 0) for other in LABELS) for one in LABELS)  # type: ignore[misc]
    )
