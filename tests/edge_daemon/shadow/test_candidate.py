"""A candidate looks on: it sees the same frames, changes no result, and no frame waits for it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edge_daemon import slide_run
from edge_daemon.contract.bundle import Bundle, load_bundle
from edge_daemon.contract.messages import FrameResult, ShadowReport, SlideSummary, parse_message
from edge_daemon.contract.shadow import LabelCounts, ShadowFrames
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import EngineError
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.shadow.candidate import Shadow
from edge_daemon.shadow.comparison import Comparison
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured, UnreadableFrame
from edge_daemon.vision.placement import Joined
from tests.edge_daemon.scenes import LENIENT, WHEN, frame
from tests.edge_daemon.shadow.altered import altered
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

OPTIONS = EngineOptions("onnxruntime", threads=1)
ALL_NORMAL = {"abstain_band": [1.0, 1.0], "blast_threshold": 1.0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("active")))


@pytest.fixture(scope="module")
def other(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("candidate")
    return load_bundle(altered(bundle.path, folder, "0.2.0", **ALL_NORMAL))


@pytest.fixture(scope="module")
def models(bundle: Bundle) -> Iterator[Models]:
    with Models.open(bundle, OPTIONS) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is not what these tests are about."""
    monkeypatch.setattr(slide_run, "SHADOW_WITHIN_S", 60.0)


class Screened:
    """A slide as it is screened, and what came of it."""

    def __init__(self, models: Models, folder: Path, shadow: Shadow | None) -> None:
        folder.mkdir()
        self.outbox = Outbox(folder / "outbox.db")
        pipeline = Pipeline(models, LENIENT)
        session = SlideSession(SlideSetup("s1"), pipeline.slide_map)
        origin = Origin("lab", "m1", "ab" * 16, models.bundle.digest)
        reporter = Reporter(origin, "s1", outbox=self.outbox)
        self.shadow = shadow
        self.reports: list[ShadowReport] = []
        self.run = SlideRun(
            pipeline, session, reporter, shadow=shadow, on_shadow=self.reports.append
        )
        if shadow is not None:
            shadow.begin()

    def see(self, *captured: Captured) -> None:
        for one in captured:
            self.run.enter(self.run.pipeline.prepare(one))

    @property
    def messages(self) -> list[object]:
        entries = self.outbox.pending(1000)
        return [
            parse_message(entry.parcel.payload)
            for entry in entries
            if entry.parcel.content_type == "application/json"
        ]


@pytest.fixture
def screened_on(tmp_path: Path) -> Iterator[Callable[..., Screened]]:
    slides: list[Screened] = []

    def begin(models: Models, shadow: Shadow | None) -> Screened:
        slides.append(Screened(models, tmp_path / str(len(slides)), shadow))
        return slides[-1]

    yield begin
    for slide in slides:
        slide.outbox.close()


@pytest.fixture
def screened(models: Models, screened_on: Callable[..., Screened]) -> Callable[..., Screened]:
    return partial(screened_on, models)


class Held:
    """A candidate that answers when it is let, or breaks at a frame of one's choice."""

    def __init__(self, bundle: Bundle, breaks_at: int | None = None) -> None:
        self.may_answer = threading.Event()
        self.looks = 0
        self._bundle = bundle
        self._breaks_at = breaks_at

    def open(self) -> Models:
        models = Models.open(self._bundle, OPTIONS)
        real = models.detect

        def detect(view):
            assert self.may_answer.wait(30)
            self.looks += 1
            if self.looks - 1 == self._breaks_at:
                raise EngineError("the candidate broke")
            return real(view)

        models.detect = detect
        return models


def scenes(count: int, **more: int) -> list[Captured]:
    """A blast, a normal and an uncertain cell to the active bundle in each."""
    return [frame(index, white=3, red=6, **more) for index in range(count)]


def test_the_same_bundle_agrees_on_every_cell(bundle, screened):
    with Shadow.of(bundle, OPTIONS) as shadow:
        slide = screened(shadow)
        slide.see(*scenes(3))
        summary = slide.run.end("finished")
    report = slide.reports[-1]
    assert report.candidate.digest == bundle.digest == report.bundle
    assert report.frames == ShadowFrames(analysed=3, compared=3)
    assert report.agreement.agreed == report.agreement.cells == summary.nucleated_cells == 9
    assert (report.by_active.blasts, report.by_candidate.blasts) == (summary.blasts,) * 2
    assert (report.disagreements, report.p_blast_shift.mean_absolute) == (0, 0)


def test_another_reading_of_the_same_cells_is_told_cell_by_cell(other, screened):
    with Shadow.of(other, OPTIONS) as shadow:
        slide = screened(shadow)
        slide.see(*scenes(3))
        slide.run.end("finished")
    report = slide.messages[-1]
    assert isinstance(report, ShadowReport)
    assert (report.candidate.bundle, report.slide) == ("tiny-0.2.0", "s1")
    assert report.table.blast == report.table.normal == report.table.uncertain
    assert report.table.blast == LabelCounts(normal=3)
    assert (report.by_active.blasts, report.by_candidate.blasts) == (3, 0)
    assert (report.agreement.agreed, report.agreement.cells) == (3, 9)
    assert report.disagreements == len(report.worst) == 6
    assert [one.active.label for one in report.worst] == ["blast"] * 3 + ["uncertain"] * 3
    suspicious = {
        (frame.frame, cell.unique_id, cell.p_blast)
        for frame in slide.messages
        if isinstance(frame, FrameResult)
        for cell in frame.cells
        if cell.label in ("blast", "uncertain")
    }
    assert {(one.frame, one.unique_id, one.active.p_blast) for one in report.worst} == suspicious
    assert all(one.jpeg for one in report.worst)


def test_a_cell_that_several_frames_show_is_compared_once(other, screened):
    with Shadow.of(other, OPTIONS) as shadow:
        slide = screened(shadow)
        slide.see(*scenes(4, field=0))
        summary = slide.run.end("finished")
    assert slide.reports[-1].frames.compared == 4
    assert slide.reports[-1].agreement.cells == summary.nucleated_cells == 3
    assert slide.reports[-1].disagreements == 2


def test_results_are_byte_for_byte_the_same_with_a_candidate_and_without(other, screened):
    """But for times, and for numbers of messages, of which there are more."""
    captured = [*scenes(4, field=0), UnreadableFrame(4, "torn.png", WHEN, "cut short"), frame(5)]

    def told(slide: Screened) -> list[str]:
        slide.see(*captured)
        slide.run.stand()
        slide.run.end("finished")
        said = []
        for message in slide.messages:
            if isinstance(message, FrameResult | SlideSummary):
                content = json.loads(message.to_json())
                for passing in ("ts", "seq", "record", "timings_ms", "started_at", "ended_at"):
                    content.pop(passing, None)
                said.append(json.dumps(content))
        return said

    alone = told(screened(None))
    with Shadow.of(other, OPTIONS) as shadow:
        beside = told(screened(shadow))
    assert len(alone) == 8
    assert beside == alone


def test_no_frame_and_no_summary_waits_for_it(bundle, screened):
    held = Held(bundle)
    with Shadow(bundle, held.open) as shadow:
        slide = screened(shadow)
        slide.see(*scenes(12))
        slide.run.stand()
        frames = slide.reports[-1].frames
        assert (frames.analysed, frames.compared) == (12, 0)
        assert frames.skipped >= 12 - 4 - 1, "four wait and one is looked at"
        held.may_answer.set()
        slide.run.end("finished")
    kinds = [type(message) for message in slide.messages]
    assert kinds[:12] == [FrameResult] * 12
    assert kinds[-2:] == [SlideSummary, ShadowReport], "the summary goes first"
    frames = slide.reports[-1].frames
    assert frames.compared + frames.skipped == frames.analysed == 12
    assert frames.compared >= 4
    assert slide.reports[-1].agreement.cells == 3 * frames.compared


def test_a_slide_that_was_stopped_does_not_wait_for_it(bundle, screened):
    held = Held(bundle)
    with Shadow(bundle, held.open) as shadow:
        slide = screened(shadow)
        slide.see(*scenes(3))
        began = time.monotonic()
        slide.run.end("stopped")
        assert time.monotonic() - began < 4
        frames = slide.reports[-1].frames
        assert (frames.compared, frames.skipped) == (0, 3)
        held.may_answer.set()


def test_what_still_waits_of_one_slide_does_not_get_into_the_next(bundle, screened):
    held = Held(bundle)
    with Shadow(bundle, held.open) as shadow:
        slide = screened(shadow)
        slide.see(*scenes(3))
        slide.run.end("stopped")
        later = screened(shadow)
        held.may_answer.set()
        later.see(*scenes(2))
        later.run.end("finished")
    assert later.reports[-1].frames == ShadowFrames(analysed=2, compared=2)
    assert later.reports[-1].agreement.cells == 6


def test_frames_that_nobody_analysed_are_not_compared(bundle, screened):
    with Shadow.of(bundle, OPTIONS) as shadow:
        slide = screened(shadow)
        slide.see(UnreadableFrame(0, "torn.png", WHEN, "cut short"))
        slide.run.end("finished")
    assert slide.reports[-1].frames == ShadowFrames()
    assert slide.reports[-1].agreement is None


def test_one_that_breaks_is_put_aside_and_told_once_and_the_slide_goes_on(bundle, screened, caplog):
    held = Held(bundle, breaks_at=2)
    held.may_answer.set()
    caplog.set_level(logging.ERROR)
    with Shadow(bundle, held.open) as shadow:
        slide = screened(shadow)
        for captured in scenes(8):
            slide.see(captured)
            while shadow.fault is None and shadow.standing.frames.compared <= captured.index:
                time.sleep(0.001)  # the candidate has looked at it, or has broken
        summary = slide.run.end("finished")
    assert summary.frames.analysed == 8
    report = slide.reports[-1]
    assert report.fault == "candidate tiny-0.1.0 failed: EngineError: the candidate broke"
    assert report.frames == ShadowFrames(analysed=8, compared=2, skipped=6)
    assert report.agreement.cells == 6
    assert len([record for record in caplog.records if "put aside" in record.message]) == 1


def test_one_that_does_not_pass_its_golden_set_is_refused(other, tmp_path):
    def refused() -> Models:
        raise EngineError("classifier of tiny-0.2.0 fails its golden set")

    with pytest.raises(EngineError, match="fails its golden set"), Shadow(other, refused):
        pass


def test_a_fault_of_a_driver_while_opening_is_one_line(bundle):
    def broken() -> Models:
        raise RuntimeError("no kernel image\nis available")

    said = "candidate tiny-0.1.0 cannot be opened: RuntimeError: no kernel image is available"
    with pytest.raises(EngineError, match=said), Shadow(bundle, broken):
        pass


def test_a_slide_that_was_taken_up_again_says_from_where_it_counts(bundle, screened):
    with Shadow.of(bundle, OPTIONS) as shadow:
        slide = screened(shadow)
        shadow.begin(first_frame=120)
        slide.run.stand()
        assert slide.reports == [], "what was said before the end of the process says more"
        slide.see(*scenes(2))
        slide.run.end("finished")
    assert slide.reports[-1].frames == ShadowFrames(first=120, analysed=2, compared=2)


def test_nothing_new_is_not_told_again(bundle, screened):
    with Shadow.of(bundle, OPTIONS) as shadow:
        slide = screened(shadow)
        slide.see(*scenes(1))
        shadow.finish(30)
        for _ in range(3):
            slide.run.stand()
    assert len(slide.reports) == 1


def test_pieces_joined_by_a_skipped_frame_are_joined_for_the_next(bundle, models, monkeypatch):
    held, entered = Held(bundle), []

    def enter(_comparison, shown, _candidate, **_more):
        entered.append((shown.frame, shown.joined_before))

    monkeypatch.setattr(Comparison, "enter", enter)
    pipeline, joined = Pipeline(models, LENIENT), Joined(source=1, target=0, dx=9.0, dy=0.0)
    with Shadow(bundle, held.open, most_waiting=1) as shadow:
        for index, one in enumerate(scenes(4)):
            prepared = pipeline.prepare(one)
            findings = pipeline.finish(prepared)
            if index == 2:  # finds the queue full
                placement = replace(findings.mapped.placement, joined=joined)
                findings = replace(findings, mapped=replace(findings.mapped, placement=placement))
            if index == 3:
                held.may_answer.set()
            if index != 2:
                assert wait_until(shadow._questions.empty, 30)
            shadow.see(prepared, findings)
        assert wait_until(lambda: len(entered) == 3, 30)
    assert entered == [(0, ()), (1, ()), (3, (joined,))]


class TestGpu:
    """On a GPU, as far as a stand-in can say: one primary context, a stream for each thread."""

    def test_both_bundles_work_in_one_context_each_on_its_own_stream(
        self, gpu_machine, tiny_bundle, screened_on
    ):
        bundle, gpu = load_bundle(tiny_bundle), EngineOptions("tensorrt")
        with Models.open(bundle, gpu) as active, Shadow.of(bundle, gpu) as shadow:
            slide = screened_on(active, shadow)
            slide.see(*scenes(3))
            slide.run.end("finished")
            assert gpu_machine.driver.retained == 2, "one for each thread, of the same context"
        report = slide.reports[-1]
        assert (report.fault, report.frames.compared) == (None, 3)
        assert report.agreement.agreed == report.agreement.cells == 9
        assert (gpu_machine.driver.memory, gpu_machine.driver.retained) == ({}, 0)
        assert not any(gpu_machine.driver.current.values())

    def test_engines_of_the_same_network_are_built_once(self, gpu_machine, tiny_bundle):
        bundle, gpu = load_bundle(tiny_bundle), EngineOptions("tensorrt")
        with Models.open(bundle, gpu):
            built = gpu_machine.tensorrt.builds
            with Shadow.of(bundle, gpu):
                assert gpu_machine.tensorrt.builds == built

    def test_a_gpu_that_is_lost_under_it_is_told_as_such(self, gpu_machine, tiny_bundle, screened):
        bundle = load_bundle(tiny_bundle)
        with Shadow.of(bundle, EngineOptions("tensorrt")) as shadow:
            slide = screened(shadow)  # the active bundle on the processor: this test is about one
            gpu_machine.driver.kernels_until_failure = 0
            slide.see(*scenes(1))
            slide.run.end("finished")
        assert "LostDeviceError" in (slide.reports[-1].fault or "")


def test_handing_a_frame_over_costs_the_loop_less_than_a_hundredth_of_its_time(bundle, models):
    held, pipeline = Held(bundle), Pipeline(models, LENIENT)
    prepared = pipeline.prepare(scenes(1)[0])
    findings = pipeline.finish(prepared)
    rounds, spent_s = 500, {"taken": 0.0, "skipped": 0.0}
    with Shadow(bundle, held.open, most_waiting=rounds) as shadow:
        for what in spent_s:  # the queue has room at first, then none
            began = time.thread_time()
            for _ in range(rounds):
                shadow.see(prepared, findings)
            spent_s[what] = (time.thread_time() - began) / rounds
        assert shadow.standing.frames.skipped >= rounds - 1
        held.may_answer.set()
    for what, per_frame_s in spent_s.items():
        print(f"{1e6 * per_frame_s:.0f} us of the loop for a frame that is {what}")
        assert per_frame_s < 0.01 * 0.033, what
