"""What a place is asked to answer: the right cell, and how well its box fits."""

from __future__ import annotations

import pytest
import torch

from trainer.data.marking import NO_CELL
from trainer.detector.loss import (
    DetectionLossConfig,
    Predictions,
    assign,
    detection_loss,
    giou,
    iou,
    lay_out,
)
from trainer.models.detector import DetectorOutput

CONFIG = DetectionLossConfig()


def predictions(boxes: list[list[float]], scores: list[list[float]]) -> Predictions:
    box = torch.tensor([boxes])
    return Predictions(torch.tensor([scores]), box, (box[0, :, :2] + box[0, :, 2:]) / 2)


def test_levels_are_laid_out_in_pixels_of_the_input() -> None:
    outputs = [
        DetectorOutput(torch.zeros(1, 3, 2, 4), torch.ones(1, 4, 2, 4)),
        DetectorOutput(torch.zeros(1, 3, 1, 2), torch.ones(1, 4, 1, 2) * 0.5),
    ]
    places = lay_out(outputs, (8, 16))
    assert places.logits.shape == (1, 10, 3)
    assert places.centres[5].tolist() == [12.0, 12.0]  # second row, second column of stride 8
    assert places.boxes[0, 5].tolist() == [4.0, 4.0, 20.0, 20.0]
    assert places.boxes[0, 9].tolist() == [16.0, 0.0, 32.0, 16.0]


def test_a_cell_belongs_to_places_inside_of_it() -> None:
    places = predictions([[0, 0, 10, 10], [40, 40, 50, 50]], [[0.0] * 3] * 2)
    cell, target = assign(
        places, torch.tensor([[[0.0, 0.0, 10.0, 10.0]]]), torch.tensor([[1]]), CONFIG
    )
    assert cell.tolist() == [[0, -1]]
    assert target[0, 0].tolist() == pytest.approx([0, 1, 0])  # a perfect box of kind 1
    assert target[0, 1].tolist() == [0, 0, 0]


def test_the_target_is_the_quality_of_the_box() -> None:
    places = predictions([[0, 0, 10, 10], [0, 0, 10, 5]], [[0.0] * 3] * 2)
    cell, target = assign(
        places, torch.tensor([[[0.0, 0.0, 10.0, 8.0]]]), torch.tensor([[0]]), CONFIG
    )
    assert cell.tolist() == [[0, 0]]
    assert target[0, 0, 0] == pytest.approx(0.8)  # the best one: its overlap
    assert 0 < target[0, 1, 0] < 0.8


def test_a_place_inside_two_cells_answers_for_the_one_it_fits() -> None:
    places = predictions([[0, 0, 10, 10]], [[0.0] * 3])
    cells = torch.tensor([[[0.0, 0.0, 40.0, 40.0], [0.0, 0.0, 10.0, 11.0]]])
    cell, _ = assign(places, cells, torch.tensor([[0, 1]]), CONFIG)
    assert cell.tolist() == [[1]]


def test_padding_is_no_cell() -> None:
    places = predictions([[0, 0, 10, 10]], [[0.0] * 3])
    cell, target = assign(places, torch.zeros(1, 2, 4), torch.full((1, 2), NO_CELL), CONFIG)
    assert cell.tolist() == [[-1]]
    assert target.sum() == 0


@pytest.mark.parametrize("cells", [0, 3])
def test_frames_without_cells_still_teach_the_background(cells: int) -> None:
    places = predictions([[0, 0, 10, 10]], [[2.0] * 3])
    places.logits.requires_grad_(True)
    loss = detection_loss(places, torch.zeros(1, cells, 4), torch.full((1, cells), NO_CELL), CONFIG)
    loss.score.backward()
    assert loss.box == 0
    assert (places.logits.grad > 0).all()


def test_a_perfect_answer_costs_least() -> None:
    truth, kind = torch.tensor([[[0.0, 0.0, 10.0, 10.0]]]), torch.tensor([[1]])
    perfect = detection_loss(predictions([[0, 0, 10, 10]], [[-9.0, 9, -9]]), truth, kind, CONFIG)
    unsure = detection_loss(predictions([[0, 0, 10, 10]], [[-9.0, 0, -9]]), truth, kind, CONFIG)
    wrong = detection_loss(predictions([[0, 0, 10, 10]], [[9.0, -9, -9]]), truth, kind, CONFIG)
    shifted = detection_loss(predictions([[1, 0, 11, 10]], [[-9.0, 9, -9]]), truth, kind, CONFIG)
    assert perfect.score < unsure.score < wrong.score
    assert perfect.box == pytest.approx(0, abs=1e-5)
    assert shifted.box > perfect.box


def test_overlaps_of_known_boxes() -> None:
    a = torch.tensor([0.0, 0.0, 10.0, 10.0])
    assert iou(a, torch.tensor([5.0, 0.0, 15.0, 10.0])) == pytest.approx(1 / 3)
    assert iou(a, torch.tensor([20.0, 0.0, 30.0, 10.0])) == 0
    # Apart by their own width: hull 30, union 20.
    assert giou(a, torch.tensor([20.0, 0.0, 30.0, 10.0])) == pytest.approx(-1 / 3)
