"""What messages say of slides, as rows: frames, cells, pictures, opinions, summaries.

A slide's order of arrival means nothing: workers share messages, and a backlog comes after what is
live. So every row here comes out the same in whatever order messages come.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from deploy.dashboard.database.types import packed
from deploy.dashboard.ingest.arrived import Arrived, plain
from deploy.dashboard.ingest.rows import Row
from edge_daemon.contract.findings import CellResult
from edge_daemon.contract.messages import (
    Crop,
    FrameResult,
    SecondOpinion,
    ShadowReport,
    SlideSummary,
)

SEVERITY = {"positive": 3, "review": 2, "insufficient": 1, "negative": 0}
NOT_SAID_YET = 1
"""Severity of a slide without a summary."""
CLASS_ORDER = {"blast": 2, "uncertain": 1, "normal": 0}
NO_FRACTION = -1.0

_BORDER_PX = 5.0
"""A box so near the border of its frame may go on beyond it; as the daemon takes it."""


def frame_row(slide_id: int, boot: int, one: Arrived, said: FrameResult) -> Row:
    """A frame."""
    quality, place, stage = said.quality, said.place, said.stage
    labels = [cell.label for cell in said.cells]
    return {
        "slide_id": slide_id,
        "frame": said.frame,
        "boot": boot,
        "seq": said.seq,
        "received_at": one.at,
        "captured_at": said.captured_at,
        "outcome": said.outcome,
        "reason": plain(said.reason),
        "bundle": said.bundle,
        "total_ms": sum(said.timings_ms.values()) if said.timings_ms else None,
        "focus": quality.focus if quality else None,
        "exposure": quality.exposure if quality else None,
        "foreground": quality.foreground_fraction if quality else None,
        "stain_shift": quality.stain_shift if quality else None,
        "hints": min(len(quality.hints), 1000) if quality else 0,
        "saturated": said.saturated,
        "width": said.width,
        "height": said.height,
        "um_per_px": said.um_per_px,
        "field": said.field,
        "piece": place.piece if place else None,
        "x": place.x if place else None,
        "y": place.y if place else None,
        "tie": place.tie if place else None,
        "stage_x_um": stage.x_um if stage else None,
        "stage_y_um": stage.y_um if stage else None,
        "wbc": said.counts.wbc,
        "rbc": said.counts.rbc,
        "platelets": said.counts.platelet,
        "blasts": labels.count("blast"),
        "uncertain": labels.count("uncertain"),
        "message": packed(said.to_json()),
    }


def cell_row(slide_id: int, said: FrameResult, cell: CellResult) -> Row:
    """A cell as this frame shows it."""
    x, y, width, height = cell.box
    whole = is_whole(cell.box, said.width or 0, said.height or 0)
    return {
        "slide_id": slide_id,
        "unique_id": cell.unique_id,
        "class_order": CLASS_ORDER[cell.label or "uncertain"],
        "label": cell.label,
        "p_blast": cell.p_blast,
        "score": cell.score,
        "whole": whole,
        "view_rank": cell.score if whole else width * height,
        "frame": said.frame,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "um_per_px": said.um_per_px,
        "views": 1,
    }


def is_whole(box: tuple[float, float, float, float], width: int, height: int) -> bool:
    """Whether a box cannot go on beyond its frame."""
    x, y, w, h = box
    inside = x >= _BORDER_PX and y >= _BORDER_PX
    return inside and x + w <= width - _BORDER_PX and y + h <= height - _BORDER_PX


def best_view(one: Row, other: Row) -> Row:
    """Of two rows of one cell the better view, with the views of both, as the daemon chooses.

    Whole views before cut ones; among whole ones the better score, else the larger part; the
    earlier frame where that is alike.
    """

    def worth(row: Row) -> tuple[Any, ...]:
        return bool(row["whole"]), row["view_rank"], -row["frame"], row["p_blast"]

    better = one if worth(one) >= worth(other) else other
    return {**better, "views": one["views"] + other["views"]}


def crop_row(slide_id: int, boot: int, one: Arrived, said: Crop) -> Row:
    """A picture of a cell."""
    return {
        "slide_id": slide_id,
        "unique_id": said.unique_id,
        "boot": boot,
        "seq": said.seq,
        "frame": said.frame,
        "label": said.label,
        "p_blast": said.p_blast,
        "um_per_px": said.um_per_px,
        "received_at": one.at,
        "jpeg": one.jpeg,
    }


def opinion_row(slide_id: int, boot: int, one: Arrived, said: SecondOpinion) -> Row:
    """A second opinion."""
    return {
        "slide_id": slide_id,
        "unique_id": said.unique_id,
        "boot": boot,
        "seq": said.seq,
        "frame": said.frame,
        "first_label": said.first.label,
        "first_p_blast": said.first.p_blast,
        "second_label": said.second.label,
        "second_p_blast": said.second.p_blast,
        "bundle": said.bundle,
        "received_at": one.at,
    }


def summary_row(slide_id: int, boot: int, one: Arrived, said: SlideSummary) -> Row:
    """A standing."""
    share = said.blast_fraction
    return {
        "slide_id": slide_id,
        "boot": boot,
        "seq": said.seq,
        "at": said.ts,
        "received_at": one.at,
        "frames": said.frames.captured,
        "nucleated": said.nucleated_cells,
        "blasts": said.blasts,
        "uncertain": said.uncertain,
        "fraction": share.estimate if share else None,
        "low": share.low if share else None,
        "high": share.high if share else None,
        "coverage_mm2": said.coverage_mm2,
        "disposition": said.disposition,
        "bundle": said.bundle,
    }


def shadow_row(slide_id: int, boot: int, one: Arrived, said: ShadowReport) -> Row:
    """What a candidate said."""
    return {
        "slide_id": slide_id,
        "boot": boot,
        "seq": said.seq,
        "bundle": said.bundle,
        "candidate": said.candidate.digest,
        "candidate_name": plain(said.candidate.bundle),
        "compared": said.frames.compared,
        "agreed": said.table.agreed,
        "cells": said.table.cells,
        "disagreements": said.disagreements,
        "ended": said.completion is not None,
        "received_at": one.at,
        "message": packed(said.to_json()),
    }


def summary_order(said: SlideSummary) -> str:
    """Sorts the summaries of a slide: the newest last, as far as devices can tell.

    A slide counts its frames up, over every start of its daemon, so that its clock is asked only
    between standings after the same frame. What has ended ended last.
    """
    ended = said.ended_at is not None
    moment = f"{said.ts:%Y%m%d%H%M%S%f}".zfill(20)
    return f"{said.frames.captured:020}-{ended:d}-{moment}-{said.seq:020}"


def standing(said: SlideSummary) -> Row:
    """What a slide's row takes from its newest summary."""
    share = said.blast_fraction
    if said.ended_at is None:
        state = "paused" if said.paused else "running"
    else:
        state = "complete" if said.complete else "cut short"
    return {
        "summary_order": summary_order(said),
        "summary": packed(said.to_json()),
        "state": state,
        "completion": said.completion,
        "started_at": said.started_at,
        "ended_at": said.ended_at,
        "disposition": said.disposition,
        "severity": SEVERITY[said.disposition],
        "fraction": share.estimate if share else NO_FRACTION,
        "low": share.low if share else None,
        "high": share.high if share else None,
        "nucleated": said.nucleated_cells,
        "blasts": said.blasts,
        "uncertain": said.uncertain,
        "coverage_mm2": said.coverage_mm2,
        "bundle": said.bundle,
    }


def new_slide(device_id: int, site: str, name: str, at: datetime) -> Row:
    """A slide of which nothing is known yet."""
    return {
        "device_id": device_id,
        "site": site,
        "name": name,
        "control": False,
        "first_at": at,
        "newest_at": at,
        "state": "running",
        "severity": NOT_SAID_YET,
        "fraction": NO_FRACTION,
        "doubled": False,
    }


def by_cell(rows: Iterable[Row]) -> dict[tuple[int, int], Row]:
    """The best view of each cell among these rows."""
    best: dict[tuple[int, int], Row] = {}
    for row in rows:
        key = (row["slide_id"], row["unique_id"])
        best[key] = row if key not in best else best_view(best[key], row)
    return best
