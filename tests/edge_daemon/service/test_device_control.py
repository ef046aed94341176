"""The controls of a device: run when due, judged, in the way of slides while they do not count."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.config import Config
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.control import ControlRun
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.control.standing import ControlStanding
from edge_daemon.control.validity import Moment
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import ControlError, LostDeviceError
from edge_daemon.inference import Models
from edge_daemon.service import device_control
from tests.edge_daemon.scenes import LENIENT, frame
from tests.edge_daemon.service.controlled import BOOT, Life, configured
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

pytestmark = pytest.mark.usefixtures("hurry")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), picture(white=2, red=4)[..., ::-1])
    return folder


def picture(**cells: int) -> np.ndarray:
    """A scene large enough to be taken for a picture."""
    return cv2.resize(frame(**cells).pixels, (512, 512), interpolation=cv2.INTER_NEAREST)


SLIDE = {"slide": "CONTROL"}


@pytest.fixture
def life(models, pictures, tmp_path):
    """A device whose stored control was accepted, and passed."""
    begun = Life(models, tmp_path, {"source": str(pictures)})
    begun.service.turn()
    begun.accept()
    assert [run.verdict for run in begun.runs] == ["passed", "failed"]
    yield begun
    begun.die()


def said(life: Life, what: str) -> bool:
    """Whether the operator was told."""
    return any(what in (standing.line or "") for standing in life.told)


class TestStored:
    def test_it_is_run_before_anything_else_and_waits_to_be_accepted(
        self, models, pictures, tmp_path
    ):
        life = Life(models, tmp_path, {"source": str(pictures)})
        reply = life.ask("slide-start", slide="s1")
        assert not reply.ok
        assert reply.reason == (
            "no slide may begin: the stored control has no expected result yet: if run 1 is right, "
            "accept it: leuko-edge control accept"
        )
        (run,) = life.runs
        assert run.reasons == ("Nothing is expected yet: look at it, and accept it.",)
        assert run.found is not None
        assert (run.found.nucleated_cells, run.found.blasts) == (8, 8)
        assert life.busy == ["running the stored control"]
        assert life.summaries == []
        for _ in range(5):  # and not again and again
            life.service.turn()
        assert len(life.runs) == 1

    def test_when_it_has_passed_a_slide_may_begin(self, life):
        assert life.control.standing == ControlStanding()
        assert life.runs[0].reasons == ("Every decision is the same, on 8 nucleated cells.",)
        assert life.ask("slide-start", slide="s1").ok
        said = [one for one in life.messages if isinstance(one, ControlRun)]
        assert [one.verdict for one in said] == ["failed", "passed"]
        assert said[-1].expected == said[-1].found

    def test_it_is_run_again_the_next_day_without_being_asked(self, life):
        life.time.pass_h(23.9)
        life.service.turn()
        assert len(life.runs) == 2
        life.time.pass_h(0.2)
        assert life.ask("slide-start", slide="s1").ok
        assert len(life.runs) == 3

    def test_what_is_under_way_goes_on_and_the_next_slide_waits(self, life, pictures):
        assert life.ask("slide-start", slide="s1").ok
        life.see(2)
        (pictures / "0.png").unlink()
        life.time.pass_h(25)
        life.see(3)
        assert "is due: the last control passed 25.0 h ago" in (life.control.standing.line or "")
        assert len(life.runs) == 2  # not inside the slide
        assert life.ask("slide-finish").result["slide"]["frames"]["captured"] == 5
        told = life.ask("slide-start", slide="s2").reason or ""
        assert "the stored control failed: These are not the pictures that were accepted" in told
        assert "when the cause is found, run it: command control-run" in told
        ends = [one for one in life.messages if isinstance(one, SlideSummary) and one.complete]
        assert [end.slide for end in ends] == ["s1"]
        assert len([one for one in life.messages if isinstance(one, FrameResult)]) == 5

    def test_mended_it_is_run_by_command_and_slides_may_begin(self, life, pictures):
        whole = (pictures / "0.png").read_bytes()
        cv2.imwrite(str(pictures / "0.png"), picture(white=6, red=0))
        assert life.ask("control-run").result == {"verdict": "failed"}
        assert not life.ask("slide-start", slide="s1").ok
        (pictures / "0.png").write_bytes(whole)
        assert life.ask("control-run").result == {"verdict": "passed"}
        assert life.ask("slide-start", slide="s1").ok

    def test_a_control_that_cannot_be_read_has_not_passed(self, life, pictures):
        pictures.rename(pictures.with_name("elsewhere"))
        assert life.ask("control-run").result == {"verdict": "failed"}
        assert life.runs[0].found is None
        assert life.runs[0].reasons[0].endswith("there is no such file or folder: check the path")
        assert life.control.standing.failed

    def test_a_picture_that_cannot_be_read_is_another_picture(self, life, pictures):
        (pictures / "1.png").write_bytes(b"no picture")
        assert life.ask("control-run").result == {"verdict": "failed"}
        assert "not the pictures that were accepted" in life.runs[0].reasons[0]

    def test_it_may_not_take_for_ever(self, models, pictures, tmp_path):
        life = Life(models, tmp_path, {"source": str(pictures), "within_s": 30})
        enter = life.control._clock
        ticks = iter(range(0, 10_000, 20))
        life.control._clock = lambda: float(next(ticks))
        assert life.control.run_stored().reasons[0].startswith("the control took more than 30 s")
        life.control._clock = enter

    def test_whatever_breaks_in_it_is_its_failure_and_not_the_daemons(self, life, monkeypatch):
        def broken(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(device_control, "screen_stored", broken)
        assert life.ask("control-run").result == {"verdict": "failed"}
        assert life.runs[0].reasons[0].startswith("it could not be run: OSError: ")

    def test_an_accelerator_that_breaks_says_nothing_of_the_control(self, life, monkeypatch):
        def broken(_: object) -> None:
            raise LostDeviceError("CUDA is gone")

        monkeypatch.setattr(life.models, "detect", broken)
        with pytest.raises(LostDeviceError):
            life.control.run_stored()
        assert len(life.runs) == 2

    def test_a_daemon_that_is_asked_to_stop_leaves_it(self, life):
        life.time.pass_h(25)
        life.stop.set()
        life.service.turn()
        assert len(life.runs) == 2
        told = life.ask("control-run").reason
        assert told == "the daemon is stopping: the control was not run"

    def test_another_bundle_makes_it_due(self, life, tmp_path):
        other = load_bundle(write_tiny_bundle(tmp_path / "other", "0.2.0"))
        with Models.open(other, EngineOptions("onnxruntime", threads=1)) as opened:
            life.models = opened
            life.service.turn()
            assert said(life, "the bundle is another than when it was run")
            assert life.runs[0].verdict == "passed"
            assert "All is within its tolerance" in life.runs[0].reasons[0]
            assert life.ask("slide-start", slide="s1").ok

    @pytest.mark.parametrize(
        "change",
        [
            {"source": {"url": "camera://0", "um_per_px": 0.126, "scan": False}},
            {"quality": {**LENIENT.model_dump(), "min_focus": 1.0}},
            {"slide": {"thresholds": {"negative_below": 0.01}}},
            {"device": {"objective": "63x"}},
        ],
    )
    def test_another_configuration_makes_it_due(self, life, change):
        runs = len(life.runs)
        given = life.config.model_dump()
        life.config = Config.model_validate({**given, **change})
        life.service.turn()
        assert said(life, "configuration, calibration or version are others")
        assert len(life.runs) == runs + 1
        assert life.runs[0].verdict == "passed"

    def test_a_wrong_scale_is_told(self, life):
        given = life.config.model_dump()
        given["source"]["um_per_px"] = 0.25
        life.config = Config.model_validate(given)
        reply = life.ask("slide-start", slide="s1")
        assert "The scale is 0.25 um per pixel, 0.125 is expected" in (reply.reason or "")

    def test_an_expected_result_that_was_altered_is_not_trusted(self, life, tmp_path):
        file = tmp_path / "control" / "stored.json"
        content = json.loads(file.read_text())
        content["figures"]["decisions"] = "sha256:" + "0" * 64
        file.write_text(json.dumps(content))
        told = life.ask("slide-start", slide="s1").reason or ""
        assert "does not have the digest that it names: altered" in told
        assert life.runs[0].verdict == "failed"

    def test_after_a_new_start_it_still_counts(self, life, models, pictures, tmp_path):
        life.die()
        again = Life(models, tmp_path, {"source": str(pictures)})
        assert again.ask("slide-start", slide="s1").ok
        assert len(again.runs) == 2
        again.die()

    def test_a_slide_that_was_cut_off_goes_on_though_the_control_is_due(
        self, life, models, pictures, tmp_path
    ):
        assert life.ask("slide-start", slide="s1").ok
        life.see(2)
        life.die()
        (pictures / "0.png").unlink()
        again = Life(models, tmp_path, {"source": str(pictures)})
        again.time.pass_h(25)
        again.see(1)
        assert again.ask("slide-finish").result["slide"]["frames"]["captured"] == 3
        assert "the stored control failed" in (again.ask("slide-start").reason or "")
        again.die()

    def test_a_clock_that_went_back_keeps_no_control_valid(self, life, models, pictures, tmp_path):
        life.die()
        again = Life(models, tmp_path, {"source": str(pictures)})
        again.time.moment = Moment(BOOT - timedelta(days=3), 5.0, "boot-2", True)
        again.service.turn()
        assert said(again, "the clock went back")
        assert len(again.runs) == 3  # so it was run again
        again.die()

    def test_a_slide_that_begins_by_itself_waits_for_it(self, models, pictures, tmp_path):
        life = Life(models, tmp_path, {"source": str(pictures)}, at_once=True)
        for _ in range(3):
            life.service.turn()
        assert life.service.activity == "idle"
        life.accept()
        life.service.turn()
        assert (life.service.activity, life.service.current.name) == ("screening", "s0")

    def test_where_it_is_not_required_it_is_run_and_told_and_in_nobodys_way(self, models, tmp_path):
        life = Life(models, tmp_path, {"source": str(tmp_path / "no"), "required": False})
        assert life.ask("slide-start", slide="s1").ok
        assert life.runs[0].verdict == "failed"
        assert life.control.standing.line is not None
        assert life.told[-1] == life.control.standing

    def test_without_a_control_nothing_is_asked_of_anybody(self, models, tmp_path):
        life = Life(models, tmp_path, {"required": False})
        assert life.ask("slide-start", slide="s1").ok
        assert (life.runs, life.told) == ([], [])
        with pytest.raises(ControlError, match="no stored control is configured"):
            life.control.run_stored()


class TestSlide:
    @pytest.fixture
    def life(self, models, tmp_path):
        begun = Life(models, tmp_path, SLIDE)
        yield begun
        begun.die()

    def test_it_is_asked_for_by_name(self, life):
        told = life.ask("slide-start", slide="s1").reason or ""
        assert "put it under the microscope and start it: slide-start CONTROL" in told

    @pytest.mark.parametrize("args", [{"control": True}, {"slide": "CONTROL"}])
    def test_it_is_screened_like_a_slide_and_is_no_patients(self, life, args):
        assert life.ask("slide-start", **args).ok
        life.see(4)
        reply = life.ask("slide-finish")
        slide = reply.result["slide"]
        assert slide["slide"].startswith("CONTROL-2")
        assert slide["control"]
        assert (slide["disposition"], slide["blasts"]) == ("insufficient", 8)
        assert slide["reasons"] == ["This is a control slide: it says nothing of a patient."]
        assert all(frame.control for frame in life.frames)
        topics = {entry.parcel.topic for entry in life.outbox.pending(999)}
        assert not any("/crop/" in topic for topic in topics)
        (run,) = life.runs
        assert (run.kind, run.slide, run.pictures) == ("slide", slide["slide"], None)

    def test_accepted_and_screened_again_it_lets_slides_begin(self, life):
        life.screen_control()
        life.accept()
        assert not life.ask("slide-start", slide="s1").ok  # what is accepted has not passed
        run = life.screen_control(frames=6)
        assert (run.verdict, run.reasons) == (
            "passed",
            ("All is within its tolerance, on 12 nucleated cells.",),
        )
        assert life.ask("slide-start", slide="s1").ok
        life.see(1)
        assert not life.frames[-1].control

    def test_other_cells_on_it_are_told_and_hold_slides_back(self, life):
        life.screen_control(frames=10)
        life.accept()
        run = life.screen_control(frames=10, white=9)
        assert run.verdict == "failed"
        told = life.ask("slide-start", slide="s1").reason or ""
        assert "the control slide failed:" in told
        assert "in a mm2" in told

    def test_too_few_cells_are_no_pass(self, life):
        life.screen_control()
        life.accept()
        run = life.screen_control(frames=2)
        assert run.reasons[0].startswith("Too few cells: 4 nucleated cells counted, 6 are needed")

    def test_thrown_away_it_has_not_passed(self, life):
        """Else a control that fails could be aborted until one passes."""
        life.screen_control()
        life.accept()
        assert life.screen_control().verdict == "passed"
        assert life.ask("slide-start", control=True).ok
        life.see(5)
        assert life.ask("slide-abort").ok
        assert life.runs[0].reasons == ("it was not screened to its end (aborted)",)
        assert not life.ask("slide-start", slide="s1").ok

    def test_it_is_a_control_of_what_it_began_with(self, life):
        """A configuration that is read again while it lies there is not proven by it."""
        life.screen_control()
        life.accept()
        assert life.ask("slide-start", control=True).ok
        life.see(5)
        life.config = configured(life.folder, SLIDE).model_copy(
            update={"device": life.config.device.model_copy(update={"objective": "63x"})}
        )
        assert life.ask("slide-finish").ok
        assert life.runs[0].verdict == "passed"
        told = life.ask("slide-start", slide="s1").reason or ""
        assert "configuration, calibration or version are others" in told

    def test_cut_off_it_is_screened_again(self, life, models, tmp_path):
        assert life.ask("slide-start", control=True).ok
        life.see(3)
        life.die()
        again = Life(models, tmp_path, SLIDE)
        assert again.service.activity == "idle"
        assert again.summaries[-1].completion == "interrupted"
        assert again.runs[0].reasons == ("it was not screened to its end (interrupted)",)
        again.die()

    def test_where_none_is_configured_there_is_none(self, models, tmp_path):
        life = Life(models, tmp_path / "other", {"required": False})
        told = life.ask("slide-start", control=True).reason or ""
        assert "this device has no control slide" in told


def test_of_two_controls_both_must_have_passed(models, pictures, tmp_path):
    life = Life(models, tmp_path, {"source": str(pictures), **SLIDE})
    life.service.turn()
    life.accept()
    told = life.ask("slide-start", slide="s1").reason or ""
    assert told.startswith("no slide may begin: the control slide has no expected result yet")
    life.screen_control()
    life.accept()
    life.screen_control()
    assert life.ask("slide-start", slide="s1").ok
