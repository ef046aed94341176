"""Focus and stain are learnt from frames of a smear, and from nothing else."""

from __future__ import annotations

import pytest

from edge_daemon.calibration.learnt import learn_focus, learn_stain
from edge_daemon.errors import CalibrationError
from edge_daemon.vision.quality import QualityThresholds, assess
from tests.edge_daemon.calibration.pictures import MADE, taken
from tests.edge_daemon.vision.spoilt import cast, defocused


class TestFocus:
    def test_a_sweep_and_frames_in_focus_say_the_same(self) -> None:
        sweep = learn_focus(taken("sweep=3", 12), MADE)
        still = learn_focus(taken("focus=0", 6), MADE)
        assert sweep.min_focus == pytest.approx(still.min_focus, rel=0.25)

    def test_what_it_learns_lets_focus_through_and_refuses_defocus(self) -> None:
        learnt = learn_focus(taken("focus=0", 8), MADE)
        needs = QualityThresholds(min_focus=learnt.min_focus)
        for pixels in taken("focus=0&seed=11", 4):
            assert assess(pixels, needs).accepted
            reason = assess(defocused(pixels, 4), needs).reason
            assert reason is not None
            assert reason.startswith("out of focus")

    def test_it_follows_the_objective(self) -> None:
        """At twice the pixels, the same lens is blurred over more of them."""
        sharp = learn_focus(taken("focus=0", 6), MADE)
        soft = learn_focus([defocused(p, 1.2) for p in taken("focus=0", 6)], MADE)
        assert soft.best < sharp.best
        assert soft.min_focus < sharp.min_focus

    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ("target=blank", "0 of 6 frames show cells, needs 5: empty field"),
            ("focus=0&noise=0&seed=5", "no frame is sharp: the best measure is"),
        ],
    )
    def test_what_is_refused(self, settings: str, told: str) -> None:
        frames = taken(settings, 6)
        if "sharp" in told:
            frames = [defocused(pixels, 8) for pixels in frames]
        with pytest.raises(CalibrationError, match=told) as error:
            learn_focus(frames, MADE)
        assert "\n" not in str(error.value)


class TestStain:
    def test_frames_of_the_same_slide_are_alike_and_another_lamp_is_not(self) -> None:
        learnt = learn_stain(taken("white=2", 12), MADE)
        assert learnt.reference.nuclei is not None
        for pixels in taken("white=2&seed=7", 4):
            assert assess(pixels, None, learnt.reference).hints == ()
            hints = assess(cast(pixels, 1.0, 0.85, 0.6), None, learnt.reference).hints
            assert any(hint.startswith("stain unlike") for hint in hints)

    @pytest.mark.parametrize("settings", ["target=blank", "focus=0&sweep=20", "red=17"])
    def test_only_good_frames_teach(self, settings: str) -> None:
        frames = [p // 4 for p in taken(settings, 6)] if settings == "red=17" else None
        frames = frames or taken(settings, 6)
        with pytest.raises(CalibrationError, match="of 6 frames are good enough, needs 5: "):
            learn_stain(frames, MADE)
