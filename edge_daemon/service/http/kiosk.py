"""What the page at ``/`` shows: one JSON document of the state, and the page itself.

The page is one file without outside requests. Its script and style stand inside it and are named
by their digest in the Content-Security-Policy, so that no text from elsewhere (a slide's name, a
file's) could ever run in it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from edge_daemon.contract.messages import SlideSummary
from edge_daemon.service.view import DeviceView
from edge_daemon.vision.coverage import Coverage, shrunk

MAP_MARKS = 96
"""Longest side of an island on the page, in marks."""
_ISLANDS = 12
_CELLS = 2000
_LOOK_FIRST = 3


def state_of(view: DeviceView) -> dict[str, Any]:
    """Everything the page shows."""
    advice, ready = view.advice(), view.readiness()
    health, slide, coverage = view.health(), view.slide(), view.coverage()
    newest = view.newest()
    return {
        "advice": vars(advice),
        "ready": ready.ok,
        "reasons": ready.reasons,
        "notes": ready.notes,
        "frame": None if newest is None else newest.number,
        "fps": None if health is None else round(health.fps, 1),
        "waiting": None if health is None else health.outbox.messages,
        "slide": None if slide is None else _slide(slide),
        "map": None if coverage is None else _map(coverage),
    }


def _slide(slide: SlideSummary) -> dict[str, Any]:
    cells, fraction = slide.unique_cells, slide.blast_fraction
    return {
        "name": f"control slide {slide.slide}" if slide.control else slide.slide,
        "control": slide.control,
        "nucleated": slide.nucleated_cells,
        "blasts": slide.blasts,
        "uncertain": slide.uncertain,
        "rbc": cells.rbc,
        "platelets": cells.platelet,
        "disposition": slide.disposition,
        "reasons": slide.reasons,
        "fraction": None if fraction is None else fraction.model_dump(),
        "area_mm2": slide.coverage_mm2,
        "frames": slide.frames.model_dump(),
        "ended": slide.ended_at is not None,
        "look_first": [
            {
                "cell": cell.unique_id,
                "label": cell.label,
                "frame": cell.frame,
                "stage_um": None if cell.stage is None else [cell.stage.x_um, cell.stage.y_um],
            }
            for cell in slide.worst_cells[:_LOOK_FIRST]
        ],
    }


def _map(coverage: Coverage) -> list[dict[str, Any]]:
    shown = []
    for number, island in enumerate(coverage.islands[:_ISLANDS]):
        rows, (left, top), step = shrunk(island, MAP_MARKS)
        cells = [
            [round((x - left) / step, 2), round((y - top) / step, 2), label]
            for x, y, label in island.cells[-_CELLS:]
        ]
        here = None
        if coverage.here is not None and coverage.here[0] == number:
            x0, y0, x1, y1 = coverage.here[1]
            here = [
                round((x0 - left) / step, 2),
                round((y0 - top) / step, 2),
                round((x1 - x0) / step, 2),
                round((y1 - y0) / step, 2),
            ]
        shown.append({"rows": rows, "cells": cells, "here": here})
    return shown


@cache
def page() -> tuple[bytes, str]:
    """The page, and the Content-Security-Policy that goes with it."""
    text = (files(__package__) / "kiosk.html").read_text(encoding="utf-8")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(text, 'script')}",
            f"style-src {_digest(text, 'style')}",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return text.encode(), policy


def _digest(text: str, tag: str) -> str:
    inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    if inside is None:
        raise ValueError(f"the page has no {tag}")
    digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
    return f"'sha256-{digest}'"
