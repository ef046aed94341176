"""Where most red cells of a frame have no mark, their absence teaches nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from trainer.data.field_augment import AugmentConfig, MarkedFrame, mosaic, single
from trainer.data.marking import UNMARKED, unmarked_share, with_unmarked_region
from trainer.detector.loss import DetectionLossConfig, Predictions, detection_loss

CELLS = [(30, 30), (90, 30), (150, 30), (30, 90), (90, 90), (150, 90)]


def smear() -> np.ndarray:
    pixels = np.full((120, 180, 3), (235, 225, 220), np.uint8)
    for centre in CELLS:
        cv2.circle(pixels, centre, 18, (215, 150, 150), -1)
    return pixels


def marks(count: int) -> tuple[np.ndarray, np.ndarray]:
    boxes = [[x - 19, y - 19, x + 19, y + 19] for x, y in CELLS[:count]]
    return np.array(boxes, np.float32).reshape(-1, 4), np.ones(count, np.int8)


@pytest.mark.parametrize("count", [0, 2, 3, 6])
def test_the_share_is_that_of_the_cells_without_a_mark(count: int) -> None:
    assert unmarked_share(smear(), marks(count)[0]) == pytest.approx(1 - count / 6, abs=0.03)


def test_an_empty_field_lacks_no_mark() -> None:
    assert unmarked_share(np.full((40, 40, 3), 230, np.uint8), np.empty((0, 4))) == 0


def test_only_a_frame_with_most_marks_missing_gets_a_region() -> None:
    assert UNMARKED not in with_unmarked_region(smear(), *marks(4))[1]
    boxes, kinds = with_unmarked_region(smear(), *marks(2))
    assert kinds.tolist() == [1, 1, UNMARKED]
    assert boxes[-1].tolist() == [0, 0, 180, 120]


def test_the_region_goes_where_its_frame_goes() -> None:
    rng = np.random.default_rng(0)
    frame = MarkedFrame(smear(), *with_unmarked_region(smear(), *marks(2)))
    whole = MarkedFrame(smear(), *marks(6))
    near = single(frame, 64, 96, (4.0, 4.0), rng)
    assert near.boxes[near.kinds == UNMARKED].tolist() == [[0, 0, 96, 64]]
    mixed = mosaic([frame, whole, whole, whole], 64, 96, AugmentConfig(), rng)
    region = mixed.boxes[mixed.kinds == UNMARKED]
    assert len(region) == 1
    assert (region[0, 2:] < (96, 64)).any()  # a quarter of the mosaic, not all of it


def test_in_a_region_only_a_red_cell_goes_unpunished() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 8.0, 8.0], [20.0, 20.0, 28.0, 28.0]]])
    centres = torch.tensor([[4.0, 4.0], [24.0, 24.0]])
    truth = torch.tensor([[[0.0, 0.0, 16.0, 16.0]]])

    def loss(kind: int, logits: list[float], place: int) -> float:
        scores = torch.full((1, 2, 3), -20.0)
        scores[0, place] = torch.tensor(logits)
        found = Predictions(scores, boxes, centres)
        config = DetectionLossConfig()
        return detection_loss(found, truth, torch.tensor([[kind]]), config).score.item()

    red, platelet = [-20.0, 3.0, -20.0], [-20.0, -20.0, 3.0]
    assert loss(UNMARKED, red, 0) < 1e-3
    assert loss(UNMARKED, platelet, 0) > 1
    assert loss(UNMARKED, red, 1) > 1  # outside of the region
