"""A drawn cell looks like its species, the same bytes for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.contract.terms import RED_CELL_DIAMETER_UM
from edge_daemon.smear.palette import WRIGHT_GIEMSA_DYES, draw_palette
from edge_daemon.smear.render import (
    NORMAL_WHITE_CELLS,
    SPECIES,
    Species,
    class_of,
    kind_of,
    render_background,
    render_cell,
    render_sprite,
)
from edge_daemon.smear.sprite import Sprite

UM_PER_PX = 0.075


def drawn(species: Species, seed: int, um_per_px: float = UM_PER_PX) -> Sprite:
    return render_sprite(np.random.default_rng(seed), species, um_per_px)


def area_um2(species: Species, count: int = 12) -> float:
    areas = [drawn(species, seed).area_px * UM_PER_PX**2 for seed in range(count)]
    return float(np.mean(areas))


@pytest.mark.parametrize("species", SPECIES)
def test_the_same_seed_draws_the_same_bytes(species: Species) -> None:
    first, second = drawn(species, 3), drawn(species, 3)
    assert np.array_equal(first.gain, second.gain)
    assert np.array_equal(first.body, second.body)
    assert np.array_equal(first.mask, second.mask)
    assert not np.array_equal(first.gain, drawn(species, 4).gain)


@pytest.mark.parametrize("species", SPECIES)
def test_a_cell_absorbs_inside_its_mask_and_lets_light_pass_outside(species: Species) -> None:
    sprite = drawn(species, 5)
    green = sprite.gain[..., 1].astype(float)
    assert green[sprite.mask].mean() < 225
    assert green[~sprite.mask].mean() > 240
    assert green[0].min() > 200, "the picture must not cut the cell"


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("um_per_px", [0.1, 0.15])
def test_a_cell_has_the_same_size_in_um_at_any_scale(species: Species, um_per_px: float) -> None:
    here = np.mean([drawn(species, s).area_px * UM_PER_PX**2 for s in range(10)])
    there = np.mean([drawn(species, s, um_per_px).area_px * um_per_px**2 for s in range(10)])
    assert there == pytest.approx(here, rel=0.3)


def test_a_red_cell_is_the_ruler_of_the_smear() -> None:
    diameters = [np.sqrt(drawn("red_cell", s).area_px * 4 / np.pi) for s in range(60)]
    assert np.median(diameters) * UM_PER_PX == pytest.approx(RED_CELL_DIAMETER_UM, rel=0.04)


def test_a_red_cell_is_paler_in_the_middle_than_at_its_rim() -> None:
    paler = 0
    for seed in range(30):
        sprite = drawn("red_cell", seed)
        y, x = np.array(sprite.mask.shape) // 2
        radius = np.sqrt(sprite.area_px / np.pi)
        yy, xx = np.ogrid[: sprite.mask.shape[0], : sprite.mask.shape[1]]
        away = np.hypot(yy - y, xx - x)
        middle = sprite.gain[..., 1][away < 0.2 * radius].mean()
        rim = sprite.gain[..., 1][(away > 0.65 * radius) & (away < 0.85 * radius)].mean()
        paler += int(middle > rim + 8)
    assert paler >= 26


def test_overlapping_red_cells_are_darker_where_they_overlap() -> None:
    canvas = np.full((200, 300, 3), 230, np.uint8)
    sprite = drawn("red_cell", 1)
    sprite.paint(canvas, 100, 100)
    once = int(canvas[100, 135, 1])
    sprite.paint(canvas, 170, 100)
    assert canvas[100, 135, 1] < once - 15


def test_blasts_are_larger_than_lymphocytes_and_precursors() -> None:
    assert area_um2("blast") > 1.6 * area_um2("lymphocyte")
    assert area_um2("blast") > 1.6 * area_um2("precursor")


def test_the_chromatin_of_blasts_is_paler_than_that_of_lymphocytes() -> None:
    def chromatin(species: Species) -> float:
        return float(np.mean([np.percentile(drawn(species, s).gain, 25) for s in range(8)]))

    assert chromatin("blast") > chromatin("lymphocyte")


def test_every_species_has_a_kind_and_nucleated_ones_a_class() -> None:
    assert [s for s in SPECIES if kind_of(s) == "wbc"] == [*NORMAL_WHITE_CELLS, "blast"]
    assert class_of("blast") == "blast"
    assert {class_of(s) for s in NORMAL_WHITE_CELLS} == {"normal"}
    assert class_of("red_cell") is None
    assert class_of("platelet") is None


def test_a_cut_out_cell_is_cropped_to_its_own_extent() -> None:
    cell = render_cell(np.random.default_rng(2), "blast", UM_PER_PX)
    assert cell.um_per_px == UM_PER_PX
    for edge in (cell.alpha[0], cell.alpha[-1], cell.alpha[:, 0], cell.alpha[:, -1]):
        assert edge.max() == 1


def test_the_background_repeats_without_a_seam() -> None:
    tile = render_background(np.random.default_rng(1), 256, UM_PER_PX).astype(float)
    across_the_seam = np.abs(tile[:, 0] - tile[:, -1]).mean()
    inside = np.abs(tile[:, 1:] - tile[:, :-1]).mean()
    assert across_the_seam < 2 * inside + 0.5


def test_the_reference_stain_is_drawn_without_spread() -> None:
    palette = draw_palette(np.random.default_rng(1), spread=0)
    assert np.allclose(palette.chromatin, WRIGHT_GIEMSA_DYES.chromatin)
    assert not np.allclose(
        draw_palette(np.random.default_rng(1)).chromatin, WRIGHT_GIEMSA_DYES.chromatin
    )
