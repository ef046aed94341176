"""A stored control: its pictures through the pipeline, with the scale that the device has now."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.config import Config
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.control.compare import Screened
from edge_daemon.control.stored import StoredControl, screen_stored
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import LeukoError, SourceError
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.recording.session_file import FRAMES, PICTURES
from edge_daemon.reporter import Reporter
from edge_daemon.service.recordings import Recordings
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.vision.slide import SlideThresholds
from tests.edge_daemon.scenes import LENIENT, frame
from tests.edge_daemon.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    bundle = load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundles")))
    with Models.open(bundle, EngineOptions("onnxruntime", threads=1)) as opened:
        yield opened


def screened(models: Models, source: Path, um_per_px: float | None = None) -> Screened:
    control = StoredControl(str(source), scan=False, um_per_px=um_per_px, within_s=60.0)
    return screen_stored(control, Pipeline(models, LENIENT), SlideThresholds())


@pytest.fixture
def recording(models: Models, tmp_path: Path) -> Path:
    """Five scenes, as ``[record]`` writes a slide down."""
    given: dict[str, Any] = {
        "source": {"url": "sim://"},
        "broker": {"url": "mqtt://127.0.0.1"},
        "record": {"folder": str(tmp_path / "recordings")},
        "quality": LENIENT.model_dump(),
    }
    config = Config.model_validate(given)
    pipeline = Pipeline(models, LENIENT)
    setup = SlideSetup("s1", source="scenes")
    origin = Origin("lab", "m1", uuid.uuid4().hex, models.bundle.digest)
    run = SlideRun(pipeline, SlideSession(setup, pipeline.slide_map), Reporter(origin, "s1"))
    with Recordings(
        config, models.bundle.digest, models.description, on_fault=pytest.fail
    ) as recordings:
        recordings.begin(setup, from_the_start=True)
        for index in range(5):
            captured = replace(frame(index, white=2, red=6), um_per_px=0.5)
            recordings.frame(run.enter(pipeline.prepare(captured)), captured)
        recordings.summary(run.end("finished"))
    (folder,) = (tmp_path / "recordings").iterdir()
    return folder


def test_a_recording_is_screened_the_same_each_time(models, recording):
    one, two = screened(models, recording), screened(models, recording)
    assert one == two
    assert (one.figures.nucleated_cells, one.figures.frames.analysed) == (10, 5)
    assert one.figures.um_per_px == 0.5


def test_the_scale_that_is_configured_goes_before_the_recorded_one(models, recording):
    """It is the device of today that is to be proven."""
    assert screened(models, recording, um_per_px=0.25).figures.um_per_px == 0.25


def test_a_recording_that_is_not_what_it_was_is_refused(models, recording):
    picture = sorted((recording / PICTURES).iterdir())[2]
    picture.write_bytes((recording / PICTURES / "00000000.png").read_bytes())
    assert screened(models, recording)  # the same scene: the same pixels
    picture.unlink()
    with pytest.raises(SourceError):
        screened(models, recording)


@pytest.mark.parametrize("cut", [3, 200, 900])
def test_a_recording_that_was_cut_off_is_refused(models, recording, cut):
    lines = recording / FRAMES
    lines.write_bytes(lines.read_bytes()[:cut])
    with pytest.raises(LeukoError):
        screened(models, recording)


def test_what_was_rejected_is_said(models, tmp_path, recording):
    strict = LENIENT.model_copy(update={"min_exposure": 0.99})
    control = StoredControl(str(recording), scan=False, um_per_px=None, within_s=60.0)
    found = screen_stored(control, Pipeline(models, strict), SlideThresholds())
    assert found.most_unseen == "5 frames were rejected (underexposed)"
    assert found.figures.nucleated_cells == 0
