"""Whatever a source hands out gets exactly one outcome, with its reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_daemon.calibration.apply import Calibrated
from edge_daemon.calibration.document import LearntFocus, MeasuredScale, Setup
from edge_daemon.calibration.flat import measure_flat
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.engines.options import EngineOptions
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.sources.base import DroppedFrame, Frame, StagePosition, UnreadableFrame
from edge_daemon.vision.quality import QualityThresholds
from tests.edge_daemon.calibration.pictures import MADE, calibration
from tests.edge_daemon.scenes import LENIENT, WHEN, frame
from tests.edge_daemon.tiny_bundle import SIDE, write_tiny_bundle


@pytest.fixture
def models(tiny_bundle):
    with Models.open(load_bundle(tiny_bundle), EngineOptions("onnxruntime", threads=1)) as opened:
        yield opened


@pytest.fixture
def pipeline(models):
    return Pipeline(models, LENIENT)


def test_an_analysed_frame_lists_its_cells(pipeline):
    found = pipeline.process(frame(white=2, red=5))
    assert (found.outcome, found.reason) == ("analysed", None)
    assert [cell.kind for cell in found.cells].count("wbc") == 2
    assert [cell.kind for cell in found.cells].count("rbc") == 5
    assert {cell.id for cell in found.cells} == set(range(7))


def test_white_cells_and_only_they_have_a_verdict_and_a_number(pipeline):
    for cell in pipeline.process(frame(white=1, red=3)).cells:
        given = (cell.p_blast, cell.label, cell.unique_id)
        assert all(v is not None for v in given) == (cell.kind == "wbc")
        assert any(v is not None for v in given) == (cell.kind == "wbc")


def test_boxes_are_in_pixels_of_the_frame(pipeline):
    (cell,) = pipeline.process(frame(white=1, red=0)).cells
    x, y, width, height = cell.box
    assert (x, y) == (0.0, 0.0)
    assert (width, height) == (24.0, 24.0)  # 32 wide around (8, 8), cut at the border


def test_every_stage_is_timed(pipeline):
    assert set(pipeline.process(frame()).timings_ms) == {
        "quality",
        "scale",
        "detect",
        "classify",
        "register",
    }


@pytest.mark.parametrize(("limit", "label"), [(0.1, "uncertain"), (3.0, "blast")])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_cell_unlike_any_in_training_is_uncertain(tmp_path, engine, limit, label):
    """The crop of a white cell has a mean grey level of some 200: the tiny novelty is 2."""
    bundle = load_bundle(write_tiny_bundle(tmp_path, novelty_limit=limit))
    known = dataclasses.replace(frame(white=2, red=0), um_per_px=0.5)
    with Models.open(bundle, EngineOptions(engine, threads=1)) as models:
        cells = Pipeline(models, LENIENT).process(known).cells
    assert [cell.label for cell in cells] == [label, label]
    assert all(cell.p_blast is not None and cell.p_blast > 0.7 for cell in cells)


def test_no_cells_is_a_finding_not_a_failure(pipeline):
    found = pipeline.process(frame(white=0, red=0))
    assert (found.outcome, found.cells) == ("analysed", ())


def test_a_frame_that_could_not_be_read_failed(pipeline):
    found = pipeline.process(UnreadableFrame(3, "a.jpg", WHEN, "a.jpg is truncated"))
    assert (found.outcome, found.reason, found.frame) == ("failed", "a.jpg is truncated", 3)


def test_a_frame_that_was_let_go_is_dropped(pipeline):
    found = pipeline.process(DroppedFrame(4, "camera", WHEN, "a newer frame came first"))
    assert (found.outcome, found.reason) == ("dropped", "a newer frame came first")


def test_a_frame_the_quality_gate_refuses_is_rejected_with_its_figures(models):
    found = Pipeline(models, QualityThresholds()).process(frame(white=0, red=0))
    assert found.outcome == "rejected"
    assert found.reason
    assert found.quality is not None
    assert found.cells == ()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3)])
def test_a_picture_too_small_to_judge_is_rejected(models, shape):
    tiny = dataclasses.replace(frame(), pixels=np.zeros((*shape, 3), np.uint8))
    assert Pipeline(models).process(tiny).outcome == "rejected"


def test_what_breaks_in_one_frame_is_that_frames_outcome(pipeline, models, monkeypatch, caplog):
    def breaks(_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(models, "detect", breaks)
        found = pipeline.process(frame())
    assert found.outcome == "failed"
    assert found.reason == "analysis failed: RuntimeError: out of memory"
    assert pipeline.process(frame(1)).outcome == "analysed"


@pytest.mark.parametrize("what", ["assess", "scaled"])
def test_what_breaks_before_the_networks_is_that_frames_outcome_too(
    pipeline, models, monkeypatch, what
):
    def breaks(*_: object) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        if what == "assess":
            patch.setattr("edge_daemon.gate.assess", breaks)
        else:
            patch.setattr(models, "scaled", breaks)
        found = pipeline.process(frame())
    assert (found.outcome, found.reason) == ("failed", "analysis failed: MemoryError: no room")
    assert pipeline.process(frame(1)).outcome == "analysed"


class TestScale:
    """Cell size is half of what a blast is, so the scale is configured, measured or missed."""

    def test_configured(self, pipeline):
        known = dataclasses.replace(frame(), um_per_px=0.3)
        found = pipeline.process(known)
        assert (found.um_per_px, found.um_per_px_from) == (0.3, "configured")

    def test_read_from_the_red_cells(self, pipeline):
        found = pipeline.process(frame(white=0, red=16))
        assert found.um_per_px_from == "estimated"
        assert found.um_per_px == pytest.approx(7.5 / 32, rel=0.01)

    def test_remembered_for_pictures_of_the_same_size(self, pipeline):
        first = pipeline.process(frame(white=0, red=16))
        second = pipeline.process(frame(1, white=1, red=0))
        assert (second.um_per_px, second.um_per_px_from) == (first.um_per_px, "estimated")

    def test_unknown_makes_every_verdict_uncertain(self, pipeline):
        found = pipeline.process(frame(white=2, red=0))
        assert (found.um_per_px, found.um_per_px_from) == (None, "unknown")
        assert {cell.label for cell in found.cells} == {"uncertain"}
        assert all(cell.p_blast is not None for cell in found.cells)


def test_the_stage_position_is_reported(pipeline):
    moved = dataclasses.replace(frame(), um_per_px=0.1, stage=StagePosition(12.0, 34.0, 5.0))
    stage = pipeline.process(moved).stage
    assert stage is not None
    assert (stage.x_um, stage.y_um, stage.z_um) == (12.0, 34.0, 5.0)


class TestCalibrated:
    """Frames are corrected before all else, and only such as were calibrated."""

    @pytest.fixture(name="calibration")
    def a_calibration(self):
        size = {"width": SIDE, "height": SIDE}
        setup = Setup(objective="100x", **size)
        flat = measure_flat([np.full((SIDE, SIDE, 3), (200, 220, 110), np.uint8)], MADE)
        scale = MeasuredScale(made=MADE, um_per_px=0.3, uncertainty=0.001, method="micrometer")
        focus = LearntFocus(made=MADE, best=20.0, min_focus=7.0)
        return calibration(setup=setup, flat=flat, scale=scale, focus=focus)

    def test_its_frames_are_corrected_before_anything_else(self, models, calibration):
        pipeline = Pipeline(models, LENIENT, Calibrated(calibration))
        cold = dataclasses.replace(frame(), pixels=np.full_like(frame().pixels, (200, 220, 110)))
        prepared = pipeline.prepare(cold)
        assert isinstance(prepared.captured, Frame)
        middle = prepared.captured.pixels[SIDE // 2, SIDE // 2].astype(int)
        assert np.ptp(middle) <= 1
        assert cold.pixels[0, 0].tolist() == [200, 220, 110]  # the source's own is left alone
        assert prepared.findings.quality is not None
        assert prepared.findings.quality.calibrated
        assert "correct" in prepared.findings.timings_ms

    def test_its_scale_stands_in_where_the_source_has_none(self, models, calibration):
        pipeline = Pipeline(models, LENIENT, Calibrated(calibration))
        found = pipeline.process(frame())
        assert (found.um_per_px, found.um_per_px_from) == (0.3, "configured")
        known = pipeline.process(dataclasses.replace(frame(1), um_per_px=0.5))
        assert (known.um_per_px, known.um_per_px_from) == (0.5, "configured")

    def test_a_scale_by_red_cells_stays_an_estimate(self, models, calibration):
        scale = calibration.scale.model_copy(update={"method": "red cells"})
        by_cells = Calibrated(calibration.model_copy(update={"scale": scale}))
        pipeline = Pipeline(models, LENIENT, by_cells)
        found = pipeline.process(frame())
        assert (found.um_per_px, found.um_per_px_from) == (0.3, "estimated")

    def test_frames_of_another_size_are_taken_as_they_are_and_said_so_once(
        self, models, calibration, caplog
    ):
        calibrated = Calibrated(
            calibration.model_copy(
                update={"setup": calibration.setup.model_copy(update={"width": 2 * SIDE})}
            ),
            "c.json",
        )
        pipeline = Pipeline(models, LENIENT, calibrated)
        for index in range(3):
            found = pipeline.process(frame(index))
            assert found.outcome == "analysed"
            assert found.quality is not None
            assert not found.quality.calibrated
            assert found.um_per_px != 0.3
        lines = [
            record.getMessage() for record in caplog.records if "c.json" in record.getMessage()
        ]
        assert len(lines) == 1
        assert f"made for frames of {2 * SIDE} x {SIDE} pixels, these have" in lines[0]
        assert "analysed uncalibrated" in lines[0]

    def test_a_focus_set_by_hand_wins(self, calibration):
        calibrated = Calibrated(calibration)
        assert calibrated.thresholds(QualityThresholds()).min_focus == 7.0
        assert calibrated.thresholds(QualityThresholds(min_focus=3.0)).min_focus == 3.0


def test_how_red_cells_lie_comes_with_the_quality(pipeline):
    found = pipeline.process(frame(white=0, red=9))
    assert found.quality is not None
    assert found.quality.overlap_fraction == 0
    assert found.quality.hints == ()
    assert pipeline.process(frame(1, white=0, red=3)).quality.overlap_fraction is None
