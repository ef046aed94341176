"""The shipped bundle counts white cells as the simulation knows them: each once, none invented."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from edge_daemon.commands.models import open_models
from edge_daemon.delivery.parcel import Origin
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.screening import screen
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.simulated import SlideTruth, open_simulated


@pytest.fixture(scope="module")
def models():
    with open_models(None) as opened:
        yield opened


def screened(models, spec: str):
    source = open_simulated(spec)
    truth: SlideTruth = source.truth()
    pipeline = Pipeline(models)
    session = SlideSession(SlideSetup("counts"), pipeline.slide_map)
    reporter = Reporter(Origin("lab", "test", "0" * 32, models.bundle.digest), "counts")
    with source:
        return screen(source, pipeline, session, reporter), truth


@pytest.mark.parametrize("stage", ["reported", "none"])
def test_rendered_slide_within_ten_percent(models, stage):
    summary, truth = screened(models, f"sim://?seed=21&fields=60&white=2&stage={stage}")
    assert summary.frames.analysed == 60
    assert summary.unique_cells.wbc == pytest.approx(truth.unique.white, rel=0.10)


def test_real_pixels_within_five_percent(models, leuko_data):
    """Val cells on val backgrounds of both sets, 200 fields each; docs/results.md has more."""
    found = true = 0
    for background in ("bccd", "txl-pbc"):
        query = urlencode(
            {
                "seed": 201,
                "fields": 200,
                "overlap": 0.3,
                "cells": leuko_data / "cnmc2019",
                "backgrounds": leuko_data / background / "val",
                "split": "val",
            },
            safe="/",
        )
        summary, truth = screened(models, f"sim://?{query}")
        frames = summary.frames
        ended = frames.analysed + frames.rejected + frames.dropped + frames.failed
        assert frames.captured == ended == 200
        found += summary.unique_cells.wbc
        true += truth.unique.white
    assert found == pytest.approx(true, rel=0.05)
