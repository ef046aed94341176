"""What lens and camera do to a field, one effect at a time."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.smear.optics import Optics
from edge_daemon.smear.sprite import Picture


def optics(vignetting: float = 0.0, noise: float = 0.0, sharpness_px: float = 0.0) -> Optics:
    return Optics(np.random.default_rng(1), 320, 240, vignetting, noise, sharpness_px)


def grey(level: int) -> Picture:
    return np.full((240, 320, 3), level, np.uint8)


def stripes() -> Picture:
    field = grey(220)
    field[:, ::16] = 60
    return field


def test_perfect_optics_change_nothing() -> None:
    field = stripes()
    assert np.array_equal(optics().expose(np.random.default_rng(2), field, 0.0, 0.075), field)


def test_the_field_itself_is_never_changed() -> None:
    field = stripes()
    optics(0.3, 4.0, 0.8).expose(np.random.default_rng(2), field, 2.0, 0.075)
    assert np.array_equal(field, stripes())


def test_the_same_draw_gives_the_same_frame() -> None:
    lens = optics(0.2, 4.0, 0.8)
    first, second = (lens.expose(np.random.default_rng(2), grey(150), 0.0, 0.075) for _ in "ab")
    other = lens.expose(np.random.default_rng(3), grey(150), 0.0, 0.075)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_the_further_from_focus_the_less_contrast() -> None:
    contrasts = [
        optics().expose(np.random.default_rng(2), stripes(), z_um, 0.075).std()
        for z_um in (0.0, 1.0, 3.0, -6.0)
    ]
    assert contrasts == sorted(contrasts, reverse=True)


def test_corners_lose_the_stated_share_of_light() -> None:
    frame = optics(vignetting=0.4).expose(np.random.default_rng(2), grey(200), 0.0, 0.075)
    corners = frame[[0, 0, -1, -1], [0, -1, 0, -1], 1]
    assert frame[120, 160, 1] > 195
    assert corners.min() == pytest.approx(200 * 0.6, abs=4)


@pytest.mark.parametrize("level", [60, 240])
def test_noise_grows_with_the_root_of_the_light(level: int) -> None:
    frame = optics(noise=6.0).expose(np.random.default_rng(2), grey(level), 0.0, 0.075)
    assert frame.mean() == pytest.approx(level, abs=1.0)
    if level < 200:
        assert frame.std() == pytest.approx(6.0 * np.sqrt(level / 255), rel=0.1)


def test_overexposure_saturates() -> None:
    frame = optics().expose(np.random.default_rng(2), grey(150), 0.0, 0.075, exposure=2.0)
    assert (frame == 255).all()
