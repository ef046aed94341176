"""The quality gate lets good frames of real smears through and refuses the same frames spoilt."""

from __future__ import annotations

import functools
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

from edge_daemon.contract.stain import StainReference
from edge_daemon.sources.base import Pixels
from edge_daemon.sources.images import list_pictures
from edge_daemon.sources.reading import read_picture
from edge_daemon.vision.quality import Quality, QualityThresholds, assess
from edge_daemon.vision.quality.cover import judge_overlap, overlap_fraction
from edge_daemon.vision.quality.stain import measure_stain, stain_reference
from tests.edge_daemon.vision.spoilt import (
    SPOILT,
    cast,
    defocused,
    emptied,
    exposed,
    layered,
    moved,
)

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
            ("moved 10 px", "moved", 0.85),
            ("moved 14 px", "moved", 0.95),
            ("moved 14 px, noise", "moved", 0.75),
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
            (
                lambda p: moved(p, 16),
                r"^moved: edges across the motion have 0\.\d\d of the .*needs 0\.60: slow down",
            ),
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
        tiny = assess(np.zeros((1, 1, 3), np.uint8))
        assert tiny == Quality(tiny.judgements)
        assert [one.check for one in tiny.judgements] == ["size"]


class TestMotion:
    """Motion blunts edges in one direction, defocus in all: what to do is not the same."""

    @pytest.mark.parametrize("angle_rad", [0.0, 0.3, 0.8, 1.2, np.pi / 2, 2.2, 3.0])
    def test_it_is_found_whatever_its_direction(self, angle_rad: float) -> None:
        reason = assess(moved(drawn_smear(), 16, angle_rad)).reason
        assert reason is not None
        assert reason.startswith("moved: ")

    @pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 4.0, 6.0])
    def test_defocus_is_not_taken_for_it(self, sigma: float) -> None:
        quality = assess(defocused(drawn_smear(), sigma))
        assert quality.evenness is not None
        assert quality.evenness > 0.7
        assert quality.reason is None or quality.reason.startswith("out of focus")

    def test_the_farther_the_less_even(self) -> None:
        evenness = [assess(moved(drawn_smear(), way)).evenness for way in (0.1, 6, 12, 24)]
        assert evenness == sorted(evenness, reverse=True)

    def test_a_frame_without_enough_edges_is_not_judged(self) -> None:
        glass = emptied(drawn_smear())
        glass[100:104, 100:104] = 60
        found = assess(glass, QualityThresholds(min_foreground_fraction=0.0, min_focus=0.0))
        (motion,) = [one for one in found.judgements if one.check == "motion"]
        assert motion.decision != "reject"


class TestHints:
    """What only makes counts uncertain hides no cell: the frame is analysed and the hint told."""

    def test_a_good_frame_has_none(self) -> None:
        assert assess(drawn_smear()).hints == ()

    def test_hardly_a_cell(self) -> None:
        quality = assess(drawn_smear(cells=1, width=800, height=600))
        assert quality.accepted
        (hint,) = quality.hints
        assert re.search(r"^too thin for counting: cells cover \d\.\d%.*towards the body", hint)

    def test_hardly_any_glass(self) -> None:
        quality = assess(layered(drawn_smear(cells=40), 4))
        assert quality.accepted
        (hint,) = quality.hints
        assert re.search(r"^too dense for counting: cells cover \d\d\.\d%.*side by side", hint)

    def test_red_cells_on_each_other(self) -> None:
        side_by_side = np.array([[100 * n, 0, 100 * n + 99, 99] for n in range(10)], np.float32)
        piled = np.array([[50 * n, 0, 50 * n + 99, 99] for n in range(10)], np.float32)
        assert overlap_fraction(side_by_side) == 0
        assert overlap_fraction(piled) == 1
        assert judge_overlap(0.0, QualityThresholds()).decision == "pass"
        hint = judge_overlap(1.0, QualityThresholds())
        assert hint.decision == "hint"
        assert hint.explanation.startswith("red cells lie on each other: 100% of them")

    def test_round_cells_that_only_touch_do_not_lie_on_each_other(self) -> None:
        aslant = np.array([[71 * n, 71 * n, 71 * n + 100, 71 * n + 100] for n in range(9)])
        assert overlap_fraction(aslant.astype(np.float32)) == 0

    def test_a_crowd_costs_no_more_than_a_few_milliseconds(self) -> None:
        corners = np.random.default_rng(0).uniform(0, 2000, (1000, 2)).astype(np.float32)
        crowd = np.hstack([corners, corners + 60])
        some = overlap_fraction(crowd)
        began = time.process_time()
        for _ in range(10):
            assert overlap_fraction(crowd) == some
        assert (time.process_time() - began) / 10 < 0.030
        assert some is not None
        assert some > 0.5

    @pytest.mark.parametrize("count", [0, 1, 7])
    def test_few_red_cells_say_nothing_about_the_film(self, count: int) -> None:
        assert overlap_fraction(np.zeros((count, 4), np.float32)) is None
        assert judge_overlap(None, QualityThresholds()).decision == "unjudged"


class TestStain:
    @staticmethod
    @functools.cache
    def reference() -> StainReference:
        reference = stain_reference([measure_stain(drawn_smear(cells=n)) for n in (10, 14, 18)])
        assert reference is not None
        return reference

    def test_without_a_reference_it_is_not_judged_and_says_so(self) -> None:
        quality = assess(drawn_smear())
        (stain,) = [one for one in quality.judgements if one.check == "stain"]
        assert stain.decision == "unjudged"
        assert "no reference: run leuko-edge calibrate stain" in stain.explanation
        assert quality.stain_shift is None

    def test_the_same_stain_is_alike(self) -> None:
        quality = assess(drawn_smear(cells=12), None, self.reference())
        assert quality.stain_shift is not None
        assert quality.stain_shift < 0.5
        assert quality.hints == ()

    @pytest.mark.parametrize(
        "colour", [(1.0, 0.9, 0.7), (0.8, 0.9, 1.0), (0.8, 0.8, 0.8), (1.15, 1.0, 1.15)]
    )
    def test_another_one_is_a_hint_and_never_hides_the_frame(
        self, colour: tuple[float, float, float]
    ) -> None:
        quality = assess(cast(drawn_smear(), *colour), None, self.reference())
        assert quality.accepted
        (hint,) = quality.hints
        assert re.search(
            r"^stain unlike the reference: .* off by .* tolerances, at most 1\.0:", hint
        )

    def test_a_nucleus_is_told_from_a_red_cell(self) -> None:
        smear = drawn_smear()
        cv2.circle(smear, (320, 240), 60, (80, 40, 130), -1, cv2.LINE_AA)
        colours = measure_stain(smear)
        assert colours.nuclei is not None
        assert colours.red_cells is not None
        assert colours.nuclei[0] < colours.red_cells[0] - 20
        assert measure_stain(drawn_smear()).nuclei is None

    def test_nothing_can_be_learnt_of_bare_glass(self) -> None:
        assert stain_reference([measure_stain(emptied(drawn_smear()))]) is None


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
    reference = TestStain().reference()
    quality = assess(np.clip(noise, 0, 255).astype(np.uint8), None, reference)
    assert quality.accepted == (quality.reason is None)
    for fraction in (quality.exposure, quality.clipped_fraction, quality.foreground_fraction):
        assert fraction is None or 0 <= fraction <= 1
    assert quality.focus is None or quality.focus >= 0


def test_it_costs_little() -> None:
    """3 ms per frame of 640 x 480 on the build machine; ten times that is something gone wrong."""
    smear, reference = drawn_smear(), TestStain.reference()
    assess(smear, None, reference)
    began = time.process_time()
    for _ in range(20):
        assess(smear, None, reference)
    assert (time.process_time() - began) / 20 < 0.030
