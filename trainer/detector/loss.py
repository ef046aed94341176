"""What the detector is trained to say: which place answers for which cell, and how well.

Assignment is task-aligned (Feng et al. 2021, TOOD, arXiv:2108.07755): a cell goes to the places
inside its box where score and overlap together are best, so that the box with the best score
becomes the best box. The score's target is that alignment, scaled to the best overlap of the
cell, and its loss is varifocal (Zhang et al. 2021, arXiv:2008.13367): easy background counts
little. Boxes are trained with generalised IoU (Rezatofighi et al. 2019, arXiv:1902.09630).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from edge_daemon.contract.terms import KINDS
from trainer.data.marking import NO_CELL, UNMARKED
from trainer.models.detector import DetectorOutput

_RED = KINDS.index("rbc")


@dataclass(frozen=True)
class DetectionLossConfig:
    """Weights of the loss and of the assignment."""

    places_per_cell: int = 10
    alignment_alpha: float = 1.0
    """Power of the score in the alignment."""
    alignment_beta: float = 4.0
    """Power of the overlap in the alignment."""
    background_alpha: float = 0.75
    background_gamma: float = 2.0
    box_weight: float = 2.0


class Predictions(NamedTuple):
    """The levels of one batch laid end to end; P places in all."""

    logits: Tensor
    """float ``[B, P, kinds]``."""
    boxes: Tensor
    """float ``[B, P, 4]``: x0, y0, x1, y1 in input pixels."""
    centres: Tensor
    """float ``[P, 2]``: x, y in input pixels."""


class DetectionLoss(NamedTuple):
    """The two parts, weighted; their sum is what is minimised."""

    score: Tensor
    box: Tensor


def lay_out(outputs: Sequence[DetectorOutput], strides: Sequence[int]) -> Predictions:
    """Raw levels as one list of places, in fp32 whatever the network ran in."""
    logits, boxes, centres = [], [], []
    for (scores, distances), stride in zip(outputs, strides, strict=True):
        height, width = scores.shape[-2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centre = (torch.stack([x, y], dim=-1).reshape(-1, 2).to(scores.device) + 0.5) * stride
        sides = distances.float().flatten(2).transpose(1, 2) * stride
        boxes.append(torch.cat([centre - sides[..., :2], centre + sides[..., 2:]], dim=-1))
        logits.append(scores.float().flatten(2).transpose(1, 2))
        centres.append(centre)
    return Predictions(torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(centres))


def detection_loss(
    predictions: Predictions, boxes: Tensor, kinds: Tensor, config: DetectionLossConfig
) -> DetectionLoss:
    """Loss of one batch.

    Args:
        predictions: from :func:`lay_out`.
        boxes: truth, float ``[B, M, 4]`` in input pixels, padded.
        kinds: truth, int64 ``[B, M]``; :data:`NO_CELL` marks padding,
            :data:`trainer.data.marking.UNMARKED` a region in which a place that answers for no cell
            is not told that there is no red cell.
        config: weights.
    """
    if boxes.shape[1] == 0:  # a batch of empty fields: one row of padding keeps the shapes
        boxes, kinds = (
            functional.pad(boxes, (0, 0, 0, 1)),
            functional.pad(kinds, (0, 1), value=NO_CELL),
        )
    cell, target = assign(predictions, boxes, kinds, config)
    logits = predictions.logits
    probability = logits.detach().sigmoid()
    weight = torch.where(
        target > 0,
        target,
        config.background_alpha
        * probability.pow(config.background_gamma)
        * _is_background(predictions.centres, boxes, kinds, logits.shape[-1]),
    )
    normaliser = target.sum().clamp(min=1.0)
    score_loss = (
        functional.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
        / normaliser
    )
    chosen = cell >= 0
    matched = boxes.gather(1, cell.clamp(min=0)[..., None].expand(-1, -1, 4))[chosen]
    box_loss = ((1 - giou(predictions.boxes[chosen], matched)) * target.sum(-1)[chosen]).sum()
    return DetectionLoss(score_loss, config.box_weight * box_loss / normaliser)


def _is_background(centres: Tensor, boxes: Tensor, kinds: Tensor, kind_count: int) -> Tensor:
    """1 where a place without a cell is background, 0 where nobody knows; ``[B, P, kinds]``."""
    region = boxes[:, None]
    x, y = centres[None, :, None].unbind(-1)
    covered = (x > region[..., 0]) & (y > region[..., 1]) & (x < region[..., 2])
    covered &= (y < region[..., 3]) & (kinds == UNMARKED)[:, None]
    red = torch.arange(kind_count, device=boxes.device) == _RED
    return (~(covered.any(-1)[..., None] & red)).to(boxes.dtype)


@torch.no_grad()
def assign(
    predictions: Predictions, boxes: Tensor, kinds: Tensor, config: DetectionLossConfig
) -> tuple[Tensor, Tensor]:
    """Which cell each place answers for, and with which score.

    ``boxes`` and ``kinds`` as in :func:`detection_loss`, with M of at least 1. Returns the index
    of the cell, int64 ``[B, P]``, -1 for none, and the score target, ``[B, P, kinds]``, 0..1.
    """
    places, kind_count = predictions.logits.shape[1:]
    cells = boxes.shape[1]
    centres = predictions.centres[None, None]
    inside = (
        torch.cat([centres - boxes[:, :, None, :2], boxes[:, :, None, 2:] - centres], -1).amin(-1)
        > 0
    ) & (kinds >= 0)[..., None]
    overlap = iou(boxes[:, :, None], predictions.boxes[:, None]) * inside
    index = kinds.clamp(min=0)[..., None].expand(-1, -1, places)
    score = predictions.logits.sigmoid().transpose(1, 2).gather(1, index)
    # The small constant ranks places inside a cell that nothing overlaps yet, so that every cell
    # is answered for from the first step on.
    alignment = (score.pow(config.alignment_alpha) * overlap.pow(config.alignment_beta)) * inside
    ranked = alignment + 1e-9 * inside * (1 + score)
    best = ranked.topk(min(config.places_per_cell, places), dim=-1)
    selected = torch.zeros_like(inside).scatter_(-1, best.indices, best.values > 0) & inside
    # A place inside several cells answers for the one it overlaps most.
    contested = torch.where(selected, overlap + 1e-6, torch.zeros_like(overlap))
    value, cell = contested.max(dim=1)
    cell = torch.where(value > 0, cell, torch.full_like(cell, -1))
    own = functional.one_hot(cell.clamp(min=0), cells).transpose(1, 2).bool() & (cell >= 0)[:, None]
    alignment = alignment * own
    peak_alignment = alignment.amax(-1, keepdim=True).clamp(min=1e-9)
    peak_overlap = (overlap * own).amax(-1, keepdim=True)
    quality = (alignment / peak_alignment * peak_overlap).amax(1)
    kind = kinds.gather(1, cell.clamp(min=0)).clamp(min=0)
    target = functional.one_hot(kind, kind_count) * quality[..., None]
    return cell, target.to(predictions.logits.dtype) * (cell >= 0)[..., None]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes ``[..., 4]`` that broadcast against each other."""
    intersection, union, _ = _areas(a, b)
    return intersection / union.clamp(min=1e-6)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU, -1..1."""
    intersection, union, hull = _areas(a, b)
    union = union.clamp(min=1e-6)
    hull = hull.clamp(min=1e-6)
    return intersection / union - (hull - union) / hull


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(
        min=0
    )
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    intersection = shared.prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    return intersection, area_a + area_b - intersection, hull.prod(-1)
