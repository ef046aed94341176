"""A real frame becomes background: white cells gone, light and stain those of another frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_daemon.smear.annotated_frames import AnnotatedFrame
from edge_daemon.smear.atlas import RenderedAtlas
from edge_daemon.smear.healing import healed, light_of, relit, shows_nucleus
from edge_daemon.smear.palette import draw_palette
from edge_daemon.smear.plan import SmearRecipe
from edge_daemon.smear.slide import VirtualSlide


def frame_of(seed: int, spread: float = 0.0) -> AnnotatedFrame:
    """A drawn field with at least one white cell, as if it were a published frame."""
    palette = draw_palette(np.random.default_rng(seed), spread)
    recipe = SmearRecipe(white_cells_per_field=2.5)
    slide = VirtualSlide(4, 100.0, 80.0, recipe, RenderedAtlas(4, 0.075, palette))
    pixels, truth = slide.render_field(25.0, 20.0)
    kinds = np.array(truth.kinds)
    boxes = {kind: truth.boxes[kinds == kind] for kind in ("wbc", "rbc", "platelet")}
    assert len(boxes["wbc"])
    return AnnotatedFrame(Path("drawn.png"), pixels, boxes)  # type: ignore[arg-type]


def test_white_cells_are_gone_and_the_rest_is_untouched() -> None:
    frame = frame_of(1)
    light = light_of(frame)
    assert light is not None
    assert shows_nucleus(frame.pixels, 0.075, light)
    clean = healed(frame, light)
    assert not shows_nucleus(clean, 0.075, light)
    far = np.ones(clean.shape[:2], np.bool_)
    for x0, y0, x1, y1 in frame.boxes["wbc"].astype(int):
        far[max(0, y0 - 45) : y1 + 45, max(0, x0 - 45) : x1 + 45] = False
    assert np.array_equal(clean[far], frame.pixels[far])


def test_plasma_and_red_cells_take_the_place_of_a_white_cell() -> None:
    frame = frame_of(1)
    light = light_of(frame)
    assert light is not None
    clean = healed(frame, light)
    for x0, y0, x1, y1 in frame.boxes["wbc"].astype(int):
        place = clean[max(0, y0) : y1, max(0, x0) : x1]
        brightest = place[place[..., 1] >= np.percentile(place[..., 1], 80)]
        assert brightest.mean(axis=0) == pytest.approx(light.plasma, abs=8)
        assert not shows_nucleus(place, 0.075, light)


def test_a_frame_takes_on_the_light_of_another() -> None:
    own, wanted = light_of(frame_of(2, 1.0)), light_of(frame_of(3, 1.0))
    assert own is not None
    assert wanted is not None
    assert own.plasma != pytest.approx(wanted.plasma, abs=2)
    frame = frame_of(2, 1.0)
    changed = light_of(AnnotatedFrame(frame.path, relit(frame.pixels, own, wanted), frame.boxes))
    assert changed is not None
    assert changed.plasma == pytest.approx(wanted.plasma, abs=3)
    assert changed.red_cell == pytest.approx(wanted.red_cell, abs=0.05)


def test_a_frame_without_red_cells_has_no_measurable_light() -> None:
    frame = frame_of(1)
    boxes = {**frame.boxes, "rbc": np.zeros((0, 4), np.float32)}
    assert light_of(AnnotatedFrame(frame.path, frame.pixels, boxes)) is None
