"""A second opinion: both words on every cell that was not cleared, and no frame waits for it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from edge_daemon.contract.bundle import Bundle, load_bundle
from edge_daemon.contract.findings import CellResult, OpinionCounts
from edge_daemon.contract.messages import FrameResult, SecondOpinion, SlideSummary, parse_message
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import EngineError
from edge_daemon.inference import Models
from edge_daemon.pipeline import Findings, Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.screening import screen
from edge_daemon.second_opinion import SecondOpinions
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Frame
from tests.edge_daemon.scenes import LENIENT, WHEN, Listed
from tests.edge_daemon.tiny_bundle import CLASSIFIER, GLASS, RED_CELL, SIDE, write_tiny_bundle

OPTIONS = EngineOptions("onnxruntime", threads=1)
WHOLE, CUT = 32, 0
"""Places of a white cell along x: its box of 32 pixels lies inside of the frame, or is cut."""


def frame(index: int = 0, *, x: int = WHOLE, red: int = 6, field: int | None = None) -> Frame:
    """One uncertain white cell, and red cells far enough away not to colour its crop."""
    pixels = np.full((SIDE, SIDE, 3), GLASS, np.uint8)
    pixels[32:48, x : x + 16] = (0, 0, 255)
    for place in [(96, 0), (96, 32), (96, 64), (96, 96), (0, 96), (64, 96)][:red]:
        pixels[place[0] : place[0] + 16, place[1] : place[1] + 16] = RED_CELL
    return Frame(index, f"scene-{index}.png", WHEN, pixels, field=index if field is None else field)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("two"), second_opinion=True))


@pytest.fixture(scope="module")
def models(bundle: Bundle) -> Iterator[Models]:
    with Models.open(bundle, OPTIONS) as opened:
        yield opened


@pytest.fixture
def outbox(tmp_path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db") as opened:
        yield opened


def screened(
    models: Models, second: SecondOpinions | None, source: Listed, outbox: Outbox, **more: object
) -> tuple[SlideSummary, list[FrameResult | SecondOpinion]]:
    """The final summary, and frames and opinions in the order in which they were reported."""
    pipeline = Pipeline(models, LENIENT)
    session = SlideSession(SlideSetup("s1"), pipeline.slide_map)
    origin = Origin("lab", "m1", uuid.uuid4().hex, models.bundle.digest)
    reporter = Reporter(origin, "s1", outbox=outbox, crops=False)
    summary = screen(source, pipeline, session, reporter, second=second, **more)
    messages = [parse_message(entry.parcel.payload) for entry in outbox.pending(1000)]
    return summary, [m for m in messages if isinstance(m, FrameResult | SecondOpinion)]


def of_kind(messages: list, kind: type) -> list:
    return [message for message in messages if isinstance(message, kind)]


def test_both_opinions_on_a_cell_are_in_one_message(bundle, models, outbox):
    with SecondOpinions.of(bundle, OPTIONS) as second:
        summary, messages = screened(models, second, Listed(frame()), outbox)
    (result,) = of_kind(messages, FrameResult)
    opinions = of_kind(messages, SecondOpinion)
    suspicious = {c.unique_id: c for c in result.cells if c.label in ("blast", "uncertain")}
    assert {opinion.unique_id for opinion in opinions} == set(suspicious)
    for opinion in opinions:
        cell = suspicious[opinion.unique_id]
        assert (opinion.first.p_blast, opinion.first.label) == (cell.p_blast, cell.label)
        assert opinion.second.label == "normal"
        assert opinion.second.p_blast < 0.1
        assert opinion.frame == result.frame
    count = len(suspicious)
    assert summary.second_opinions == OpinionCounts(wanted=count, answered=count)


def test_a_cell_that_several_frames_show_is_asked_about_once(bundle, models, outbox):
    same = [frame(index, field=0) for index in range(4)]
    with SecondOpinions.of(bundle, OPTIONS) as second:
        summary, messages = screened(models, second, Listed(*same), outbox)
    assert summary.unique_cells.wbc == 1
    assert len(of_kind(messages, SecondOpinion)) == summary.second_opinions.wanted == 1


def test_a_cell_that_the_border_cuts_waits_for_a_view_of_the_whole(bundle):
    with SecondOpinions.of(bundle, OPTIONS) as second:
        second.ask(*seen(7, CUT, "blast"))
        assert second.counts == OpinionCounts()
        second.ask(*seen(7, WHOLE, "uncertain"))
        second.ask(*seen(7, CUT, "blast"))
        (answer,) = second.finish(10)
    assert (answer.unique_id, answer.first.label) == (7, "uncertain")
    assert second.counts.wanted == 1


def test_half_a_cell_that_is_normal_when_it_is_whole_is_no_question(bundle):
    with SecondOpinions.of(bundle, OPTIONS) as second:
        second.ask(*seen(7, CUT, "blast"))
        second.ask(*seen(7, WHOLE, "normal"))
        second.ask(*seen(7, CUT, "blast"))
        assert second.finish(10) == []
    assert second.counts == OpinionCounts()


def test_a_cell_that_no_view_shows_whole_is_counted_as_skipped(bundle, models, outbox):
    with SecondOpinions.of(bundle, OPTIONS) as second:
        summary, messages = screened(models, second, Listed(frame(x=CUT)), outbox)
    assert not of_kind(messages, SecondOpinion)
    assert summary.second_opinions == OpinionCounts(wanted=1, skipped=1)


def seen(number: int, x: int, label: str) -> tuple[Findings, np.ndarray]:
    """What a frame says of one white cell, and its pixels."""
    shown = frame(x=x)
    box = (max(0.0, x - 8.0), 24.0, 32.0 if x else 24.0, 32.0)
    cell = CellResult(
        id=0, box=box, kind="wbc", score=0.9, p_blast=0.6, label=label, unique_id=number
    )
    findings = Findings(
        0, 0, "scene.png", WHEN, "analysed", width=SIDE, height=SIDE, um_per_px=0.25, cells=(cell,)
    )
    return findings, shown.pixels


class Held:
    """A network that answers only when it is let."""

    def __init__(self, bundle: Bundle) -> None:
        self.may_answer = threading.Event()
        self._bundle = bundle

    def open(self) -> Models:
        network = Models.open(self._bundle, OPTIONS, ("second_opinion",))
        real = network.classify

        def classify(crops):
            self.may_answer.wait(30)
            return real(crops)

        network.classify = classify
        return network


def test_no_frame_waits_for_it(bundle, models, outbox):
    held, seen = Held(bundle), []

    def on_frame(result, _captured):
        seen.append(result.frame)
        if len(seen) == 6:
            held.may_answer.set()

    with SecondOpinions(held.open, CLASSIFIER) as second:
        source = Listed(*(frame(i) for i in range(6)))
        summary, messages = screened(models, second, source, outbox, on_frame=on_frame)
    assert seen == list(range(6))
    kinds = [type(message) for message in messages]
    assert kinds.index(SecondOpinion) == 6, "all frames were reported before the first opinion"
    assert summary.second_opinions.answered == summary.second_opinions.wanted > 0


def test_the_final_summary_does_not_wait_when_the_slide_was_stopped(bundle, models, outbox):
    held, stop = Held(bundle), threading.Event()
    with SecondOpinions(held.open, CLASSIFIER) as second:
        started = time.monotonic()
        summary, _ = screened(
            models,
            second,
            Listed(*(frame(i) for i in range(6))),
            outbox,
            on_frame=lambda result, _: stop.set() if result.frame == 2 else None,
            stop=stop,
        )
        assert time.monotonic() - started < 10
        held.may_answer.set()
    counts = summary.second_opinions
    assert counts.skipped == counts.wanted - counts.answered > 0


def test_what_does_not_fit_into_the_queue_is_counted(bundle, models, outbox):
    held = Held(bundle)

    def on_frame(result, _captured):
        if result.frame == 5:
            held.may_answer.set()

    with SecondOpinions(held.open, CLASSIFIER, most_waiting=2) as second:
        source = Listed(*(frame(i) for i in range(6)))
        summary, _ = screened(models, second, source, outbox, on_frame=on_frame)
    counts = summary.second_opinions
    assert counts.skipped > 0
    assert counts.answered + counts.skipped == counts.wanted


def test_without_a_scale_a_cell_cannot_be_shown_at_its_size(bundle, models, outbox):
    with SecondOpinions.of(bundle, OPTIONS) as second:
        summary, messages = screened(models, second, Listed(frame(red=0)), outbox)
    assert not of_kind(messages, SecondOpinion)
    assert summary.second_opinions == OpinionCounts(wanted=1, skipped=1)


def test_a_network_that_fails_costs_its_answers_and_no_frame(bundle, models, outbox):
    def failing() -> Models:
        network = Models.open(bundle, OPTIONS, ("second_opinion",))

        def classify(_crops):
            raise EngineError("out of memory")

        network.classify = classify
        return network

    with SecondOpinions(failing, CLASSIFIER) as second:
        source = Listed(*(frame(i) for i in range(3)))
        summary, messages = screened(models, second, source, outbox)
    assert [m.outcome for m in of_kind(messages, FrameResult)] == ["analysed"] * 3
    counts = summary.second_opinions
    assert (counts.answered, counts.skipped) == (0, counts.wanted)


def test_a_network_that_cannot_be_opened_is_told_at_the_start(bundle):
    def broken() -> Models:
        raise EngineError("no memory for the second opinion")

    with pytest.raises(EngineError, match="no memory"), SecondOpinions(broken, CLASSIFIER):
        pass


def test_a_bundle_without_one_has_none(models, outbox, tmp_path):
    alone = load_bundle(write_tiny_bundle(tmp_path / "one"))
    assert SecondOpinions.of(alone, OPTIONS) is None
    summary, _ = screened(models, None, Listed(frame()), outbox)
    assert summary.second_opinions is None


def test_its_network_is_read_by_its_own_calibration(bundle):
    with Models.open(bundle, OPTIONS, ("second_opinion",)) as network:
        assert network.classifier_role is bundle.manifest.roles.second_opinion.spec
        blue = np.zeros((1, 32, 32, 3), np.uint8)
        blue[..., 2] = 200
        assert network.classify(blue).labels == ("uncertain",)
