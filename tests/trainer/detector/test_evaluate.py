"""Figures come from the code that runs on the device, at the thresholds that ship."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.contract.terms import KINDS
from edge_daemon.vision.detect import Detections, decode, letterbox
from trainer.data.field_augment import MarkedFrame
from trainer.detector.evaluate import (
    choose_thresholds,
    detect_frames,
    evaluate_detector,
    evaluation_role,
    report,
)
from trainer.detector.metrics import KindMatches, match
from trainer.models.detector import Detector, DetectorGraph, DetectorShape

ROLE = DetectorRole(
    input_height=64, input_width=96, score_thresholds=dict.fromkeys(KINDS, 0.5), nms_iou=0.6
)


@pytest.fixture(scope="module")
def detector() -> Detector:
    """An untrained detector made loud: it finds something in every frame."""
    torch.manual_seed(2)
    detector = Detector(DetectorShape(channels=8, head_convs=1)).eval()
    torch.nn.init.normal_(detector.score.weight, std=0.7)
    torch.nn.init.zeros_(detector.score.bias)
    return detector


@pytest.fixture(scope="module")
def frames() -> list[MarkedFrame]:
    rng = np.random.default_rng(1)
    boxes = np.array([[4, 4, 40, 40]], dtype=np.float32)
    return [
        MarkedFrame(rng.integers(0, 256, size, dtype=np.uint8), boxes, np.zeros(1, np.int8))
        for size in ((48, 64, 3), (120, 90, 3))
    ]


def test_frames_are_read_as_the_device_reads_them(
    detector: Detector, frames: list[MarkedFrame]
) -> None:
    graph = DetectorGraph(detector)
    for frame, found in zip(frames, detect_frames(detector, frames, ROLE), strict=True):
        image, scale = letterbox(frame.pixels, ROLE)
        with torch.inference_mode():
            outputs = graph(torch.from_numpy(image))
        named = {n: o.numpy() for n, o in zip(graph.output_names, outputs, strict=True)}
        expected = decode(named, ROLE, scale, *frame.pixels.shape[:2])
        assert len(found) > 0
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.kinds, expected.kinds)


def test_several_sets_are_also_reported_pooled(
    detector: Detector, frames: list[MarkedFrame]
) -> None:
    reports, matches = evaluate_detector(detector, {"a": frames[:1], "b": frames[1:]}, ROLE)
    assert {name: report.frames for name, report in reports.items()} == {
        "a": 1,
        "b": 1,
        "pooled": 2,
    }
    assert matches["pooled"]["wbc"].cells == 2
    assert reports["a"].ap50["platelet"] is None
    assert len(evaluate_detector(detector, {"a": frames}, ROLE)[0]) == 1


def test_evaluation_looks_far_below_the_shipped_thresholds() -> None:
    role = evaluation_role(ROLE)
    assert max(role.score_thresholds.values()) <= 0.05
    assert role.nms_iou == ROLE.nms_iou


@pytest.mark.parametrize(("weakest", "saturated_frames"), [(0.1, 0), (0.6, 1)])
def test_only_a_cut_among_reported_cells_saturates(weakest: float, saturated_frames: int) -> None:
    scores = np.linspace(0.9, weakest, 1000, dtype=np.float32)
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (1000, 1))
    found = Detections(boxes, scores, np.ones(1000, np.int8), saturated=True)
    truth = (np.zeros((0, 4), np.float32), np.zeros(0, np.int8))
    assert report(match([found], [truth]), [found], ROLE).saturated_frames == saturated_frames


def test_thresholds_favour_the_recall_of_white_cells() -> None:
    scores = np.linspace(0.95, 0.05, 40, dtype=np.float32)
    correct = np.arange(40) % 2 == 0  # half right all the way down
    correct[:10] = True
    same = KindMatches(scores, correct, cells=30)
    thresholds = choose_thresholds(dict.fromkeys(KINDS, same))
    assert thresholds["wbc"] <= thresholds["rbc"] == thresholds["platelet"]
