"""The quality gate lets good frames of real smears through and refuses the same frames spoilt."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_daemon.sources.base import Pixels
from edge_daemon.sources.images import list_pictures
from edge_daemon.sources.reading import read_picture
from edge_daemon.vision.quality import Quality, QualityThresholds, assess
from tests.edge_daemon.vision.spoilt import SPOILT, defocused, emptied, exposed

TRAIN, VAL = ("bccd/train", "txl-pbc/train"), ("bccd/val", "txl-pbc/val")


def drawn_smear(cells: int = 14, width: int = 640, height: int = 480) -> Pixels:
    """Red discs with a sharp rim on bright glass, with the sensor's noise."""
    place = np.random.default_rng(3)
    picture = np.full((height, width, 3), (214, 208, 212), np.uint8)
    for _ in range(cells):
        centre = (int(place.integers(0, width)), int(place.integers(0, height)))
        cv2.circle(picture, centre, width // 13, (205, 150, 165), -1, cv2.LINE_AA)
    noise = place.normal(0, 2, picture.shape)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)


def frames(data: Path, names: tuple[str, ...], every: int = 1) -> list[Pixels]:
    return [read_picture(path) for name in names for path in list_pictures(data / name)[::every]]


class TestRealFrames:
    def test_frames_of_the_training_sets_pass(self, leuko_data: Path) -> None:
        accepted = [assess(pixels).accepted for pixels in frames(leuko_data, TRAIN, every=3)]
        assert len(accepted) >= 300
        assert np.mean(accepted) >= 0.995

    def test_frames_of_the_validation_sets_pass(self, leuko_data: Path) -> None:
        accepted = [assess(pixels).accepted for pixels in frames(leuko_data, VAL)]
        assert np.mean(accepted) >= 0.99

    @pytest.mark.parametrize(
        ("how", "reason", "refused_at_least"),
        [
            ("blurred, sigma 4", "out of focus", 0.94),
            ("blurred, sigma 6", "out of focus", 1.0),
            ("blurred, sigma 6, noise", "out of focus", 0.97),
            ("40 % of the light", "underexposed", 1.0),
            ("twice the light", "overexposed", 1.0),
            ("empty glass", "empty field", 1.0),
        ],
    )
    def test_the_same_frames_spoilt_are_refused_for_what_was_done_to_them(
        self, leuko_data: Path, how: str, reason: str, refused_at_least: float
    ) -> None:
        spoil = SPOILT[how]
        reasons = [assess(spoil(pixels)).reason for pixels in frames(leuko_data, TRAIN, every=12)]
        assert np.mean([bool(r and r.startswith(reason)) for r in reasons]) >= refused_at_least


class TestReason:
    """What the operator reads: what is wrong, by how much, and what to turn."""

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda p: defocused(p, 6), r"^out of focus: sharpness [0-9.]+, needs 8\.5: turn the"),
            (
                lambda p: exposed(p, 0.3),
                r"^underexposed: mean brightness 0\.2\d \(at least 0\.40\).*turn the lamp up",
            ),
            (
                lambda p: exposed(p, 2.0),
                r"^overexposed: .* fully white \(at most 5\.0%\): dim the lamp or shorten",
            ),
            (emptied, r"^empty field: cells cover 0\.\d%, needs 1\.0%: move to where the smear"),
            (np.zeros_like, r"^underexposed: mean brightness 0\.00"),
            (lambda p: np.full_like(p, 255), r"^overexposed: mean brightness 1\.00"),
        ],
    )
    def test_it_says_what_is_wrong_and_what_to_do(
        self, spoil: Callable[[Pixels], Pixels], words: str
    ) -> None:
        quality = assess(spoil(drawn_smear()))
        assert not quality.accepted
        assert quality.reason is not None
        assert "\n" not in quality.reason
        assert re.search(words, quality.reason), quality.reason

    @pytest.mark.parametrize("size", [(1, 1), (1, 4000), (95, 640), (640, 95)])
    def test_a_tiny_frame_is_refused_with_its_size(self, size: tuple[int, int]) -> None:
        reason = assess(np.full((*size, 3), 200, np.uint8)).reason
        assert reason is not None
        assert reason.startswith(f"too small: {size[1]} x {size[0]} pixels, needs 96 on each side")


class TestMeasures:
    def test_a_good_frame_passes_with_all_its_measures(self) -> None:
        quality = assess(drawn_smear())
        assert quality.accepted
        assert quality.focus is not None
        assert quality.focus > 8
        assert quality.exposure == pytest.approx(0.75, abs=0.08)
        assert quality.clipped_fraction == 0
        assert quality.foreground_fraction is not None
        assert 0.1 < quality.foreground_fraction < 0.7

    def test_focus_falls_with_every_further_blur(self) -> None:
        sharp = drawn_smear()
        focus = [assess(defocused(sharp, sigma)).focus for sigma in (1, 2, 3, 4, 6, 8)]
        assert focus == sorted(focus, reverse=True)

    def test_focus_does_not_depend_on_contrast_or_brightness(self) -> None:
        sharp = defocused(drawn_smear(), 1)
        paler = (sharp * 0.7 + 60).astype(np.uint8)
        assert assess(paler).focus == pytest.approx(assess(sharp).focus, rel=0.1)

    def test_focus_does_not_depend_on_how_many_cells_there_are(self) -> None:
        few, many = (assess(defocused(drawn_smear(n), 1)).focus for n in (6, 24))
        assert few == pytest.approx(many, rel=0.2)

    def test_a_vignette_is_not_taken_for_cells(self) -> None:
        assert assess(emptied(drawn_smear(), vignetting=0.3)).foreground_fraction == 0

    def test_one_white_cell_alone_is_not_an_empty_field(self) -> None:
        glass = emptied(drawn_smear())
        cv2.circle(glass, (320, 240), 50, (110, 60, 150), -1, cv2.LINE_AA)
        assert assess(glass).accepted

    def test_what_was_not_got_to_is_not_claimed(self) -> None:
        dark = assess(exposed(drawn_smear(), 0.2))
        assert dark.exposure is not None
        assert (dark.focus, dark.foreground_fraction) == (None, None)
        assert assess(np.zeros((1, 1, 3), np.uint8)) == Quality(
            assess(np.zeros((1, 1, 3), np.uint8)).reason
        )


class TestThresholds:
    def test_they_are_configuration(self) -> None:
        blurred = defocused(drawn_smear(), 6)
        assert not assess(blurred).accepted
        assert assess(blurred, QualityThresholds(min_focus=0)).accepted

    def test_a_misspelt_one_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="min_fokus"):
            QualityThresholds.model_validate({"min_fokus": 3})

    def test_they_cannot_be_changed_afterwards(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            QualityThresholds().min_focus = 1.0


@settings(max_examples=60)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    low=st.integers(0, 255),
    spread=st.integers(1, 256),
)
def test_any_picture_gets_a_decision(height: int, width: int, low: int, spread: int) -> None:
    """Noise of any brightness in any shape: measured within its ranges, never an error."""
    noise = np.random.default_rng(0).integers(low, low + spread, (height, width, 3))
    quality = assess(np.clip(noise, 0, 255).astype(np.uint8))
    assert quality.accepted == (quality.reason is None)
    for fraction in (quality.exposure, quality.clipped_fraction, quality.foreground_fraction):
        assert fraction is None or 0 <= fraction <= 1
    assert quality.focus is None or quality.focus >= 0


def test_it_costs_little() -> None:
    """2 ms per frame of 640 x 480 on the build machine; ten times that is something gone wrong."""
    smear = drawn_smear()
    assess(smear)
    began = time.process_time()
    for _ in range(20):
        assess(smear)
    assert (time.process_time() - began) / 20 < 0.020
