"""Slides one after another under commands: every frame belongs to one slide, or is only shown."""

from __future__ import annotations

import queue
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import Self

from edge_daemon.contract.messages import CommandReply, FrameResult, SlideSummary
from edge_daemon.contract.terms import Outcome
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.errors import SourceError
from edge_daemon.inference import Models
from edge_daemon.ledger.reading import read_ledger
from edge_daemon.ledger.slides import SlideLedger, Unfinished
from edge_daemon.pipeline import Pipeline, Prepared
from edge_daemon.reporter import Reporter
from edge_daemon.service.commands import CommandDesk
from edge_daemon.service.current_slide import SlideDefaults
from edge_daemon.service.slides import SlideService
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured, DroppedFrame, Source, UnreadableFrame
from tests.edge_daemon.scenes import LENIENT, Listed, frame
from tests.edge_daemon.service.asking import answered
from tests.soak import repeated

pytestmark = pytest.mark.soak


class LiveCamera:
    """A camera that takes a picture when the test says so."""

    name = "camera at hand"
    frame_count = None

    def __init__(self) -> None:
        self._taken: queue.SimpleQueue[Captured | Exception] = queue.SimpleQueue()
        self.index = 0

    def shoot(self, outcome: Outcome = "analysed") -> None:
        now = datetime.now(timezone.utc)
        scene: Captured = replace(frame(self.index, white=1, red=6), captured_at=now)
        if outcome == "failed":
            scene = UnreadableFrame(self.index, self.name, now, "torn frame: row 7")
        elif outcome == "dropped":
            scene = DroppedFrame(self.index, self.name, now, "too slow")
        self._taken.put(scene)
        self.index += 1

    def break_down(self) -> None:
        self._taken.put(SourceError("camera at hand: unplugged"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def __iter__(self) -> Iterator[Captured]:
        while True:
            taken = self._taken.get()
            if isinstance(taken, Exception):
                raise taken
            yield taken


class Life:
    """One process of the daemon."""

    def __init__(
        self, models: Models, folder: Path, source: Source, bundle: str = "b1", **defaults: Any
    ) -> None:
        self.outbox = Outbox(folder / "outbox.db")
        self._origin = Origin("lab", "m1", uuid.uuid4().hex, models.bundle.digest)
        self.ledger = SlideLedger(self.outbox, self._origin.boot_id)
        self.frames: list[FrameResult] = []
        self.shown: list[int] = []
        self.summaries: list[SlideSummary] = []
        self._models = models
        self.desk = CommandDesk(self._origin, self.outbox)
        self.service = SlideService(
            source,
            Pipeline(models, LENIENT).prepare,
            self._open_run,
            self.ledger,
            self.desk,
            bundle,
            defaults=SlideDefaults(**({"at_once": False} | defaults)),
            on_frame=lambda result, _: self.frames.append(result),
            on_idle=self._show,
            on_summary=self.summaries.append,
        )
        self.service.start()

    def _open_run(self, setup: SlideSetup, left: Unfinished | None) -> SlideRun:
        pipeline = Pipeline(
            self._models, LENIENT, slide_map=None if left is None else left.slide_map
        )
        session = SlideSession(
            setup,
            pipeline.slide_map,
            tally=None if left is None else left.tally,
            started_at=None if left is None else left.started_at,
        )
        reporter = Reporter(self._origin, setup.name, outbox=self.outbox)
        return SlideRun(pipeline, session, reporter, ledger=self.ledger)

    def _show(self, prepared: Prepared) -> None:
        self.shown.append(prepared.captured.index)

    def ask(self, name: str, **args: Any) -> CommandReply:
        return answered(self.desk, self.service, name, **args)

    def see(self, camera: LiveCamera, count: int = 1, **how: Any) -> None:
        """Let the camera take pictures and the loop take each."""
        for _ in range(count):
            before = len(self.frames) + len(self.shown)
            camera.shoot(**how)
            while len(self.frames) + len(self.shown) == before:
                self.service.turn()

    def die(self) -> None:
        """As a power cut: nothing more is said."""
        self.outbox.close()


def until_it_ends(life: Life) -> None:
    while life.service.turn():
        pass


@pytest.fixture
def camera() -> LiveCamera:
    return LiveCamera()


def test_without_a_slide_frames_are_only_shown(models, camera, tmp_path):
    life = Life(models, tmp_path, camera)
    life.see(camera, 3)
    assert (life.shown, life.frames) == ([0, 1, 2], [])
    assert life.service.activity == "idle"
    assert life.outbox.depth().messages == 0


def test_a_slide_from_start_to_finish(models, camera, tmp_path):
    life = Life(models, tmp_path, camera, operator="op-0")
    life.see(camera, 2)
    reply = life.ask("slide-start", slide="S-17", operator="op-1", objective="100x-oil")
    assert (reply.ok, reply.result["activity"]) == (True, "screening")
    life.see(camera, 3)
    reply = life.ask("slide-finish")
    assert reply.ok, reply.reason
    slide = reply.result["slide"]
    assert slide["slide"] == "S-17"
    assert (slide["complete"], slide["completion"]) == (True, "finished")
    assert (slide["operator"], slide["objective"]) == ("op-1", "100x-oil")
    assert slide["frames"]["captured"] == 3
    assert [result.frame for result in life.frames] == [0, 1, 2]
    assert {result.slide for result in life.frames} == {"S-17"}
    life.see(camera)
    assert len(life.shown) == 3


def test_slides_follow_each_other_and_share_no_cell(models, camera, tmp_path):
    life = Life(models, tmp_path, camera)
    for name in ("a", "b"):
        life.ask("slide-start", slide=name)
        life.see(camera, 2)
        life.ask("slide-finish")
    ends = [summary for summary in life.summaries if summary.ended_at]
    assert [(end.slide, end.frames.captured, end.unique_cells.rbc) for end in ends] == [
        ("a", 2, 12),
        ("b", 2, 12),
    ]
    assert [result.frame for result in life.frames] == [0, 1, 0, 1]
    assert [one.slide for one in life.ledger.standings()] == ["b", "a"]


def test_while_paused_frames_are_only_shown(models, camera, tmp_path):
    life = Life(models, tmp_path, camera)
    life.ask("slide-start", slide="s1")
    life.see(camera, 2)
    assert life.ask("slide-pause").result["activity"] == "paused"
    assert life.summaries[-1].paused
    life.see(camera, 3)
    assert life.ask("slide-resume").result["activity"] == "screening"
    life.see(camera, 1)
    assert life.ask("slide-finish").result["slide"]["frames"]["captured"] == 3
    assert life.shown == [2, 3, 4]


def test_an_aborted_slide_says_nothing(models, camera, tmp_path):
    life = Life(models, tmp_path, camera)
    life.ask("slide-start", slide="s1")
    life.see(camera, 2)
    slide = life.ask("slide-abort", reason="wrong slide").result["slide"]
    assert (slide["completion"], slide["complete"]) == ("aborted", False)
    assert slide["disposition"] == "insufficient"
    assert "aborted" in slide["reasons"][0]


@pytest.mark.parametrize(
    ("name", "args", "told"),
    [
        ("slide-finish", {}, "no slide is under way"),
        ("slide-pause", {}, "no slide is under way"),
        ("slide-start", {"slide": "a/b"}, "slide: String should match"),
        ("slide-start", {"slid": "a"}, "slid: Extra inputs are not permitted"),
        ("status", {"slide": "a"}, "Extra inputs"),
    ],
)
def test_commands_that_make_no_sense_are_refused(models, camera, tmp_path, name, args, told):
    life = Life(models, tmp_path, camera)
    reply = life.ask(name, **args)
    assert not reply.ok
    assert told in (reply.reason or "")


def test_a_name_is_used_once_and_one_slide_at_a_time(models, camera, tmp_path):
    life = Life(models, tmp_path, camera)
    life.ask("slide-start", slide="s1")
    assert "s1 is under way" in (life.ask("slide-start", slide="s2").reason or "")
    assert "not paused" in (life.ask("slide-resume").reason or "")
    life.ask("slide-finish")
    assert "there was a slide s1 before" in (life.ask("slide-start", slide="s1").reason or "")


def test_after_a_power_cut_the_slide_goes_on(models, camera, tmp_path):
    life = Life(models, tmp_path, camera)
    life.ask("slide-start", slide="s1", operator="op-1")
    life.see(camera, 4)
    life.die()
    later = LiveCamera()
    life = Life(models, tmp_path, later)
    assert life.service.activity == "screening"
    life.see(later, 2)
    slide = life.ask("slide-finish").result["slide"]
    assert (slide["slide"], slide["operator"]) == ("s1", "op-1")
    assert slide["frames"]["captured"] == 6
    assert [result.frame for result in life.frames] == [4, 5]


def test_after_a_power_cut_a_paused_slide_is_still_paused(models, camera, tmp_path):
    life = Life(models, tmp_path, camera)
    life.ask("slide-start", slide="s1")
    life.ask("slide-pause")
    life.die()
    assert Life(models, tmp_path, LiveCamera()).service.activity == "paused"


@pytest.mark.parametrize(
    ("change", "completion"),
    [({"bundle": "b2"}, "bundle_changed"), ({"resume": False}, "interrupted")],
)
def test_with_other_models_a_slide_is_not_gone_on_with(
    models, camera, tmp_path, change, completion
):
    life = Life(models, tmp_path, camera)
    life.ask("slide-start", slide="s1")
    life.see(camera, 2)
    life.die()
    life = Life(models, tmp_path, camera, **change)
    assert life.service.activity == "idle"
    (summary,) = life.summaries
    assert (summary.completion, summary.frames.captured) == (completion, 2)


def test_a_camera_that_breaks_leaves_the_slide_to_be_gone_on_with(models, camera, tmp_path):
    life = Life(models, tmp_path, camera)
    life.ask("slide-start", slide="s1")
    life.see(camera, 2)
    camera.break_down()
    with pytest.raises(SourceError, match="unplugged"):
        until_it_ends(life)
    life.die()
    later = LiveCamera()
    life = Life(models, tmp_path, later)
    life.see(later, 1)
    assert life.ask("slide-finish").result["slide"]["frames"]["captured"] == 3


class TestFiles:
    """A folder or a video: nothing of it is lost while nobody looks."""

    def test_it_begins_at_once_and_ends_with_its_source(self, models, tmp_path):
        life = Life(models, tmp_path, Listed(*map(frame, range(5))), at_once=True, name="s1")
        until_it_ends(life)
        assert life.summaries[-1].completion == "source_ended"
        assert life.summaries[-1].frames.captured == 5

    def test_on_command_it_waits(self, models, tmp_path):
        life = Life(models, tmp_path, Listed(*map(frame, range(5))))
        for _ in range(3):
            life.service.turn()
        assert life.ask("slide-start", slide="s1").ok
        until_it_ends(life)
        assert life.summaries[-1].frames.captured == 5
        assert life.shown == []

    def test_a_second_start_has_a_name_of_its_own(self, models, tmp_path):
        for _ in range(2):
            life = Life(models, tmp_path, Listed(frame(0)), at_once=True, name="s1")
            until_it_ends(life)
            life.die()
        assert [one.slide for one in SlideLedger(Outbox(tmp_path / "outbox.db")).standings()] == [
            "s1-2",
            "s1",
        ]

    def test_after_a_power_cut_it_goes_on_at_the_next_frame(self, models, tmp_path):
        scenes = [frame(index) for index in range(6)]
        life = Life(models, tmp_path, Listed(*scenes), at_once=True, name="s1")
        while len(life.frames) < 3:
            life.service.turn()
        life.die()
        life = Life(models, tmp_path, Listed(*scenes), at_once=True, name="s1")
        until_it_ends(life)
        assert [result.frame for result in life.frames] == [3, 4, 5]
        assert [result.source for result in life.frames] == [one.source for one in scenes[3:]]
        assert life.summaries[-1].frames.captured == 6
        assert life.summaries[-1].slide == "s1"


class Screening(RuleBasedStateMachine):
    """Any order of commands, frames and power cuts: the counts are those of the model."""

    models: Models
    folders: Iterator[Path]

    @initialize()
    def begin(self) -> None:
        self.folder = next(self.folders)
        self.camera = LiveCamera()
        self.life = Life(self.models, self.folder, self.camera)
        self.slide: str | None = None
        self.paused = False
        self.captured = 0
        self.count = 0
        self.since_boot: Counter[Outcome] = Counter()

    @rule(outcome=st.sampled_from(["analysed", "analysed", "failed", "dropped"]))
    def a_frame(self, outcome: Outcome) -> None:
        before = len(self.life.frames)
        self.life.see(self.camera, outcome=outcome)
        counts = self.slide is not None and not self.paused
        assert len(self.life.frames) - before == counts
        self.captured += counts
        if counts:
            self.since_boot[outcome] += 1
            assert self.life.frames[-1].frame == self.captured - 1
            assert self.life.frames[-1].slide == self.slide

    @rule()
    def start(self) -> None:
        name = f"s{self.count}"
        ok = self.life.ask("slide-start", slide=name).ok
        assert ok == (self.slide is None)
        if ok:
            self.slide, self.paused, self.captured = name, False, 0
            self.count += 1

    @rule()
    def pause(self) -> None:
        ok = self.life.ask("slide-pause").ok
        assert ok == (self.slide is not None and not self.paused)
        self.paused = self.paused or ok

    @rule()
    def resume(self) -> None:
        ok = self.life.ask("slide-resume").ok
        assert ok == (self.slide is not None and self.paused)
        self.paused = self.paused and not ok

    @rule(how=st.sampled_from(["slide-finish", "slide-abort"]))
    def end(self, how: str) -> None:
        reply = self.life.ask(how)
        assert reply.ok == (self.slide is not None)
        if reply.ok:
            assert reply.result["slide"]["frames"]["captured"] == self.captured
            self.slide, self.paused = None, False

    @precondition(lambda self: self.count)
    @rule()
    def power_cut(self) -> None:
        self.life.die()
        self.camera = LiveCamera()
        self.life = Life(self.models, self.folder, self.camera)
        self.since_boot = Counter()

    @invariant()
    def the_ledger_agrees(self) -> None:
        assert (self.life.service.activity == "idle") == (self.slide is None)
        ended = [one for one in self.life.ledger.standings() if one.ended_at]
        assert len(ended) == self.count - (self.slide is not None)

    @invariant()
    def every_captured_frame_has_one_outcome(self) -> None:
        path = self.folder / "outbox.db"
        boot, slides = read_ledger(path, lambda file: (file.boot(), file.slides(1000)))
        assert all(entry.frames.hold for entry in slides)
        if self.slide is not None:
            assert slides[0].frames.captured == self.captured
        assert boot is not None
        assert boot.frames.hold
        assert Counter(boot.frames.ended) == self.since_boot

    def teardown(self) -> None:
        if hasattr(self, "life"):
            self.life.die()


def test_any_order_of_commands_frames_and_power_cuts(models, tmp_path_factory):
    def folders() -> Iterator[Path]:
        while True:
            yield tmp_path_factory.mktemp("life")

    Screening.models, Screening.folders = models, folders()
    run_state_machine_as_test(
        Screening,
        settings=settings(
            max_examples=repeated(15),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
