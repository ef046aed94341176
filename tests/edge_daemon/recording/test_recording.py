"""What was recorded is gone through again, decision for decision; a hole is never hidden."""

from __future__ import annotations

import io
import json
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edge_daemon.calibration.apply import Calibrated
from edge_daemon.calibration.document import LearntFocus, MeasuredScale, MicroscopeCalibration
from edge_daemon.calibration.file import write_calibration
from edge_daemon.calibration.flat import measure_flat
from edge_daemon.commands.reproduce import reproduce
from edge_daemon.config import Config
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import DataError, SourceError
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.recording import recorder
from edge_daemon.recording.recorded import RecordedSource
from edge_daemon.recording.session_file import CALIBRATION, FRAMES, SESSION, read_session
from edge_daemon.reporter import Reporter
from edge_daemon.service import recordings as recordings_module
from edge_daemon.service.recordings import Recordings
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured, DroppedFrame, StagePosition, UnreadableFrame
from edge_daemon.sources.simulated import open_simulated
from tests.edge_daemon.calibration.pictures import MADE, calibration, taken
from tests.edge_daemon.scenes import LENIENT, WHEN, frame
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

OPTIONS = EngineOptions("onnxruntime", threads=1)


@pytest.fixture
def scenes() -> list[Captured]:
    moved = frame(3, white=2, red=6, field=0)
    return [
        frame(0, white=1, red=6),
        UnreadableFrame(1, "torn.png", WHEN, "truncated"),
        DroppedFrame(2, "camera", WHEN, "too slow"),
        type(moved)(moved.index, moved.source, WHEN, moved.pixels, 0, 0.1, StagePosition(5.0, 7.5)),
    ]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundles")


BUNDLE = "sha256:" + "b" * 64
Record = Callable[..., Path]


@pytest.fixture
def record(tmp_path: Path, bundle: Path, scenes: list[Captured]) -> Record:
    def recorded(pictures: str = "png", *, from_the_start: bool = True, ends: bool = True) -> Path:
        config = Config.model_validate(
            {
                "source": {"url": "sim://"},
                "broker": {"url": "mqtt://127.0.0.1", "username": "u", "password": "s3cret"},
                "record": {"folder": str(tmp_path / "recordings"), "pictures": pictures},
                "quality": LENIENT.model_dump(),
            }
        )
        with Models.open(load_bundle(bundle), OPTIONS) as models:
            pipeline = Pipeline(models, LENIENT)
            setup = SlideSetup("s1", source="scenes")
            session = SlideSession(setup, pipeline.slide_map)
            origin = Origin("lab", "m1", uuid.uuid4().hex, models.bundle.digest)
            run = SlideRun(pipeline, session, Reporter(origin, "s1"))
            with Recordings(
                config,
                models.bundle.digest,
                models.description,
                on_fault=pytest.fail,
                camera=lambda: "camera://0: 640 x 480, exposure 8000 us",
            ) as recordings:
                recordings.begin(setup, from_the_start=from_the_start)
                for captured in scenes:
                    recordings.frame(run.enter(pipeline.prepare(captured)), captured)
                if ends:
                    recordings.summary(run.end("finished"))
        (folder,) = (tmp_path / "recordings").iterdir()
        return folder

    return recorded


def a_config(folder: Path, **more: object) -> Config:
    given = {"source": {"url": "sim://"}, "broker": {"url": "mqtt://127.0.0.1"}}
    return Config.model_validate({**given, "record": {"folder": str(folder)}, **more})


def test_a_file_read_again_is_what_the_next_recording_is_of(tmp_path: Path) -> None:
    with Recordings(a_config(tmp_path / "a"), BUNDLE, "e", on_fault=pytest.fail) as recordings:
        recordings.begin(SlideSetup("s1"), from_the_start=True)
        recordings.configure(
            a_config(tmp_path / "b", slide={"thresholds": {"min_nucleated_cells": 150}})
        )
        recordings.begin(SlideSetup("s2"), from_the_start=True)
    (first,), (second,) = (tmp_path / "a").iterdir(), (tmp_path / "b").iterdir()
    needed = [
        Config.model_validate(read_session(place).config).slide.thresholds.min_nucleated_cells
        for place in (first, second)
    ]
    assert needed == [100, 150]


def test_a_slide_that_is_not_recorded_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings_module, "LEAST_FREE_BYTES", 1 << 60)
    told: list[str] = []
    with Recordings(a_config(tmp_path / "a"), BUNDLE, "e", on_fault=told.append) as recordings:
        recordings.begin(SlideSetup("s1"), from_the_start=True)
    assert told == [f"no recording of s1: less than 2 GB are free in {tmp_path / 'a'}"]
    assert not (tmp_path / "a").exists()


class Desk:
    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle
        self.printed = io.StringIO()

    def reproduce(self, folder: Path, **more: object) -> bool:
        console = Console(file=self.printed, width=200)
        return reproduce(folder, console, bundle=self.bundle, options=OPTIONS, **more)  # type: ignore[arg-type]


@pytest.fixture
def desk(bundle: Path) -> Desk:
    return Desk(bundle)


def test_every_decision_comes_again(record: Record, desk: Desk) -> None:
    assert desk.reproduce(record()), desk.printed.getvalue()
    assert "4 frames of s1 gone through again: every decision is the same" in (
        desk.printed.getvalue()
    )


def test_the_source_hands_out_what_was_captured(record: Record, scenes: list[Captured]) -> None:
    with RecordedSource(record()) as source:
        again = list(source)
    for before, after in zip(scenes, again, strict=True):
        assert type(after) is type(before)
        old, new = dict(vars(before)), dict(vars(after))
        if "pixels" in old:
            np.testing.assert_array_equal(new.pop("pixels"), old.pop("pixels"))
        assert new == old


def test_it_says_what_was_screened_with_what_and_no_secret(record: Record) -> None:
    folder = record()
    session = read_session(folder)
    assert (session.slide, session.frames, session.complete) == ("s1", 4, True)
    assert session.engines.startswith("tiny-0.1.0 on onnxruntime")
    assert session.camera == "camera://0: 640 x 480, exposure 8000 us"
    assert "s3cret" not in (folder / SESSION).read_text()


def test_another_decision_is_told(record: Record, desk: Desk) -> None:
    folder = record()
    lines = (folder / FRAMES).read_text().splitlines()
    line = json.loads(lines[0])
    line["result"]["cells"][0]["p_blast"] = 0.123
    (folder / FRAMES).write_text("\n".join([json.dumps(line), *lines[1:]]) + "\n")
    assert not desk.reproduce(folder)
    assert "frame 0 (scene-0.png): 1 cells" in desk.printed.getvalue()
    assert "1 are decided otherwise" in desk.printed.getvalue()


def test_where_to_look_first_comes_again_and_another_list_is_told(
    record: Record, desk: Desk
) -> None:
    folder = record()
    summary = read_session(folder).summary
    assert summary is not None
    assert summary.worst_cells
    assert {cell.frame for cell in summary.worst_cells} <= {0, 3}
    assert {place.frame for place in summary.worst_fields} <= {0, 3}
    content = json.loads((folder / SESSION).read_text())
    content["summary"]["worst_cells"][0]["frame"] += 1
    content["summary"]["revisits"] += 1
    (folder / SESSION).write_text(json.dumps(content))
    assert not desk.reproduce(folder)
    assert "every decision is the same" in desk.printed.getvalue()
    assert "summary: revisits 1 -> 0" in desk.printed.getvalue()
    assert f"summary: worst_cells: 1 of {len(summary.worst_cells)}" in desk.printed.getvalue()


def test_a_recording_of_before_there_were_summaries_is_gone_through(
    record: Record, desk: Desk
) -> None:
    folder = record()
    content = json.loads((folder / SESSION).read_text())
    del content["summary"]
    (folder / SESSION).write_text(json.dumps(content))
    assert desk.reproduce(folder), desk.printed.getvalue()


def test_an_altered_picture_is_not_the_one_that_was_recorded(record: Record, desk: Desk) -> None:
    folder = record()
    one, *_, other = sorted((folder / "frames").iterdir())
    shutil.copy(one, other)
    with pytest.raises(SourceError, match=r"frame 3 of recording .* is not the one"):
        desk.reproduce(folder)


def test_digests_need_the_source_and_hold_it_to_them(record: Record, desk: Desk) -> None:
    folder = record("digests")
    assert list((folder / "frames").iterdir()) == []
    with pytest.raises(SourceError, match=r"name its source with --source \(scenes\)"):
        desk.reproduce(folder)
    with pytest.raises(SourceError, match="is not the one that was recorded"):
        desk.reproduce(folder, source="sim://?seed=1&fields=4")


def test_another_bundle_is_refused(record: Record, tmp_path: Path) -> None:
    folder = record()
    other = Desk(write_tiny_bundle(tmp_path / "others", version="0.2.0"))
    with pytest.raises(DataError, match="was recorded with bundle sha256"):
        other.reproduce(folder)


def test_what_begins_in_the_middle_is_refused(record: Record, desk: Desk) -> None:
    with pytest.raises(DataError, match="begins where its slide was taken up again"):
        desk.reproduce(record(from_the_start=False))


def test_a_recording_that_was_cut_off_says_so(record: Record, desk: Desk) -> None:
    folder = record(ends=False)
    assert not read_session(folder).complete
    assert desk.reproduce(folder), desk.printed.getvalue()
    assert "the recording is not complete" in desk.printed.getvalue()
    text = (folder / FRAMES).read_text()
    (folder / FRAMES).write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match=r"frames\.jsonl:\d: cut off or altered"):
        desk.reproduce(folder)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "is no recorded session"), ("{", "cut off or altered"), ("{}", "slide: Field")],
)
def test_what_is_no_recording_is_one_line(
    tmp_path: Path, desk: Desk, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / SESSION).write_text(content)
    with pytest.raises(DataError, match=told):
        desk.reproduce(tmp_path)


class TestThroughACalibration:
    """Uneven, yellow light, made even: the recording keeps the camera's pictures and the means."""

    LAMP = "vignetting=0.5&cast=0.8"

    @pytest.fixture
    def microscope(self) -> MicroscopeCalibration:
        return calibration(
            flat=measure_flat(taken(f"target=blank&{self.LAMP}", 4), MADE),
            scale=MeasuredScale(made=MADE, um_per_px=0.08, uncertainty=0.001, method="red cells"),
            focus=LearntFocus(made=MADE, best=20.0, min_focus=1.0),
        )

    @pytest.fixture
    def recorded(self, tmp_path: Path, bundle: Path, microscope: MicroscopeCalibration) -> Path:
        folder = tmp_path / "recordings"
        config = Config.model_validate(
            {
                "source": {"url": "sim://"},
                "broker": {"url": "mqtt://127.0.0.1"},
                "record": {"folder": str(folder)},
            }
        )
        with Models.open(load_bundle(bundle), OPTIONS) as models:
            pipeline = Pipeline(models, config.quality, Calibrated(microscope))
            session = SlideSession(SlideSetup("s1"), pipeline.slide_map)
            origin = Origin("lab", "m1", uuid.uuid4().hex, models.bundle.digest)
            run = SlideRun(pipeline, session, Reporter(origin, "s1"))
            with (
                Recordings(
                    config,
                    models.bundle.digest,
                    models.description,
                    on_fault=pytest.fail,
                    calibration=microscope,
                ) as recordings,
                open_simulated(f"sim://?fields=3&seed=7&scale=unknown&{self.LAMP}") as source,
            ):
                recordings.begin(SlideSetup("s1"), from_the_start=True)
                for captured in source:
                    prepared = pipeline.prepare(captured)
                    recordings.frame(run.enter(prepared), prepared.captured)
                recordings.summary(run.end("finished"))
        (place,) = folder.iterdir()
        return place

    def test_every_decision_comes_again(self, recorded: Path, desk: Desk) -> None:
        with RecordedSource(recorded) as source:
            list(source)
        results = [line.result for line in source.frames]
        assert all(r.quality is not None and r.quality.calibrated for r in results)
        assert {r.um_per_px_from for r in results if r.outcome == "analysed"} == {"estimated"}
        assert desk.reproduce(recorded), desk.printed.getvalue()

    def test_its_pictures_are_those_of_the_camera(self, recorded: Path) -> None:
        with RecordedSource(recorded) as source:
            kept = [captured.pixels for captured in source]  # type: ignore[union-attr]
        np.testing.assert_array_equal(kept, taken(f"seed=7&{self.LAMP}", 3))

    @pytest.mark.parametrize("altered", [True, False])
    def test_without_the_calibration_it_is_refused(
        self, recorded: Path, desk: Desk, altered: bool
    ) -> None:
        file = recorded / CALIBRATION
        if altered:
            file.write_text(file.read_text().replace("100x", "40x"))
        else:
            file.unlink()
        with pytest.raises(DataError, match=r"calibration\.json does not .*this recording"):
            desk.reproduce(recorded)

    def test_another_one_is_refused(self, recorded: Path, desk: Desk) -> None:
        write_calibration(recorded / CALIBRATION, calibration())
        with pytest.raises(DataError, match="is not the calibration that this session"):
            desk.reproduce(recorded)

    def test_an_old_recording_that_did_not_keep_it_says_so(
        self, recorded: Path, desk: Desk
    ) -> None:
        session = json.loads((recorded / SESSION).read_text())
        del session["calibration"]
        (recorded / SESSION).write_text(json.dumps(session))
        with pytest.raises(DataError, match="through a calibration that it did not keep"):
            desk.reproduce(recorded)


def test_a_disk_that_does_not_keep_up_ends_the_recording_and_not_the_slide(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordedSource(record()) as source:
        captured = list(source)
        result = source.frames[0].result
        session = source.session.model_copy(update={"complete": False})
    stuck = threading.Event()

    def digest(_: object) -> str:
        stuck.wait(30)
        return "0" * 64

    monkeypatch.setattr(recorder, "digest_of", digest)
    faults: list[str] = []
    with recorder.SessionRecorder(
        tmp_path / "slow", session, most_waiting=1, on_fault=faults.append
    ) as slow:
        for _ in range(9):
            slow.frame(result, captured[0])
        assert faults == ["the disk does not keep up with the frames"]
        stuck.set()
    end = read_session(tmp_path / "slow")
    assert (end.complete, end.fault) == (False, faults[0])
