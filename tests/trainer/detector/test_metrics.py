"""The figures of the detector are COCO's, without COCO's cap."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from edge_daemon.vision.detect import Detections
from trainer.detector.metrics import match, mean_average_precision

Truth = tuple[np.ndarray, np.ndarray]


def detections(boxes: list[list[float]], scores: list[float], kinds: list[int]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(kinds, np.int8),
        saturated=False,
    )


def truth(boxes: list[list[float]], kinds: list[int]) -> Truth:
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(kinds, np.int8)


CELL = [0.0, 0.0, 10.0, 10.0]
OTHER = [50.0, 50.0, 60.0, 60.0]


def test_a_cell_found_twice_counts_once() -> None:
    found = detections([CELL, [0, 0, 10, 9]], [0.9, 0.8], [0, 0])
    wbc = match([found], [truth([CELL], [0])])["wbc"]
    assert wbc.correct.tolist() == [True, False]
    assert wbc.average_precision() == pytest.approx(1.0)


def test_kinds_are_matched_apart() -> None:
    matches = match([detections([CELL], [0.9], [1])], [truth([CELL], [0])])
    assert matches["wbc"].average_precision() == 0.0
    assert matches["rbc"].average_precision() is None
    assert mean_average_precision(matches) == 0.0


def test_recall_and_precision_follow_the_threshold() -> None:
    found = detections([CELL, OTHER, [80, 80, 90, 90]], [0.9, 0.4, 0.6], [0, 0, 0])
    wbc = match([found], [truth([CELL, OTHER], [0, 0])])["wbc"]
    assert (wbc.recall(0.5), wbc.precision(0.5)) == (0.5, 0.5)
    assert (wbc.recall(0.3), wbc.precision(0.3)) == (1.0, pytest.approx(2 / 3))
    assert wbc.precision(0.95) is None


def test_recall_weighs_more_with_a_higher_beta() -> None:
    boxes = [[float(x), 0.0, x + 10.0, 10.0] for x in range(0, 200, 20)]
    # Five sure cells, then wrong ones between the weak right ones.
    wrong = [[float(x), 100.0, x + 10.0, 110.0] for x in range(0, 200, 20)]
    found = detections(
        boxes[:5] + wrong[:6] + boxes[5:7], [0.9] * 5 + [0.5] * 6 + [0.2] * 2, [0] * 13
    )
    wbc = match([found], [truth(boxes[:7], [0] * 7)])["wbc"]
    assert 0.5 < wbc.best_threshold(beta=1.0) < 0.9
    assert wbc.best_threshold(beta=4.0) < 0.5


def test_frames_without_detections_or_cells_are_fine() -> None:
    nothing = detections([], [], [])
    matches = match([nothing, nothing], [truth([CELL], [0]), truth([], [])])
    assert matches["wbc"].average_precision() == 0.0
    assert matches["wbc"].best_threshold(1.0) == 0.5


def random_frames(seed: int, frames: int) -> tuple[list[Detections], list[Truth]]:
    """Cells, most of them found a little off, with some misses and false alarms."""
    rng = np.random.default_rng(seed)
    found, truths = [], []
    for _ in range(frames):
        count = int(rng.integers(0, 160))
        corner = rng.uniform(0, 900, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(20, 60, (count, 2))], axis=1)
        kinds = rng.integers(0, 3, count)
        truths.append(truth(boxes.tolist(), kinds.tolist()))
        hit = rng.random(count) < 0.85
        shifted = boxes[hit] + rng.normal(0, 3, (int(hit.sum()), 4))
        alarms = rng.uniform(0, 900, (15, 2))
        every = np.concatenate([shifted, np.concatenate([alarms, alarms + 40], axis=1)])
        labels = np.concatenate([kinds[hit], rng.integers(0, 3, 15)])
        found.append(detections(every.tolist(), rng.random(len(every)).tolist(), labels.tolist()))
    return found, truths


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    found, truths = random_frames(seed, frames=6)
    matches = match(found, truths)
    ours = [item.average_precision() for item in matches.values()]
    np.testing.assert_allclose(ours, coco_ap50(found, truths), atol=1e-6)


def coco_ap50(found: list[Detections], truths: list[Truth]) -> list[float]:
    """AP at IoU 0.5 of each kind by pycocotools, its cap raised to 1,000."""
    coco_module = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    def rows(frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[dict[str, object]]:
        listed: list[dict[str, object]] = []
        for image, (boxes, kinds, scores) in enumerate(frames):
            for (x0, y0, x1, y1), kind, score in zip(
                boxes.tolist(), kinds.tolist(), scores.tolist(), strict=True
            ):
                box = [x0, y0, x1 - x0, y1 - y0]
                listed.append(
                    {
                        "id": len(listed) + 1,
                        "image_id": image,
                        "category_id": kind,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                        "score": score,
                    }
                )
        return listed

    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": i} for i in range(3)],
            "annotations": rows([(b, k, np.ones(len(k))) for b, k in truths]),
        }
        coco.createIndex()
        results = coco.loadRes(rows([(f.boxes, f.kinds, f.scores) for f in found]))
        evaluation = COCOeval(coco, results, "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.maxDets = [1000]
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # [IoU, recall, kind, area, cap]
    return [float(precision[0, :, kind, 0, 0].mean()) for kind in range(3)]
