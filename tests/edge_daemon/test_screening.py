"""A slide from its first frame to its summary: the ledger always adds up."""

from __future__ import annotations

import io
import json
import threading
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.messages import FrameResult, SlideSummary, parse_message
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import LostDeviceError, SourceError
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.screening import screen
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured, DroppedFrame, UnreadableFrame
from tests.edge_daemon.scenes import LENIENT, WHEN, Listed, frame
from tests.edge_daemon.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    bundle = load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundles")))
    with Models.open(bundle, EngineOptions("onnxruntime", threads=1)) as opened:
        yield opened


class Desk:
    """A pipeline, a session and a reporter that keeps what is reported."""

    def __init__(self, models: Models, outbox: Outbox | None = None) -> None:
        self.lines = io.StringIO()
        self.frames: list[FrameResult] = []
        origin = Origin("lab", "m1", uuid.uuid4().hex, models.bundle.digest)
        self.pipeline = Pipeline(models, LENIENT)
        self.session = SlideSession(SlideSetup("s1"), self.pipeline.slide_map)
        self.reporter = Reporter(origin, "s1", outbox=outbox, lines=self.lines)

    def screen(self, source: Listed, **more: object) -> SlideSummary:
        return screen(
            source,
            self.pipeline,
            self.session,
            self.reporter,
            on_frame=lambda result, _: self.frames.append(result),
            **more,
        )


@pytest.fixture
def desk(models):
    return Desk(models)


def captured_of(outcome: str, index: int) -> Captured:
    if outcome == "failed":
        return UnreadableFrame(index, "x.jpg", WHEN, "truncated")
    if outcome == "dropped":
        return DroppedFrame(index, "camera", WHEN, "too slow")
    return frame(index)


@given(st.lists(st.sampled_from(["analysed", "failed", "dropped"]), max_size=20))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_captured_frame_is_in_the_ledger_exactly_once(models, outcomes):
    desk = Desk(models)
    summary = desk.screen(Listed(*(captured_of(o, i) for i, o in enumerate(outcomes))))
    frames = summary.frames
    assert frames.captured == len(outcomes)
    assert frames.captured == frames.analysed + frames.rejected + frames.dropped + frames.failed
    assert [f.outcome for f in desk.frames] == outcomes
    assert [f.frame for f in desk.frames] == list(range(len(outcomes)))


def test_the_summary_carries_its_denominators(desk):
    summary = desk.screen(Listed(*(frame(i, white=2, red=6) for i in range(5))))
    assert (summary.unique_cells.wbc, summary.unique_cells.rbc) == (10, 30)
    assert summary.nucleated_cells == 10
    labels = [cell.label for result in desk.frames for cell in result.cells]
    assert summary.blasts == labels.count("blast") == 5
    assert summary.blast_fraction is not None
    assert summary.blast_fraction.estimate == 0.5
    assert summary.blast_fraction.low == pytest.approx(0.1871, abs=1e-4)
    assert summary.disposition == "insufficient"
    assert summary.complete


def test_coverage_needs_a_scale(desk):
    assert desk.screen(Listed(frame(white=1, red=0))).coverage_mm2 is None


def test_coverage_is_the_area_seen(desk):
    summary = desk.screen(Listed(*(frame(i, white=0, red=16) for i in range(3))))
    um_per_px = desk.frames[0].um_per_px
    assert um_per_px is not None
    assert summary.coverage_mm2 == pytest.approx(3 * (128 * um_per_px / 1000) ** 2, rel=0.01)


def test_a_slide_without_frames_is_insufficient(desk):
    summary = desk.screen(Listed())
    assert (summary.disposition, summary.frames.captured) == ("insufficient", 0)


def test_a_stop_ends_the_slide_incomplete(desk):
    stop = threading.Event()
    stop.set()
    summary = desk.screen(Listed(frame(0), frame(1)), stop=stop)
    assert (summary.complete, summary.frames.captured) == (False, 1)
    assert summary.ended_at is not None


def test_a_lost_gpu_ends_the_slide_and_no_frame_is_without_its_outcome(models, monkeypatch):
    desk, handed_out, looks = Desk(models), [], []

    class Watched(Listed):
        def __iter__(self):
            for captured in super().__iter__():
                handed_out.append(captured.index)
                yield captured

    real = Models.detect

    def detect(self, view):
        looks.append(view)
        if len(looks) == 3:
            raise LostDeviceError("the GPU failed while computing")
        return real(self, view)

    monkeypatch.setattr(Models, "detect", detect)
    with pytest.raises(LostDeviceError, match="the GPU failed"):
        desk.screen(Watched(*(frame(i) for i in range(9))))
    assert [f.frame for f in desk.frames] == handed_out
    assert [f.outcome for f in desk.frames[:3]] == ["analysed", "analysed", "failed"]
    assert {f.outcome for f in desk.frames[3:]} <= {"failed"}
    assert len(desk.frames) < 9, "no further frame is taken from the source"
    assert len(looks) == 3, "nothing more is asked of the GPU"


def test_what_was_read_ahead_when_the_stop_came_is_in_the_ledger(desk):
    stop, handed_out = threading.Event(), []

    class Stopping(Listed):
        def __iter__(self):
            for captured in super().__iter__():
                handed_out.append(captured.index)
                if captured.index == 2:
                    stop.set()
                yield captured

    summary = desk.screen(Stopping(*(frame(i) for i in range(9))), stop=stop)
    assert [f.frame for f in desk.frames] == handed_out
    assert len(handed_out) in (3, 4)
    assert not summary.complete


def test_frames_are_read_and_judged_beside_the_thread_that_owns_the_networks(desk, monkeypatch):
    threads = {"prepare": set(), "finish": set()}
    for half, seen in threads.items():
        whole = getattr(desk.pipeline, half)

        def noted(*given, whole=whole, seen=seen):
            seen.add(threading.get_ident())
            return whole(*given)

        monkeypatch.setattr(desk.pipeline, half, noted)
    desk.screen(Listed(*(frame(i) for i in range(5))))
    assert threads["finish"] == {threading.get_ident()}
    assert len(threads["prepare"]) == 1
    assert threads["prepare"].isdisjoint(threads["finish"])


def test_a_source_that_breaks_leaves_an_incomplete_summary(models, tmp_path):
    with Outbox(tmp_path / "outbox.db") as outbox:
        desk = Desk(models, outbox)
        with pytest.raises(SourceError, match="unplugged"):
            desk.screen(Listed(frame(0), breaks="camera unplugged"))
        parcels = [entry.parcel for entry in outbox.pending(100)]
    (last,) = [parse_message(p.payload) for p in parcels if p.topic.endswith("/summary")]
    assert isinstance(last, SlideSummary)
    assert not last.complete
    assert last.frames.captured == 1


def test_each_line_is_the_message_itself(desk):
    desk.screen(Listed(frame(0), captured_of("failed", 1)))
    lines = desk.lines.getvalue().splitlines()
    assert [parse_message(line.encode()) for line in lines] == desk.frames
    assert json.loads(lines[0])["source"] == "scene-0.png"


def test_the_outbox_gets_the_same_messages_and_a_picture_of_each_suspicious_cell_once(
    models, tmp_path
):
    with Outbox(tmp_path / "outbox.db") as outbox:
        desk = Desk(models, outbox)
        desk.screen(Listed(*(frame(i, white=2, red=0) for i in range(3))))
        parcels = [entry.parcel for entry in outbox.pending(100)]
    stored = [parse_message(p.payload) for p in parcels if p.topic.endswith("/frame")]
    assert stored == desk.frames
    pictures = [p for p in parcels if "/crop/" in p.topic]
    assert len(pictures) == 6
    assert len({p.topic for p in pictures}) == 6
    assert all(p.payload.startswith(b"\xff\xd8") for p in pictures)


def test_numbers_rise_without_holes(desk):
    desk.screen(Listed(*(frame(i) for i in range(4))))
    assert [f.record for f in desk.frames] == [1, 2, 3, 4]
    assert [f.seq for f in desk.frames] == sorted({f.seq for f in desk.frames})
