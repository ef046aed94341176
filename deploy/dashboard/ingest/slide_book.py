"""The slides that one transaction changes: read once, changed in memory, written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from deploy.dashboard.database.tables import (
    cells,
    crops,
    frames,
    opinions,
    shadows,
    slides,
    summaries,
)
from deploy.dashboard.ingest import of_slides
from deploy.dashboard.ingest.arrived import Arrived
from deploy.dashboard.ingest.rows import (
    Row,
    insert_new,
    insert_or_update,
    read,
    update_changed,
)
from edge_daemon.contract.messages import (
    Crop,
    FrameResult,
    SecondOpinion,
    ShadowReport,
    SlideSummary,
)

_OWN = (
    "summary_order", "state", "completion", "started_at", "ended_at", "disposition",
    "severity", "fraction", "low", "high", "nucleated", "blasts", "uncertain", "coverage_mm2",
    "bundle", "doubled", "control", "first_at", "newest_at", "analysed", "rejected", "dropped",
    "failed",
)  # fmt: skip
"""Columns that are read and written as a whole; to those that reviewers change too is added."""


_CELL = (
    "slide_id", "unique_id", "class_order", "label", "p_blast", "score", "whole", "view_rank",
    "frame", "x", "y", "width", "height", "um_per_px", "views", "reviewed_label",
)  # fmt: skip


class SlideBook:
    """Of one transaction; every slide's device is held by it."""

    def __init__(self, connection: Connection, wanted: dict[tuple[int, str], str], at: datetime):
        """``wanted``: slides by (device, name), with their site."""
        self._connection = connection
        self._at = at
        self.slides = self._read(wanted.keys())
        fresh = [key for key in wanted if key not in self.slides]
        if fresh:
            rows = [of_slides.new_slide(key[0], wanted[key], key[1], at) for key in fresh]
            insert_new(connection, slides, rows)
            self.slides |= self._read(fresh)
        self._as_read = {key: dict(slide) for key, slide in self.slides.items()}
        self._frames: list[Row] = []
        self._views: list[Row] = []
        self._crops: list[Row] = []
        self._opinions: list[Row] = []
        self._summaries: list[Row] = []
        self._shadows: list[Row] = []

    def _read(self, wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], Row]:
        key = ("device_id", "name")
        found = read(self._connection, slides, ("id", *key, *_OWN), key, wanted)
        return {(row["device_id"], row["name"]): row for row in found}

    def take(self, device_id: int, boot: int, one: Arrived) -> None:
        """Enter a message that is news."""
        said: Any = one.message
        slide = self.slides[device_id, said.slide]
        slide["first_at"] = min(slide["first_at"], one.at)
        slide["newest_at"] = max(slide["newest_at"], one.at)
        number = slide["id"]
        if isinstance(said, FrameResult):
            self._frames.append(of_slides.frame_row(number, boot, one, said))
            slide[said.outcome] += 1
            slide["control"] = slide["control"] or said.control
            self._views += [
                of_slides.cell_row(number, said, cell)
                for cell in said.cells
                if cell.unique_id is not None
            ]
        elif isinstance(said, SlideSummary):
            self._summaries.append(of_slides.summary_row(number, boot, one, said))
            self._stand(slide, said)
        elif isinstance(said, Crop):
            self._crops.append(of_slides.crop_row(number, boot, one, said))
        elif isinstance(said, SecondOpinion):
            self._opinions.append(of_slides.opinion_row(number, boot, one, said))
        elif isinstance(said, ShadowReport):
            self._shadows.append(of_slides.shadow_row(number, boot, one, said))

    def _stand(self, slide: Row, said: SlideSummary) -> None:
        slide["control"] = slide["control"] or said.control
        if slide["started_at"] not in (None, said.started_at):
            slide["doubled"] = True
        if of_slides.summary_order(said) > slide["summary_order"]:
            slide.update(of_slides.standing(said))

    def write(self) -> None:
        """Write all of it."""
        connection = self._connection
        insert_new(connection, frames, self._frames)
        insert_new(connection, crops, self._crops)
        insert_new(connection, opinions, self._opinions)
        insert_new(connection, summaries, self._summaries)
        insert_new(connection, shadows, self._shadows)
        counts = self._write_cells()
        update_changed(connection, slides, self._as_read.values(), self.slides.values(), counts)

    def _write_cells(self) -> dict[int, Row]:
        """By slide, what it has of positive cells more than before, and of unreviewed ones."""
        views = of_slides.by_cell(self._views)
        known = {
            (row["slide_id"], row["unique_id"]): row
            for row in read(self._connection, cells, _CELL, _CELL[:2], views)
        }
        written: list[Row] = []
        positives: Counter[int] = Counter()
        unreviewed: Counter[int] = Counter()
        for key, view in views.items():
            before = known.get(key)
            reviewed = before is not None and before.pop("reviewed_label") is not None
            now = view if before is None else of_slides.best_view(before, view)
            written.append(now)
            more = (now["label"] != "normal") - (before is not None and before["label"] != "normal")
            positives[key[0]] += more
            unreviewed[key[0]] += 0 if reviewed else more
        insert_or_update(self._connection, cells, written)
        return {
            number: {"positives": more, "unreviewed": unreviewed[number]}
            for number, more in positives.items()
            if more or unreviewed[number]
        }
