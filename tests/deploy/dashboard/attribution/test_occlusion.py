"""What covering a part of a picture does to a verdict, on networks that read a known place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dashboard.attribution.occlusion import (
    PATCHES_ON_A_SIDE,
    effects,
    own_colour,
    patches_of,
)

SIDE = 64
PLACE = (40, 24)
"""Column and row of the one pixel that the networks below read."""


def crop(seed: int = 0) -> np.ndarray:
    """A dim picture with one bright pixel at :data:`PLACE`."""
    picture = np.random.default_rng(seed).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    picture[PLACE[1], PLACE[0]] = 255
    return picture


def reads(x: int, y: int, *, sign: int = 1):
    """A network whose verdict is the brightness of one pixel, or its opposite."""

    def judge(crops: np.ndarray) -> np.ndarray:
        bright = crops[:, y, x].mean(axis=1) / 255
        return bright if sign > 0 else 1 - bright

    return judge


@given(x=st.integers(0, SIDE - 1), y=st.integers(0, SIDE - 1))
def test_the_place_that_decides_has_the_strongest_effect_and_places_far_from_it_have_none(
    x: int, y: int
) -> None:
    picture = np.full((SIDE, SIDE, 3), 30, np.uint8)
    picture[y, x] = 255

    found = effects(reads(x, y), picture)

    patch = SIDE // PATCHES_ON_A_SIDE
    rows, columns = np.nonzero(found.change == found.change.min())
    assert found.change[y, x] == found.change.min() < -0.5
    assert np.abs(rows - y).max() < patch
    assert np.abs(columns - x).max() < patch
    away = np.maximum(*np.abs(np.mgrid[:SIDE, :SIDE] - np.array([[[y]], [[x]]]))) >= 2 * patch
    assert not found.change[away].any()


def test_what_speaks_against_a_blast_raises_it_when_it_is_covered() -> None:
    found = effects(reads(*PLACE, sign=-1), crop())

    assert found.change[PLACE[1], PLACE[0]] == found.change.max() > 0.5
    assert found.p_blast == 0.0
    assert found.highest > 0.7
    assert found.lowest == 0.0
    assert found.strongest == found.highest


def test_a_network_that_reads_nothing_of_it_is_moved_by_nothing() -> None:
    found = effects(lambda crops: np.full(len(crops), 0.4), crop())

    assert not found.change.any()
    assert (found.p_blast, found.lowest, found.highest, found.strongest) == (0.4, 0.4, 0.4, 0.0)


def test_covering_leaves_the_mean_colour_as_it_is() -> None:
    asked: list[np.ndarray] = []

    def judge(crops: np.ndarray) -> np.ndarray:
        asked.append(crops)
        return np.zeros(len(crops))

    picture = crop()
    effects(judge, picture)

    (all_of_them,) = asked
    assert np.array_equal(all_of_them[0], picture), "the first one is the picture as it is"
    means = all_of_them.mean(axis=(1, 2))
    assert np.abs(means - means[0]).max() < 0.01
    changed = (all_of_them[1:] != picture).any(axis=3).sum(axis=(1, 2))
    assert changed.max() <= (SIDE // PATCHES_ON_A_SIDE) ** 2


@pytest.mark.parametrize("side", [8, 9, 32, 63, 64, 160, 224])
def test_every_pixel_is_covered_and_no_patch_leaves_the_crop(side: int) -> None:
    covered = np.zeros((side, side), int)
    for x0, y0, x1, y1 in patches_of(side):
        assert min(x0, y0) >= 0
        assert max(x1, y1) <= side
        covered[y0:y1, x0:x1] += 1

    assert covered.min() >= 1
    assert len(patches_of(side)) <= 20 * 20


def test_pixels_that_no_picture_shows_are_not_covered() -> None:
    picture = crop()
    shown = (0, 0, SIDE // 2, SIDE)

    found = effects(reads(*PLACE), picture, shown)

    assert not found.change.any(), "the one place that counts lies outside"
    assert found.patches < len(patches_of(SIDE))
    assert effects(reads(*PLACE), picture, (SIDE // 2, 0, SIDE, SIDE)).change.min() < -0.5


def test_another_colour_may_cover() -> None:
    found = effects(
        reads(5, 5), np.full((SIDE, SIDE, 3), 200, np.uint8), cover=lambda _: np.zeros(3)
    )

    assert found.lowest == 0.0
    assert own_colour(np.full((4, 4, 3), 200, np.uint8)).tolist() == [200, 200, 200]


@pytest.mark.parametrize("shape", [(64, 32, 3), (64, 64), (64, 64, 4), (4, 4, 3)])
def test_what_is_no_crop_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="crop must be"):
        effects(lambda crops: np.zeros(len(crops)), np.zeros(shape, np.uint8))
