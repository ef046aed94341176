"""One slide as every export tells it: the page's own figures, gathered once.

CSV, PDF and FHIR of a slide must never say different things, so all of them are written from a
:class:`SlideRecord`, and that is made by the functions of the slide's page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, select

from deploy.dashboard.database.tables import bundles, devices, slides
from deploy.dashboard.queries.cells import Cell, cells_of
from deploy.dashboard.queries.slide import FrameQualities, slide
from deploy.dashboard.queries.worklist import SlideRow
from deploy.dashboard.review.chain import identity_of
from deploy.dashboard.review.signing import Signature, signatures
from deploy.dashboard.web.slide import (
    Counts,
    Delivery,
    counts_after,
    counts_before,
    decided_of,
    delivery_of,
    is_stale,
    standing_signatures,
)

ReportStatus: TypeAlias = Literal["registered", "preliminary", "final", "amended", "corrected"]
"""How far a report may be trusted, in the words of HL7 FHIR R4."""

ENDED = ("complete", "cut short")


@dataclass(frozen=True)
class SlideRecord:
    """All that a report of a slide says."""

    row: SlideRow
    database: str
    """The database's own identity: numbers of slides mean something in it alone."""
    version: str | None
    """Of the daemon, as the device last said it."""
    bundle_name: str | None
    summary: Mapping[str, Any]
    """The newest, as it was said; empty before the first."""
    before: Counts
    after: Counts
    decided: int
    """Cells with a word of a person."""
    quality: FrameQualities
    delivery: Delivery
    purged_at: datetime | None
    """When frames of this slide were deleted by retention."""
    signed: tuple[Signature, ...]
    """All signatures, oldest first."""
    standing: tuple[Signature, ...]
    """Those that count now."""
    stale: bool
    """Results came in after it was signed."""
    worst: tuple[Cell, ...]
    """Blasts, uncertain cells, and of the normal ones those with a picture or a decision."""
    made_at: datetime

    @property
    def counts(self) -> Counts:
        """With the word of people where there is one."""
        return self.after if self.decided else self.before

    @property
    def is_signed(self) -> bool:
        """Whether a person stands for all that is told here."""
        return self.row.review == "signed" and not self.stale

    @property
    def conclusion(self) -> str | None:
        """What was signed last; None where nobody's signature counts."""
        return self.standing[-1].conclusion if self.is_signed and self.standing else None

    @property
    def status(self) -> ReportStatus:
        """What a receiver may take it for.

        ``registered`` before any result; ``preliminary`` until a person (or both readers, where two
        are wanted) signed; ``final`` when that happened; ``amended`` as soon as anything changed
        after that, signed again or not; ``corrected`` when it was signed again with another
        conclusion.
        """
        once = [one for one in self.signed if one.made_final]
        if not once:
            told = self.row.disposition is not None or self.before.nucleated > 0
            return "preliminary" if told else "registered"
        if not self.is_signed:
            return "amended"
        earlier = once[:-1]
        if not earlier:
            return "final"
        return "corrected" if earlier[-1].conclusion != once[-1].conclusion else "amended"


def record_of(
    connection: Connection, number: int, now: datetime, *, most_cells: int = 0
) -> SlideRecord | None:
    """The record of a slide, with its ``most_cells`` worst cells; None: there is none."""
    found = slide(connection, number)
    if found is None:
        return None
    row = connection.execute(select(slides).where(slides.c.id == number)).one()
    before = counts_before(found)
    signed = signatures(connection, number)
    version = connection.scalar(select(devices.c.version).where(devices.c.id == row.device_id))
    name = connection.scalar(select(bundles.c.name).where(bundles.c.digest == row.bundle))
    listed = cells_of(connection, number, limit=most_cells).rows if most_cells else ()
    worst = tuple(
        one for one in listed if one.label != "normal" or one.has_crop or one.reviewed_label
    )
    return SlideRecord(
        row=found.row,
        database=identity_of(connection),
        version=version,
        bundle_name=name,
        summary=found.summary or {},
        before=before,
        after=counts_after(before, found.differential),
        decided=decided_of(connection, number),
        quality=found.quality,
        delivery=delivery_of(found, before),
        purged_at=found.purged_at,
        signed=tuple(signed),
        standing=tuple(standing_signatures(signed)),
        stale=is_stale(signed, row.summary_order, found.row.review),
        worst=worst,
        made_at=now,
    )
