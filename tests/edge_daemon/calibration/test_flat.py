"""A blank field is learnt, and frames under it are even and grey; what is not blank is refused."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.calibration.apply import Correction
from edge_daemon.calibration.flat import measure_flat
from edge_daemon.errors import CalibrationError
from edge_daemon.sources.base import Pixels
from tests.edge_daemon.calibration.pictures import MADE, taken

LAMP = "vignetting=0.5&cast=0.8"


def blank(grey: float, size: tuple[int, int] = (480, 640)) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 2, (*size, 3))
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def corners_and_middle(pixels: Pixels) -> tuple[float, float]:
    corner = np.mean([pixels[:40, :40].mean(), pixels[-40:, -40:].mean()])
    return float(corner), float(pixels[220:260, 300:340].mean())


class TestABlankField:
    def test_it_becomes_even_and_grey(self) -> None:
        before = taken(f"target=blank&{LAMP}", 8)
        flat = measure_flat(before, MADE)
        after = Correction(flat, 640, 480).apply(before[0])
        corner, middle = corners_and_middle(before[0])
        assert corner < 0.8 * middle
        corner, middle = corners_and_middle(after)
        assert corner == pytest.approx(middle, rel=0.01)
        red, green, blue = after.reshape(-1, 3).mean(axis=0)
        assert red == pytest.approx(green, abs=1.0)
        assert blue == pytest.approx(green, abs=1.0)

    def test_a_smear_under_the_same_lamp_looks_as_under_an_even_white_one(self) -> None:
        flat = measure_flat(taken(f"target=blank&{LAMP}&seed=7", 8), MADE)
        (uneven,) = taken(f"{LAMP}&seed=7", 1)
        (even,) = taken("vignetting=0&seed=7", 1)
        corrected = Correction(flat, 640, 480).apply(uneven).astype(float)
        # The same but for one factor: the lamp's whole brightness is not the flat field's business.
        factor = np.median(even / np.maximum(corrected, 1))
        assert np.abs(corrected * factor - even).mean() < 6
        assert np.abs(uneven * np.median(even / np.maximum(uneven, 1)) - even).mean() > 15

    def test_it_says_how_uneven_the_light_was_and_what_colour(self) -> None:
        flat = measure_flat(taken(f"target=blank&{LAMP}", 4), MADE)
        assert flat.least_light == pytest.approx(0.5, abs=0.08)
        red, green, blue = flat.white_balance
        assert red < green == 1.0 < blue

    def test_noise_of_single_frames_is_not_learnt(self) -> None:
        flat = measure_flat([blank(180)] * 2, MADE)
        assert np.ptp(flat.grid()) < 0.01

    @pytest.mark.parametrize("size", [(480, 640), (96, 1000), (1001, 333)])
    def test_frames_may_have_any_shape(self, size: tuple[int, int]) -> None:
        flat = measure_flat([blank(180, size)], MADE)
        assert Correction(flat, size[1], size[0]).apply(blank(180, size)).shape == (*size, 3)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("frames", "told"),
        [
            ([blank(20)], r"too dark: mean brightness 0\.08, needs 0\.25: turn the lamp up"),
            ([blank(254)], r"clipped: \d\d\.\d% of it at full signal.*dim the lamp"),
            ([blank(150), blank(190)], r"the light changes by \d+\.\d% from frame.*automatic"),
            (taken("red=8", 2), r"not blank: \d\d\.\d% of it is darker.*clean glass"),
            (taken("target=micrometer", 1), r"not blank: .*clean glass"),
        ],
    )
    def test_in_one_line_with_what_to_do(self, frames: list[Pixels], told: str) -> None:
        with pytest.raises(CalibrationError, match=told) as error:
            measure_flat(frames, MADE)
        assert "\n" not in str(error.value)

    def test_a_condenser_that_is_far_off(self) -> None:
        ramp = np.linspace(240, 30, 640)[None, :, None] * np.ones((480, 640, 3))
        with pytest.raises(CalibrationError, match=r"1/7\.\d of the brightest.*centre"):
            measure_flat([ramp.astype(np.uint8)], MADE)
