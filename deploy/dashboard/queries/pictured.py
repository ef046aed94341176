"""A picture of a cell, where in its frame the cell lay, and which bundle judged it there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, select

from deploy.dashboard.database.tables import bundles, crops, frames, slides
from deploy.dashboard.database.types import unpacked

Box: TypeAlias = tuple[float, float, float, float]
"""x, y, width and height, in pixels of the frame."""


@dataclass(frozen=True)
class InFrame:
    """Where the cell lay when its picture was taken."""

    box: Box
    width: int
    """Of the frame, in pixels."""
    height: int
    nucleated: tuple[Box, ...]
    """Every nucleated cell of the frame, this one too: without a scale, they were its ruler."""


@dataclass(frozen=True)
class Pictured:
    """The newest picture of a cell, and what was said of what it shows."""

    boot: int
    seq: int
    """With ``boot``: of the message that brought it; no two pictures share both."""
    jpeg: bytes
    frame: int
    label: str
    p_blast: float
    """In that frame; the cell's own verdict may be that of a better view."""
    um_per_px: float | None
    bundle: str | None
    """``sha256:<hex>``: of that frame, or of the slide where the frame is not here."""
    bundle_name: str | None
    """Name and version, where a message told them."""
    place: InFrame | None
    """None: its frame is not here, or does not list it."""


def pictured(connection: Connection, slide_id: int, unique_id: int) -> Pictured | None:
    """The picture that the page shows of a cell; None: there is none."""
    found = connection.execute(
        select(
            crops.c.boot,
            crops.c.seq,
            crops.c.jpeg,
            crops.c.frame,
            crops.c.label,
            crops.c.p_blast,
            crops.c.um_per_px,
            slides.c.bundle,
            slides.c.first_at,
            slides.c.newest_at,
        )
        .join(slides, slides.c.id == crops.c.slide_id)
        .where(crops.c.slide_id == slide_id, crops.c.unique_id == unique_id)
        .order_by(crops.c.frame.desc(), crops.c.boot.desc(), crops.c.seq.desc())
        .limit(1)
    ).one_or_none()
    if found is None:
        return None
    frame = connection.execute(
        select(frames.c.bundle, frames.c.width, frames.c.height, frames.c.message)
        .where(
            frames.c.slide_id == slide_id,
            frames.c.frame == found.frame,
            frames.c.boot == found.boot,
            frames.c.received_at.between(found.first_at, found.newest_at),
        )
        .limit(1)
    ).one_or_none()
    bundle = found.bundle if frame is None or frame.bundle is None else frame.bundle
    return Pictured(
        boot=found.boot,
        seq=found.seq,
        jpeg=found.jpeg,
        frame=found.frame,
        label=found.label,
        p_blast=found.p_blast,
        um_per_px=found.um_per_px,
        bundle=bundle,
        bundle_name=connection.scalar(select(bundles.c.name).where(bundles.c.digest == bundle)),
        place=None
        if frame is None
        else _place(frame.width, frame.height, frame.message, unique_id),
    )


def _place(width: int | None, height: int | None, message: bytes, unique_id: int) -> InFrame | None:
    if width is None or height is None:
        return None
    said = json.loads(unpacked(message))  # as it was said: no model of now is asked
    cells = [cell for cell in said["cells"] if cell["kind"] == "wbc"]
    boxes = [_box(cell["box"]) for cell in cells]
    own = [box for cell, box in zip(cells, boxes, strict=True) if cell["unique_id"] == unique_id]
    return InFrame(own[0], width, height, tuple(boxes)) if own else None


def _box(said: list[float]) -> Box:
    x, y, width, height = said
    return x, y, width, height
