"""Slides that begin when their label is shown: the right one, once, and never by a guess."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from functools import cache

import numpy as np
import pytest

from edge_daemon.config import LabelSettings
from edge_daemon.contract.terms import Outcome
from edge_daemon.pipeline import Prepared
from edge_daemon.service.label import LabelWatch
from edge_daemon.sources.base import Captured, Frame
from edge_daemon.vision.label import LabelReader
from tests.edge_daemon.scenes import WHEN, Listed, frame
from tests.edge_daemon.service.device import Clock, Device
from tests.edge_daemon.service.test_slides import Life, LiveCamera, until_it_ends
from tests.edge_daemon.vision.drawn_labels import Pixels, qr, shown

N = 3


@cache
def label(*texts: str) -> Pixels:
    """A picture of labels on white paper."""
    paper = np.full((320, 320, 3), 240, np.uint8)
    return np.concatenate([shown(qr(text), paper, width_px=280) for text in texts], axis=1)


def label_frame(index: int, *texts: str) -> Frame:
    return Frame(index, "camera at hand", WHEN, label(*texts), field=index)


class LabelCamera(LiveCamera):
    """A camera at hand that can be shown labels."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: tuple[str, ...] = ()

    def shoot(self, outcome: Outcome = "analysed") -> None:
        if not self.texts:
            super().shoot(outcome)
            return
        now = datetime.now(timezone.utc)
        self._taken.put(replace(label_frame(self.index, *self.texts), captured_at=now))
        self.index += 1


@pytest.fixture(autouse=True)
def _every_frame_is_looked_at(hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each frame is looked at: how often a camera's are has a test of its own.
    monkeypatch.setattr(LabelWatch, "_is_due", lambda _, settings: settings is not None)


@pytest.fixture
def camera() -> LabelCamera:
    return LabelCamera()


@pytest.fixture
def life(models, camera, tmp_path) -> Life:
    return Life(models, tmp_path, camera, labels=LabelSettings(read_same=N))


def show(life: Life, camera: LabelCamera, *texts: str, count: int = N) -> None:
    camera.texts = texts
    life.see(camera, count)
    camera.texts = ()
    life.service.turn()


def told(life: Life) -> str:
    return str(life.ask("status").result["label"])


def test_a_label_begins_its_slide_and_its_frames_belong_to_none(life, camera):
    life.see(camera, 2)
    show(life, camera, "S26-17", count=N + 2)
    assert life.service.current.name == "S26-17"
    life.see(camera, 2)
    show(life, camera, "S26-17")
    life.see(camera, 1)
    slide = life.ask("slide-finish").result["slide"]
    assert (slide["slide"], slide["frames"]["captured"]) == ("S26-17", 3)
    assert slide["frames"]["analysed"] == 3
    assert len(life.shown) == 2 + N + 2 + N


def test_it_must_be_read_the_same_several_times(life, camera):
    for text in ("a", "b") * N:
        show(life, camera, text, count=1)
    assert life.service.activity == "idle"
    show(life, camera, "b", count=N - 1)
    assert life.service.current.name == "b"


def test_the_label_of_a_slide_that_ended_begins_nothing(life, camera):
    show(life, camera, "S26-17")
    life.see(camera, 1)
    life.ask("slide-finish")
    show(life, camera, "S26-17", count=2 * N)
    assert life.service.activity == "idle"
    assert "there was a slide of that name before: put on the next one" in told(life)
    show(life, camera, "S26-18")
    assert life.service.current.name == "S26-18"
    assert life.ask("status").result["label"] is None


def test_another_label_during_a_slide_is_only_told(life, camera):
    show(life, camera, "S26-17")
    show(life, camera, "S26-18")
    assert life.service.current.name == "S26-17"
    assert "reads S26-18, but slide S26-17 is under way: finish it first" in told(life)
    life.ask("slide-finish")
    show(life, camera, "S26-18", count=1)  # it is still in view: now it is its turn
    assert life.service.current.name == "S26-18"


def test_where_it_is_configured_another_label_means_the_next_slide(models, camera, tmp_path):
    settings = LabelSettings(read_same=N, on_other="finish_and_begin")
    life = Life(models, tmp_path, camera, labels=settings)
    for name in ("S26-17", "S26-18"):
        show(life, camera, name)
        life.see(camera, 2)
    show(life, camera, "S26-17")  # not even then is a finished slide begun anew
    assert life.service.current.name == "S26-18"
    assert "there was a slide of that name before" in told(life)
    ended = [summary for summary in life.summaries if summary.completion]
    assert [(one.slide, one.completion, one.frames.captured) for one in ended] == [
        ("S26-17", "finished", 2)
    ]


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        (("###",), "gives no name for a slide"),
        (("x" * 70,), "gives no name for a slide"),
        (("a1", "a2"), "several labels are in view ('a1', 'a2'): show one"),
    ],
)
def test_a_label_in_doubt_is_one_line(life, camera, texts, line):
    show(life, camera, *texts)
    assert life.service.activity == "idle"
    assert line in told(life)


def test_only_labels_of_the_pattern_begin_slides(models, camera, tmp_path):
    settings = LabelSettings(read_same=N, pattern=r"S\d\d-\d+")
    life = Life(models, tmp_path, camera, labels=settings)
    show(life, camera, "http://example.org")
    assert "no label of a slide here ([slide.label] pattern)" in told(life)
    show(life, camera, "S26-17")
    assert life.service.current.name == "S26-17"


def test_two_labels_that_give_one_name_are_not_one_slide(life, camera):
    show(life, camera, "S26/17")
    assert life.service.current.name == "S26-17"
    show(life, camera, "S26 17")
    assert "there was a slide of that name before" in told(life)
    show(life, camera, "S26/17")
    assert life.ask("status").result["label"] is None


def test_after_a_power_cut_the_slide_knows_its_label(models, tmp_path):
    settings = LabelSettings(read_same=N)
    for captured in (0, 2):
        camera = LabelCamera()
        life = Life(models, tmp_path, camera, labels=settings)
        show(life, camera, "S26/17")
        life.see(camera, 2)
        assert life.service.current.name == "S26-17"
        assert life.frames[-1].frame == captured + 1
        assert life.ask("status").result["label"] is None
        life.die()


def test_without_by_label_no_frame_is_looked_at(models, camera, tmp_path, monkeypatch):
    monkeypatch.setattr(LabelReader, "read", lambda *_: pytest.fail("looked"))
    life = Life(models, tmp_path, camera)
    show(life, camera, "S26-17")
    assert life.service.activity == "idle"


class TestByCommand:
    def test_a_slide_can_be_named_by_the_label_in_view(self, models, camera, tmp_path):
        life = Life(models, tmp_path, camera)
        show(life, camera, "S26-17", count=1)
        assert life.ask("slide-start", from_label=True).ok
        show(life, camera, "S26-17", count=2)  # still in view: no field of the slide
        life.see(camera, 2)
        assert life.ask("slide-finish").result["slide"]["frames"]["captured"] == 2

    def test_without_a_label_it_is_refused(self, models, camera, tmp_path):
        life = Life(models, tmp_path, camera)
        assert "no frame has come yet" in (life.ask("slide-start", from_label=True).reason or "")
        life.see(camera)
        assert "no label can be read" in (life.ask("slide-start", from_label=True).reason or "")
        both = life.ask("slide-start", from_label=True, slide="s1")
        assert "has a name already" in (both.reason or "")


def test_a_film_with_labels_in_it_is_cut_into_slides(models, tmp_path):
    """What lies before the first label belongs to no slide; each frame of a file is looked at."""
    film: list[Captured] = [frame(0)]
    for name in ("a", "b"):
        film += [label_frame(len(film) + n, name) for n in range(N)]
        film += [frame(len(film) + n) for n in range(4)]
    settings = LabelSettings(read_same=N, on_other="finish_and_begin")
    life = Life(models, tmp_path, Listed(*film), labels=settings)
    until_it_ends(life)
    ended = [summary for summary in life.summaries if summary.completion]
    assert [(one.slide, one.frames.captured) for one in ended] == [("a", 4), ("b", 4)]
    assert life.shown == [0, 1, 2, 3, 8, 9, 10]


class TestHowOften:
    """A camera's frames are looked at a few times a second, and each one while a label is there."""

    @pytest.fixture
    def looks(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        monkeypatch.undo()
        seen: list[int] = []
        self.found: tuple[str, ...] = ()

        def read(_: LabelReader, pixels: Pixels) -> tuple[str, ...]:
            seen.append(len(seen))
            self.clock.now_s += self.takes_s
            return self.found

        monkeypatch.setattr(LabelReader, "read", read)
        self.clock, self.takes_s = Clock(), 0.0
        return seen

    def watch(self, *, endless: bool = True) -> LabelWatch:
        return LabelWatch(
            lambda captured: Prepared(captured, None),  # type: ignore[arg-type]
            lambda: LabelSettings(per_second=4),
            endless=endless,
            clock=self.clock,
        )

    def run(self, watch: LabelWatch, frames: int, fps: float = 25.0) -> None:
        for index in range(frames):
            self.clock.now_s += 1 / fps
            watch.prepare(frame(index))

    def test_a_few_a_second(self, looks):
        self.run(self.watch(), 100)
        assert 14 <= len(looks) <= 17

    def test_less_often_where_it_takes_long(self, looks):
        self.takes_s = 0.1
        began = self.clock.now_s
        self.run(self.watch(), 500)
        assert len(looks) * self.takes_s <= 0.11 * (self.clock.now_s - began)

    def test_each_one_while_a_label_is_in_view(self, looks):
        self.found = ("a",)
        watch = self.watch()
        self.run(watch, 20)
        in_view = len(looks)
        assert in_view >= 13
        self.found = ()
        self.run(watch, 4)
        assert len(looks) == in_view + 3

    def test_each_one_of_a_film(self, looks):
        self.run(self.watch(endless=False), 50)
        assert len(looks) == 50


def test_the_operator_sees_what_to_do() -> None:
    device = Device()
    device.progress.ready("looking")
    device.view.activity, device.view.by_label = "idle", True
    assert device.view.advice().word == "Show the label"
    device.view.tell("label", "several labels are in view ('a', 'b'): show one")
    assert device.view.advice().sentence == "Several labels are in view ('a', 'b'): show one."
    assert device.view.readiness().ok
    assert "several labels" in device.view.readiness().notes[0]
    device.view.tell("label", None)
    assert device.view.readiness().notes == ()
