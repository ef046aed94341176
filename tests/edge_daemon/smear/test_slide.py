"""A field shows what the plan says, and the truth says what the field shows."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.smear.atlas import RenderedAtlas
from edge_daemon.smear.plan import SmearRecipe
from edge_daemon.smear.slide import FieldTruth, VirtualSlide, empty_truth

RECIPE = SmearRecipe(white_cells_per_field=2.0, blast_fraction=0.25)


@pytest.fixture(scope="module")
def slide() -> VirtualSlide:
    return VirtualSlide(11, 180.0, 140.0, RECIPE)


def test_the_same_seed_gives_the_same_slide(slide: VirtualSlide) -> None:
    again = VirtualSlide(11, 180.0, 140.0, RECIPE)
    assert list(again.cells) == list(slide.cells)
    assert np.array_equal(again.render_field(30, 30)[0], slide.render_field(30, 30)[0])
    assert list(VirtualSlide(12, 180.0, 140.0, RECIPE).cells) != list(slide.cells)


def test_a_field_does_not_depend_on_the_fields_seen_before(slide: VirtualSlide) -> None:
    fresh = VirtualSlide(11, 180.0, 140.0, RECIPE)
    for x_um in (0.0, 60.0, 90.0):
        fresh.render_field(x_um, 20.0)
    assert np.array_equal(fresh.render_field(45, 60)[0], slide.render_field(45, 60)[0])


def test_overlapping_fields_show_the_same_pixels(slide: VirtualSlide) -> None:
    left, _ = slide.render_field(30.0, 40.0)
    right, _ = slide.render_field(30.0 + 200 * 0.075, 40.0 + 100 * 0.075)
    assert np.array_equal(left[100:, 200:], right[:-100, :-200])


def test_cells_reach_into_fields_from_outside_at_fine_scale_too() -> None:
    fine = VirtualSlide(11, 60.0, 60.0, SmearRecipe(0, 3.0, 0), RenderedAtlas(11, 0.03))
    whole, _ = fine.render_field(0.0, 0.0, 1600, 1600)
    for left, top in ((300, 500), (700, 200), (1100, 900)):
        part, _ = fine.render_field(left * 0.03, top * 0.03, 200, 200)
        assert np.array_equal(part, whole[top : top + 200, left : left + 200])


def test_overlapping_fields_show_the_same_cells_at_the_same_place(slide: VirtualSlide) -> None:
    _, left = slide.render_field(30.0, 40.0)
    _, right = slide.render_field(30.0 + 200 * 0.075, 40.0)
    common = 0
    for cell_id, box, visible in zip(right.cell_ids, right.boxes, right.visible, strict=True):
        at = np.flatnonzero(left.cell_ids == cell_id)
        if visible == 1 and at.size and left.visible[at[0]] == 1:
            common += 1
            assert np.array_equal(left.boxes[at[0]] - (200, 0, 200, 0), box)
    assert common >= 5


def test_truth_boxes_lie_tight_around_what_is_painted(slide: VirtualSlide) -> None:
    """Paint each cell of a field alone and measure it."""
    atlas = RenderedAtlas(11)
    left, top = round(40.0 / 0.075), round(30.0 / 0.075)
    _, truth = slide.render_field(40.0, 30.0)
    assert len(truth.boxes) > 10
    for cell_id, box, visible in zip(truth.cell_ids, truth.boxes, truth.visible, strict=True):
        cell = slide.cells[int(cell_id)]
        sprite = atlas.sprite(cell.breed, cell.variant, cell.orientation)
        canvas = np.zeros((480 + 1024, 640 + 1024), np.bool_)
        x, y = sprite.corner_px(cell.x_px - left + 512, cell.y_px - top + 512)
        canvas[y : y + sprite.mask.shape[0], x : x + sprite.mask.shape[1]] = sprite.mask
        whole, inside = canvas.sum(), canvas[512:-512, 512:-512]
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert visible == pytest.approx(inside.sum() / whole)


def test_every_cell_of_the_truth_is_to_be_seen(slide: VirtualSlide) -> None:
    pixels, truth = slide.render_field(60.0, 50.0)
    plasma = np.median(pixels[..., 1])
    for x0, y0, x1, y1 in truth.boxes[truth.visible > 0.5].astype(int):
        assert pixels[y0:y1, x0:x1, 1].min() < plasma - 20


def test_what_is_not_in_the_truth_is_plasma(slide: VirtualSlide) -> None:
    pixels, truth = slide.render_field(60.0, 50.0)
    outside = np.ones(pixels.shape[:2], np.bool_)
    for x0, y0, x1, y1 in truth.boxes.astype(int):
        outside[max(0, y0 - 6) : y1 + 6, max(0, x0 - 6) : x1 + 6] = False
    plasma = np.median(pixels[outside], axis=0)
    dark = (pixels[outside].astype(int) < plasma - 25).any(axis=1)
    assert dark.mean() < 0.005


def test_white_cells_never_overlap_each_other() -> None:
    crowded = VirtualSlide(3, 180.0, 140.0, SmearRecipe(0, 6.0, 0, 0.5))
    covered = np.zeros((2200, 2800), np.uint8)
    for cell in crowded.cells:
        sprite = crowded.atlas.sprite(cell.breed, cell.variant, cell.orientation)
        x, y = sprite.corner_px(cell.x_px + 200, cell.y_px + 200)
        covered[y : y + sprite.mask.shape[0], x : x + sprite.mask.shape[1]] += sprite.mask
    assert len(crowded.cells) > 40
    assert covered.max() == 1


def test_the_share_of_blasts_is_what_the_recipe_says() -> None:
    slide = VirtualSlide(5, 400.0, 300.0, SmearRecipe(0, 2.0, 0, 0.25))
    labels = [cell.label for cell in slide.cells]
    assert labels.count("blast") == round(0.25 * len(labels))


def test_a_recipe_out_of_range_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="blast_fraction"):
        SmearRecipe(blast_fraction=1.2)
    with pytest.raises(ValueError, match="red_cells_per_field"):
        SmearRecipe(red_cells_per_field=-1)


def test_a_cell_counts_once_however_many_fields_show_it(slide: VirtualSlide) -> None:
    _, truth = slide.render_field(40.0, 30.0)
    once, twice = slide.unique_cells([truth]), slide.unique_cells([truth, truth])
    assert once == twice
    assert once.white + once.red + once.platelets == int((truth.visible >= 0.5).sum())


def test_a_cell_counts_only_where_enough_of_it_is_seen(slide: VirtualSlide) -> None:
    cell_id = next(c.cell_id for c in slide.cells if c.kind == "wbc")

    def seen(visible: float) -> FieldTruth:
        return FieldTruth(
            np.zeros((1, 4), np.float32),
            ("wbc",),
            ("normal",),
            np.array([cell_id]),
            np.array([visible], np.float32),
        )

    assert slide.unique_cells([seen(0.4), seen(0.3)]).white == 0
    assert slide.unique_cells([seen(0.4), seen(0.6)]).white == 1
    assert slide.unique_cells([seen(0.4)], min_visible=0.25).white == 1


def test_a_slide_without_white_cells_has_no_blast_fraction(slide: VirtualSlide) -> None:
    assert slide.unique_cells([empty_truth()]).blast_fraction is None
