"""The scale comes from a stage micrometer to a thousandth, from red cells to what is honest."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_daemon.calibration.micrometer import line_spacing
from edge_daemon.calibration.scale import scale_from_micrometer, scale_from_red_cells
from edge_daemon.errors import CalibrationError
from edge_daemon.sources.base import Pixels
from tests.edge_daemon.calibration.pictures import MADE, taken
from tests.edge_daemon.vision.spoilt import defocused, with_noise


def engraved(um_per_px: float, pitch: float, angle: float) -> Pixels:
    settings = f"target=micrometer&um_per_px={um_per_px}&pitch={pitch}&angle={angle}&focus=0"
    return taken(settings, 1)[0]


class TestMicrometer:
    @pytest.mark.parametrize("angle", [0.0, 0.4, 7.3, 33.0, 45.0, 88.0, -61.0])
    def test_lines_may_lie_at_any_angle(self, angle: float) -> None:
        scale = scale_from_micrometer([engraved(0.075, 5, angle)], 5, MADE)
        assert scale.um_per_px == pytest.approx(0.075, rel=1e-3)

    @pytest.mark.parametrize(
        ("um_per_px", "pitch"), [(0.0613, 2), (0.075, 10), (0.11, 10), (0.25, 10), (0.4, 10)]
    )
    def test_any_magnification(self, um_per_px: float, pitch: float) -> None:
        scale = scale_from_micrometer([engraved(um_per_px, pitch, 3.0)], pitch, MADE)
        assert scale.um_per_px == pytest.approx(um_per_px, rel=2e-3)

    def test_the_truth_lies_within_three_uncertainties(self) -> None:
        for seed in range(3):
            frames = taken(f"target=micrometer&pitch=5&angle=4&seed={seed}", 2)
            scale = scale_from_micrometer(frames, 5, MADE)
            assert abs(scale.um_per_px - 0.075) < 3 * scale.uncertainty
            assert scale.uncertainty < 0.005 * scale.um_per_px

    @pytest.mark.parametrize(
        "spoil", [lambda p: with_noise(p, 12), lambda p: defocused(p, 3), lambda p: p // 2]
    )
    def test_noise_blur_and_poor_light_do_not_shift_it(self, spoil) -> None:  # type: ignore[no-untyped-def]
        scale = scale_from_micrometer([spoil(engraved(0.075, 5, 12.0))], 5, MADE)
        assert scale.um_per_px == pytest.approx(0.075, rel=3e-3)

    def test_longer_lines_among_the_others_do_not_count_for_the_distance(self) -> None:
        """Where only every fifth line reaches, the picture repeats at five times the distance."""
        spacing = line_spacing(engraved(0.075, 2.5, 2.0))
        assert spacing is not None
        assert spacing.px == pytest.approx(2.5 / 0.075, rel=2e-3)
        assert spacing.lines >= 12

    @pytest.mark.parametrize(
        "frames",
        [
            taken("red=17", 2),
            taken("target=blank", 2),
            [np.full((480, 640, 3), 128, np.uint8)],
            [np.zeros((480, 640, 3), np.uint8)],
            [np.full((480, 640, 3), 255, np.uint8)],
            [np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)],
            [engraved(0.075, 40, 0)],
        ],
    )
    def test_no_lines_are_told_in_one_line(self, frames: list[Pixels]) -> None:
        with pytest.raises(CalibrationError, match=r"no evenly spaced lines in .* at least four"):
            scale_from_micrometer(frames, 10, MADE)

    def test_lines_that_are_not_evenly_spaced_are_no_scale(self) -> None:
        picture = np.full((480, 640, 3), 220, np.uint8)
        for x in np.cumsum(np.random.default_rng(4).integers(15, 90, 12)):
            cv2.line(picture, (int(x), 0), (int(x), 479), (40, 40, 40), 5)
        assert line_spacing(picture) is None

    def test_frames_that_disagree_are_refused(self) -> None:
        frames = [engraved(0.075, 5, 3), engraved(0.08, 5, 3)]
        with pytest.raises(
            CalibrationError, match=r"lines are 6\d\.\d\d to 6\d\.\d\d pixels apart"
        ):
            scale_from_micrometer(frames, 5, MADE)


class TestRedCells:
    def test_the_median_of_the_frames_with_an_honest_uncertainty(self) -> None:
        scale = scale_from_red_cells([0.074, 0.076, 0.075, 0.073, 0.2], MADE)
        assert scale.um_per_px == 0.075
        assert scale.uncertainty >= 0.06 * 0.075

    def test_too_few_are_refused(self) -> None:
        with pytest.raises(
            CalibrationError, match=r"measured in 4 frames, needs 5: .*--spacing-um"
        ):
            scale_from_red_cells([0.075] * 4, MADE)
