"""Torn pictures are noticed, and real smears are not called torn."""

from __future__ import annotations

import itertools
import random

import cv2
import numpy as np
import pytest

from edge_daemon.sources.base import Pixels
from edge_daemon.sources.torn import TornWatch, row_prints, seam_rows
from tests.edge_daemon.sources import torn_table

HEIGHT, WIDTH = 240, 320


def scene(shift: int = 0, noise: int = 0) -> Pixels:
    """Blurred discs with a sensor's noise: what a lens makes of cells."""
    picture = np.full((HEIGHT + 200, WIDTH, 3), (225, 200, 215), np.uint8)
    chance = np.random.default_rng(5)
    for x, y in chance.integers(0, (WIDTH, HEIGHT + 200), (60, 2)).tolist():
        cv2.circle(picture, (x, y), 18, (180, 110, 140), -1)
    picture = cv2.GaussianBlur(picture, (0, 0), 2.0)[shift : shift + HEIGHT]
    grain = np.random.default_rng(1000 * shift + noise).normal(0, 2, picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def look(*pictures: Pixels) -> list[str | None]:
    watch = TornWatch()
    return [watch.look(picture, row_prints(picture)) for picture in pictures]


def test_a_scene_that_moves_under_the_lens_is_not_torn() -> None:
    assert look(*(scene(shift) for shift in range(0, 100, 5))) == [None] * 20


@pytest.mark.parametrize("ago", [1, 4, 9])
def test_a_stripe_left_over_from_one_of_the_last_buffers(ago: int) -> None:
    """V4L2 drivers fill up to ten buffers in turn; a stopped transfer leaves what was in one."""
    still = [scene(noise=index) for index in range(11)]
    torn = np.concatenate((still[10][:150], still[10 - ago][150:]))
    assert "left over from a frame before" in str(look(*still[:10], torn)[-1])


def test_a_stripe_left_over_at_the_top() -> None:
    still = [scene(noise=index) for index in range(2)]
    assert look(still[0], np.concatenate((still[0][:60], still[1][60:])))[1] is not None


def test_what_an_encoder_did_not_send_anew_is_no_fault() -> None:
    """Of a compressed stream a part may be equal to the picture before; of a whole one, none."""
    still = [scene(noise=index) for index in range(2)]
    half = np.concatenate((still[1][:150], still[0][150:]))
    watch = TornWatch()
    told = [watch.look(one, row_prints(one), True) for one in (still[0], half)]
    assert told == [None, None]
    whole = np.concatenate((scene(noise=2)[:150], still[0][150:]))
    assert "left over" in str(watch.look(whole, row_prints(whole)))


def test_what_is_equal_as_a_whole_is_frozen_and_not_torn() -> None:
    assert look(scene(), scene()) == [None, None]


@pytest.mark.parametrize("value", [(0, 135, 0), (128, 128, 128), (219, 187, 201)])
def test_rows_that_were_not_filled(value: tuple[int, int, int]) -> None:
    torn = scene()
    torn[-20:] = value
    assert look(torn) == ["the lower part was not filled (torn): check the USB cable"]


@pytest.mark.parametrize("value", [0, 255])
def test_a_dark_rim_and_an_overexposed_field_are_no_fault(value: int) -> None:
    """An eyepiece's round picture; empty glass that is too bright."""
    picture = scene()
    picture[-20:] = value
    picture[-24:-20] = (picture[-24:-20].astype(int) + 3 * value) // 4  # as blurred as the lens
    picture[-28:-24] = (picture[-28:-24].astype(int) + value) // 2
    assert "not filled" not in str(look(picture)[0])


def test_a_seam_between_two_places() -> None:
    torn = np.concatenate((scene(0)[:100], scene(60)[100:]))
    assert look(torn) == ["parts of two frames meet at row 100 (torn): check the USB cable"]


def test_a_border_that_the_camera_draws_is_part_of_the_picture_after_a_while() -> None:
    framed = [scene(shift) for shift in range(20)]
    for picture in framed:
        picture[:30] = 1
    answers = look(*framed)
    assert all(answers[:8])
    assert answers[8:] == [None] * 12


def test_a_seam_elsewhere_is_noticed_in_spite_of_a_border() -> None:
    framed = [scene(shift) for shift in range(12)]
    for picture in framed:
        picture[:30] = 1
    framed[-1][100:] = scene(70)[100:]
    assert look(*framed)[-1] is not None


def test_the_sharp_edge_of_one_thing_is_no_seam() -> None:
    """A word that the camera draws, dust on the sensor; without noise nothing else has an edge."""
    smooth = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    smooth[80:100, 40:90] = 20
    assert look(smooth) == [None]


@pytest.mark.parametrize("size", [(8, 8), (1, 5), (16, 1), (40, 3)])
def test_a_picture_too_small_to_tell(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(60, 200, (*size, 3), dtype=np.uint8)
    assert look(picture) == [None]


def test_real_smears_are_not_called_torn() -> None:
    """A sample; ``python -m tests.edge_daemon.sources.torn_table`` looks at all of them."""
    paths = torn_table.frames()
    if not paths:
        pytest.skip("no frames of BCCD and TXL-PBC (LEUKO_DATA)")
    chance = random.Random(3)
    sample = [torn_table.read(path) for path in chance.sample(paths, 40)]
    for picture in sample:
        for quality in (90, 40):
            assert seam_rows(torn_table.as_jpeg(picture, quality)) == []
    pairs = [(a, b) for a, b in itertools.pairwise(sample) if a.shape == b.shape]
    noticed = sum(torn_table.is_torn(torn_table.torn(a, b, chance)) for a, b in pairs)
    assert noticed >= 0.9 * len(pairs)
