"""The bundle that ships, and candidates made of it, on one rendered slide."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon import slide_run
from edge_daemon.commands.models import find_bundle
from edge_daemon.contract.bundle import Bundle, load_bundle
from edge_daemon.contract.messages import ShadowReport, SlideSummary
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.options import EngineOptions
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.shadow.candidate import Shadow
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured
from edge_daemon.sources.open import open_source
from tests.edge_daemon.shadow.altered import ALL_BLASTS, altered

INT8 = EngineOptions("onnxruntime", "int8")
"""Sums of whole numbers: the same whatever the number of threads, and right on any processor."""
SLIDE = "sim://?seed=3&fields=6&white=4&blasts=0.3"

Judge = Callable[[Bundle], tuple[SlideSummary, ShadowReport]]


@pytest.fixture(scope="module")
def active() -> Iterator[Models]:
    with Models.open(find_bundle(None), INT8) as models:
        yield models


@pytest.fixture(scope="module")
def slide() -> list[Captured]:
    with open_source(SLIDE) as source:
        return list(source)


@pytest.fixture
def judged(active: Models, slide: list[Captured], monkeypatch: pytest.MonkeyPatch) -> Judge:
    """The last words on the slide, and on a candidate that saw every frame of it."""
    monkeypatch.setattr(slide_run, "SHADOW_WITHIN_S", 120.0)  # on a slow machine as well

    def judge(bundle: Bundle) -> tuple[SlideSummary, ShadowReport]:
        reports: list[ShadowReport] = []
        alone = replace(INT8, threads=1)
        with Shadow(bundle, lambda: Models.open(bundle, alone), most_waiting=99) as shadow:
            pipeline = Pipeline(active)
            session = SlideSession(SlideSetup("slide"), pipeline.slide_map)
            origin = Origin("lab", "m1", uuid.uuid4().hex, active.bundle.digest)
            reporter = Reporter(origin, "slide")
            run = SlideRun(pipeline, session, reporter, shadow=shadow, on_shadow=reports.append)
            shadow.begin()
            for captured in slide:
                run.enter(pipeline.prepare(captured))
            summary = run.end("source_ended")
        (report,) = reports
        assert report.frames.compared == report.frames.analysed == len(slide)
        return summary, report

    return judge


def test_the_bundle_agrees_with_itself_and_counts_as_its_slide_does(active, judged):
    summary, report = judged(active.bundle)
    agreement = report.agreement
    assert agreement.agreed == agreement.cells == summary.nucleated_cells >= 12
    assert agreement.estimate == agreement.high == 1.0
    assert agreement.low < 0.9, "of so few cells it says little, and says so"
    assert report.by_active == report.by_candidate
    assert report.by_active.blasts == summary.blasts > 0
    assert report.by_active.uncertain == summary.uncertain
    assert report.by_active.blast_fraction == summary.blast_fraction
    assert report.p_blast_shift.mean_absolute < 0.01


def test_one_that_calls_everything_a_blast_is_found_out(active, judged, tmp_path: Path):
    candidate = load_bundle(altered(active.bundle.path, tmp_path, "0.6.1", **ALL_BLASTS))
    summary, report = judged(candidate)
    assert report.candidate.bundle == "leukoedge-0.6.1"
    assert report.candidate.digest == candidate.digest != report.bundle
    normal = summary.nucleated_cells - summary.blasts - summary.uncertain
    assert report.table.normal.blast == normal > 0
    assert report.table.normal.normal == 0
    assert report.by_active.blast_fraction == summary.blast_fraction
    assert report.by_candidate.blasts >= summary.blasts + normal
    assert report.worst[0].active.label == "normal"
    assert report.worst[0].candidate.label == "blast"


def test_one_that_sees_fewer_cells_is_found_out(active, judged, tmp_path: Path):
    blind = altered(active.bundle.path, tmp_path, "0.6.2", white_above=0.97)
    summary, report = judged(load_bundle(blind))
    assert report.only_active.cells > 0
    assert report.only_candidate.cells == 0
    assert report.by_active.nucleated_cells == summary.nucleated_cells
    assert report.by_candidate.nucleated_cells == report.table.cells
    assert report.disagreements >= report.only_active.cells
    missed = [one for one in report.worst if one.candidate is None]
    assert len(missed) == report.only_active.cells
