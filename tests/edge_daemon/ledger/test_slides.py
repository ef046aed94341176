"""A slide that was cut off anywhere goes on as if it had not been."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.commands.models import open_models
from edge_daemon.contract.findings import StagePoint
from edge_daemon.contract.messages import SlideSummary
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.options import EngineOptions
from edge_daemon.inference import Models
from edge_daemon.ledger import slides
from edge_daemon.ledger.slides import SlideLedger
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured, Frame, UnreadableFrame
from edge_daemon.sources.simulated import open_simulated

SCAN = "sim://?seed=3&fields=24&white=2&stage=none&overlap=0.4"


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    """The networks that ship: registration needs cells that are really found."""
    with open_models(None, EngineOptions("openvino", threads=1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def scan() -> list[Captured]:
    with open_simulated(SCAN) as source:
        frames: list[Captured] = list(source)
    frames[5] = UnreadableFrame(5, "x", frames[5].captured_at, "torn")
    return frames


class Life:
    """One process of the daemon, as far as a slide is concerned."""

    def __init__(self, models: Models, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.outbox = Outbox(folder / "outbox.db")
        self.ledger = SlideLedger(self.outbox)
        self.left = self.ledger.unfinished()
        left = self.left
        pipeline = Pipeline(
            models,
            slide_map=None if left is None else left.slide_map,
            scales=None if left is None else left.scales,
        )
        setup = SlideSetup("s1", operator="op-1", source="scan") if left is None else left.setup
        session = SlideSession(
            setup,
            pipeline.slide_map,
            tally=None if left is None else left.tally,
            started_at=None if left is None else left.started_at,
        )
        origin = Origin("lab", "m1", uuid.uuid4().hex, models.bundle.digest)
        reporter = Reporter(origin, "s1", outbox=self.outbox)
        self.run = SlideRun(pipeline, session, reporter, ledger=self.ledger)
        if left is None:
            self.ledger.begin(setup, models.bundle.digest, session.started_at)

    def screen(self, frames: list[Captured]) -> list[tuple[int, tuple[int | None, ...]]]:
        said = []
        for captured in frames:
            result = self.run.enter(self.run.pipeline.prepare(captured))
            said.append((result.frame, tuple(cell.unique_id for cell in result.cells)))
        return said


def content(summary: SlideSummary) -> dict[str, object]:
    """Without what tells one process and moment from another."""
    passing = {"boot_id", "seq", "record", "ts", "ended_at", "started_at"}
    return summary.model_dump(exclude=passing)


@pytest.fixture(scope="module")
def uninterrupted(
    models: Models, scan: list[Captured], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[tuple[int, tuple[int | None, ...]]], SlideSummary]:
    life = Life(models, tmp_path_factory.mktemp("whole"))
    return life.screen(scan), life.run.end("source_ended")


@pytest.mark.parametrize(("cut", "state_every"), [(0, 7), (1, 1), (6, 500), (14, 7), (23, 500)])
def test_cut_off_anywhere_it_goes_on_with_the_same_numbers(
    models: Models,
    scan: list[Captured],
    uninterrupted: tuple[list[tuple[int, tuple[int | None, ...]]], SlideSummary],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut: int,
    state_every: int,
) -> None:
    monkeypatch.setattr(slides, "STATE_EVERY", state_every)
    expected, whole = uninterrupted
    first = Life(models, tmp_path)
    said = first.screen(scan[:cut])
    first.outbox.close()  # nothing is said to the slide: its process is gone
    second = Life(models, tmp_path)
    assert second.left is not None
    assert second.left.coming_index == cut
    assert second.left.setup == SlideSetup("s1", operator="op-1", source="scan")
    said += second.screen(scan[cut:])
    assert said == expected
    assert content(second.run.end("source_ended")) == content(whole)
    assert whole.frames.failed == 1
    assert whole.unique_cells.rbc > 50
    assert len(whole.worst_cells) == min(20, whole.blasts + whole.uncertain) > 1
    published = dict(said)
    for cell in whole.worst_cells:  # what was published is what the list refers to
        assert cell.frame is not None
        assert cell.unique_id in published[cell.frame]
    assert sum(place.blasts for place in whole.worst_fields) == whole.blasts


def test_where_to_look_first_survives_with_stage_and_closed_fields(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slides, "STATE_EVERY", 3)
    with open_simulated("sim://?seed=3&fields=8&white=3") as source:
        frames = [replace(one, field=one.index // 4) for one in source if isinstance(one, Frame)]
    whole = Life(models, tmp_path / "whole")
    whole.screen(frames)
    expected = whole.run.end("source_ended")
    for first, last in ((0, 2), (2, 5), (5, 7)):
        life = Life(models, tmp_path / "killed")
        life.screen(frames[first:last])
        life.outbox.close()
    last_life = Life(models, tmp_path / "killed")
    last_life.screen(frames[7:])
    assert content(last_life.run.end("source_ended")) == content(expected)
    stages = {one.index: one.stage for one in frames}
    for listed in (*expected.worst_cells, *expected.worst_fields):
        assert listed.frame is not None
        assert listed.stage == StagePoint(**vars(stages[listed.frame]))
    assert {place.place.field for place in expected.worst_fields} == {0, 1}


def test_entries_of_before_there_were_stages_are_taken_up(
    models: Models, scan: list[Captured], tmp_path: Path
) -> None:
    life = Life(models, tmp_path)
    life.screen(scan[:3])
    before = life.run.session.standing().worst_cells
    with life.outbox.transaction() as batch:
        batch.execute("UPDATE slide_frames SET about = json_remove(about, '$.stage')")
    life.outbox.close()
    assert Life(models, tmp_path).run.session.standing().worst_cells == before
    assert before


def test_what_ended_is_not_taken_up_and_only_its_summary_stays(
    models: Models, scan: list[Captured], tmp_path: Path
) -> None:
    life = Life(models, tmp_path)
    life.screen(scan[:3])
    summary = life.run.end("aborted")
    assert (summary.complete, summary.completion) == (False, "aborted")
    assert summary.disposition == "insufficient"
    assert life.ledger.unfinished() is None
    assert life.ledger.knows("s1")
    assert not life.ledger.knows("s2")
    assert [one.completion for one in life.ledger.standings()] == ["aborted"]
    for table in ("slide_frames", "slide_views"):
        rows = life.outbox.query(f"SELECT count(*) FROM {table}")  # noqa: S608
        assert rows == [(0,)]


def test_a_message_and_its_entry_are_one_commit(
    models: Models, scan: list[Captured], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(models, tmp_path)
    life.screen(scan[:2])

    def breaks(*_: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(life.ledger, "enter", breaks)
    before = life.outbox.depth().messages
    with pytest.raises(RuntimeError):
        life.screen(scan[2:3])
    assert life.outbox.depth().messages == before
    life.outbox.close()
    left = SlideLedger(Outbox(tmp_path / "outbox.db")).unfinished()
    assert left is not None
    assert left.tally.captured == 2


def test_views_that_registration_forgot_are_deleted(
    models: Models, scan: list[Captured], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slides, "STATE_EVERY", 4)
    life = Life(models, tmp_path)
    life.run.pipeline.slide_map._views = type(life.run.pipeline.slide_map._views)(maxlen=5)
    life.screen(scan)
    ((views,),) = life.outbox.query("SELECT count(*) FROM slide_views")
    ((entries,),) = life.outbox.query("SELECT count(*) FROM slide_frames")
    assert views <= 5 + 4
    assert entries < 4
    assert np.isfinite(life.run.pipeline.slide_map.area_px)
