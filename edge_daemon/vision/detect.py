"""From a frame to the detector's input, and from its raw outputs to cells.

Decoding and suppression live here and not in the network, so that every engine, the trainer's
evaluation and the exporter's gate read the same outputs in the same way, and so that a dense
field is never cut silently: up to ``role.max_detections`` (1,000 or more) cells are kept, and
:attr:`Detections.saturated` says when there were more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.vision.boxes import area, clip, touching
from edge_daemon.vision.boxes import iou as overlap

Rgb = NDArray[np.uint8]
Boxes = NDArray[np.float32]

MIN_SIDE_PX = 1.0
"""Boxes narrower or lower than this many frame pixels, after clipping to the frame, are no
cells: they appear where the network sees a cell that lies outside of the frame."""

_CROWD = 300
"""From so many boxes on, suppression looks at neighbours only: OpenCV holds each box against every
one that was kept, a third of the time for 80 boxes and three times as long for 2,000."""
_FEW = 100
"""Neighbours. Where there are more, as among all guesses of a detector, which may be as large as
the frame, OpenCV is the faster one: 0.1 s for what took seven."""


@dataclass(frozen=True, eq=False)
class Detections:
    """The cells of one frame, best score first."""

    boxes: Boxes
    """float32 ``[N, 4]``: x0, y0, x1, y1 in pixels of the frame, inside the frame."""
    scores: NDArray[np.float32]
    """float32 ``[N]``, 0..1."""
    kinds: NDArray[np.int8]
    """int8 ``[N]``: index into ``role.kinds``."""
    saturated: bool
    """More cells were found than ``role.max_detections``, and the weakest were cut."""

    def __len__(self) -> int:
        return len(self.scores)


def letterbox(pixels: Rgb, role: DetectorRole) -> tuple[Rgb, float]:
    """Scale a frame (uint8 ``[h, w, 3]``) into the input of the graph, keeping its shape.

    The frame lies in the top left corner, the rest is ``role.pad_value``.

    Returns:
        The input, uint8 ``[1, input_height, input_width, 3]``, and the scale: input pixels per
        frame pixel. It may be above 1; sides are rounded to whole pixels.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"a frame is uint8 [h, w, 3], not {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    scale = min(role.input_height / height, role.input_width / width)
    scaled_width = min(max(round(width * scale), 1), role.input_width)
    scaled_height = min(max(round(height * scale), 1), role.input_height)
    image = np.full((1, role.input_height, role.input_width, 3), role.pad_value, dtype=np.uint8)
    image[0, :scaled_height, :scaled_width] = cv2.resize(
        pixels,
        (scaled_width, scaled_height),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    return image, scale


def decode(
    outputs: Mapping[str, NDArray[np.float32]],
    role: DetectorRole,
    scale: float,
    frame_height: int,
    frame_width: int,
) -> Detections:
    """Read the raw outputs of the graph (see :class:`DetectorRole`) as cells of the frame.

    ``scale`` is what :func:`letterbox` returned for the frame. Logits that are not finite are no
    detections.
    """
    logit_thresholds = _logit([role.score_thresholds[kind] for kind in role.kinds])
    boxes, logits, kinds = [], [], []
    for stride in role.strides:
        level_logits = outputs[f"scores_{stride}"][0]
        above = level_logits >= logit_thresholds[:, None, None]
        kind, row, column = np.nonzero(above & np.isfinite(level_logits))
        distances = outputs[f"boxes_{stride}"][0][:, row, column]
        centre = np.stack([column, row]).astype(np.float32) + np.float32(0.5)
        corners = np.concatenate([centre - distances[:2], centre + distances[2:]])
        boxes.append(corners.T * np.float32(stride / scale))
        logits.append(level_logits[kind, row, column])
        kinds.append(kind)
    return _keep_best(
        _clipped(np.concatenate(boxes).astype(np.float32), frame_height, frame_width),
        _sigmoid(np.concatenate(logits)),
        np.concatenate(kinds).astype(np.int8),
        role,
    )


def suppress(
    boxes: Boxes, scores: NDArray[np.float32], kinds: NDArray[np.int8], iou: float
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression within each kind; indices kept, best score first.

    A box goes when a better one of the same kind overlaps it by more than ``iou``. Equal scores
    keep their order.
    """
    if not len(boxes):
        return np.empty(0, dtype=np.intp)
    if len(boxes) >= _CROWD and _neighbours(boxes) <= _FEW:
        return _suppress_crowd(boxes, scores, kinds, iou)
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(
        corner_and_size.astype(np.float64).tolist(),
        (
            scores.astype(np.float64) + 1.0
        ).tolist(),  # OpenCV drops scores of 0; only their order matters here
        kinds.tolist(),
        score_threshold=0.0,
        nms_threshold=iou,
    )
    indices = np.asarray(kept, dtype=np.intp).reshape(-1)
    return indices[np.lexsort((indices, -scores[indices]))]


def _suppress_crowd(
    boxes: Boxes, scores: NDArray[np.float32], kinds: NDArray[np.int8], iou: float
) -> NDArray[np.intp]:
    order = np.argsort(-scores, kind="stable")
    ranked, kinds = boxes[order].astype(np.float64), kinds[order]
    better, worse = touching(ranked, ranked)
    rivals = (better < worse) & (kinds[better] == kinds[worse])
    better, worse = better[rivals], worse[rivals]
    too_close = overlap(ranked[better], ranked[worse]) > iou
    return order[_unrivalled(len(order), better[too_close], worse[too_close])]


def _neighbours(boxes: Boxes) -> float:
    """How many boxes :func:`touching` holds against each, if they lie evenly."""
    side = float((boxes[:, 2:] - boxes[:, :2]).max())
    extent = boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)
    share = np.minimum(3 * side, extent) / np.maximum(extent, 1)
    return len(boxes) * float(share.prod())


def _unrivalled(count: int, better: NDArray[np.intp], worse: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of things numbered best first, those that stay when the best go first and drive out theirs.

    ``better[i]`` drives out ``worse[i]``, unless it was driven out itself. In each round everything
    stays that nothing is left to drive out, so that rounds are few however many things there are.
    """
    stays, open_ = np.zeros(count, bool), np.ones(count, bool)
    while open_.any():
        threatened = np.zeros(count, bool)
        threatened[worse] = True
        stays |= open_ & ~threatened
        gone = np.zeros(count, bool)
        gone[worse[stays[better]]] = True
        open_ &= ~(stays | gone)
        left = open_[better] & open_[worse]
        better, worse = better[left], worse[left]
    return np.flatnonzero(stays)


def _keep_best(
    boxes: Boxes, scores: NDArray[np.float32], kinds: NDArray[np.int8], role: DetectorRole
) -> Detections:
    big_enough = (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE_PX).all(axis=1)
    boxes, scores, kinds = boxes[big_enough], scores[big_enough], kinds[big_enough]
    kept = suppress(boxes, scores, kinds, role.nms_iou)
    if "wbc" in role.kinds:
        kept = _without_nested(kept, boxes, kinds == role.kinds.index("wbc"), role.nested_overlap)
    saturated = len(kept) > role.max_detections
    kept = kept[: role.max_detections]
    return Detections(boxes[kept], scores[kept], kinds[kept], saturated)


def _without_nested(
    kept: NDArray[np.intp], boxes: Boxes, nucleated: NDArray[np.bool_], share: float
) -> NDArray[np.intp]:
    """Drop nucleated cells of which a better one holds, or is held by, at least ``share``.

    Unlike red cells, nucleated cells do not lie on one another: on the validation frames this
    leaves precision and recall as they are.
    """
    white = kept[nucleated[kept]]  # best score first
    better, worse = touching(boxes[white], boxes[white])
    after = better < worse
    better, worse = better[after], worse[after]
    shared = area(clip(boxes[white[worse]], boxes[white[better]]))
    smaller = np.minimum(area(boxes[white[worse]]), area(boxes[white[better]]))
    nested = shared >= share * smaller
    alone = np.zeros(len(boxes), bool)
    alone[white[_unrivalled(len(white), better[nested], worse[nested])]] = True
    return kept[alone[kept] | ~nucleated[kept]]


def _clipped(boxes: Boxes, frame_height: int, frame_width: int) -> Boxes:
    limits = np.array([frame_width, frame_height] * 2, dtype=np.float32)
    return np.clip(np.nan_to_num(boxes), np.float32(0), limits)


def _logit(probabilities: list[float]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        p = np.asarray(probabilities, dtype=np.float64)
        return (np.log(p) - np.log1p(-p)).astype(np.float32)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # Written with tanh, which does not overflow for large negative logits.
    scores: NDArray[np.float32] = (np.tanh(logits * np.float32(0.5)) + np.float32(1)) * np.float32(
        0.5
    )
    return scores
