"""What a person sees on an annotated frame."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pytest

from edge_daemon.contract.findings import CellCounts, CellResult
from edge_daemon.contract.messages import FrameResult
from edge_daemon.vision.annotate import LABELS, PLATELET, RED_CELL, annotate

GLASS = 230


def result(*cells: CellResult, **more: object) -> FrameResult:
    given = {
        "site": "lab",
        "device": "m1",
        "boot_id": "0" * 32,
        "seq": 0,
        "record": 1,
        "bundle": None,
        "slide": "s1",
        "frame": 0,
        "source": "a.png",
        "captured_at": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "outcome": "analysed",
        "width": 640,
        "height": 480,
        "cells": cells,
        "counts": CellCounts.of(cells),
    }
    return FrameResult(**(given | more))


def cell(kind: str, label: str | None = None, box=(100, 100, 80, 80)) -> CellResult:
    verdict = {} if label is None else {"p_blast": 0.9, "label": label, "unique_id": 1}
    return CellResult(id=0, box=box, kind=kind, score=0.9, **verdict)


def pixels(height: int = 480, width: int = 640) -> np.ndarray:
    return np.full((height, width, 3), GLASS, np.uint8)


@pytest.mark.parametrize(
    ("shown", "colour"),
    [
        (cell("wbc", "blast"), LABELS["blast"]),
        (cell("wbc", "normal"), LABELS["normal"]),
        (cell("wbc", "uncertain"), LABELS["uncertain"]),
        (cell("rbc"), RED_CELL),
        (cell("platelet"), PLATELET),
    ],
)
def test_each_kind_and_label_has_its_colour_on_the_box(shown, colour):
    picture = annotate(pixels(), result(shown))
    assert tuple(picture[140, 100]) == colour  # left side
    assert tuple(picture[180, 140]) == colour  # bottom
    assert tuple(picture[140, 140]) == (GLASS,) * 3  # the cell itself stays visible


def test_the_frame_itself_is_not_changed():
    frame = pixels()
    annotate(frame, result(cell("wbc", "blast")))
    assert (frame == GLASS).all()


def test_why_a_frame_was_not_analysed_stands_in_it():
    picture = annotate(pixels(), result(outcome="rejected", reason="out of focus"))
    assert (picture[:30] < 100).any()


@pytest.mark.parametrize("box", [(0, 0, 20, 20), (620, 470, 20, 10), (0, 0, 640, 480)])
def test_captions_stay_inside(box):
    assert annotate(pixels(), result(cell("wbc", "blast", box))).shape == (480, 640, 3)


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (4000, 3000)])
def test_any_size_of_frame(size):
    assert annotate(pixels(*size), result(cell("wbc", "blast", (0, 0, 1, 1)))).shape[:2] == size


def test_the_number_on_the_slide_and_the_hint_stand_in_the_picture_where_they_are_wanted():
    blast = result(cell("wbc", "blast", (200, 200, 80, 80)))
    plain = annotate(pixels(), blast)
    numbered = annotate(pixels(), blast, ids=True)
    hinted = annotate(pixels(), blast, hint="turn the fine focus")
    assert (plain[180:200] != numbered[180:200]).any()  # above the box
    assert (plain[:440] == hinted[:440]).all()
    assert (hinted[440:] < 100).any()


def test_a_smaller_picture_has_its_boxes_in_the_same_place():
    picture = annotate(pixels(960, 1280), result(cell("wbc", "blast")), longest_side_px=640)
    assert picture.shape == (480, 640, 3)
    assert tuple(picture[70, 50]) == LABELS["blast"]
    assert annotate(pixels(), result(), longest_side_px=4000).shape == (480, 640, 3)
