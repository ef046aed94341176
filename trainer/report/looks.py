"""Where the models of a comparison look: the same cells for all, each seen by its fold's network.

``cross-validate`` leaves the network of every fold beside the predictions; a file of predictions
that was moved away from them has nothing to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import CLASSES
from trainer.data.cnmc import read_picture_file
from trainer.predictions import Predictions
from trainer.report.attribution import hires_cam, overlay
from trainer.training.run_folder import BEST, fold_folder

_QUANTILES = (0.05, 0.35, 0.65, 0.95)
"""Cells of each class by what the models say of them on average: from the surest error on."""
_BLAST = CLASSES.index("blast")


def where_they_look(
    files: Sequence[Path], predictions: Sequence[Predictions], cells_root: Path
) -> dict[str, list[NDArray[np.uint8]]]:
    """Of each model with its networks at hand, pictures of where it sees evidence for blast.

    Args:
        files: of predictions, one a model.
        predictions: what is in them, all on the same cells in the same order.
        cells_root: folder below which the pictures of the cells lie.

    Returns:
        Model -> RGB pictures uint8 ``[H, W, 3]``, the same cells for each; first blasts, then
        normal cells.

    Raises :class:`DataError` when a picture or a network cannot be read.
    """
    at_hand = [
        (file.parent, one)
        for file, one in zip(files, predictions, strict=True)
        if one.split == "groups" and _has_networks(file.parent, one)
    ]
    if not at_hand:
        return {}
    chosen = _chosen([one for _, one in at_hand])
    return {one.model: _pictures(folder, one, chosen, cells_root) for folder, one in at_hand}


def _has_networks(folder: Path, predictions: Predictions) -> bool:
    folds = set(predictions.fold.tolist())
    return all((fold_folder(folder, fold) / BEST).is_file() for fold in folds)


def _chosen(predictions: Sequence[Predictions]) -> list[int]:
    said = np.mean([one.margin(one.conditions[0]) for one in predictions], axis=0)
    chosen = []
    for is_blast in (True, False):
        cells = np.flatnonzero(predictions[0].is_blast == is_blast)
        cells = cells[np.argsort(said[cells], kind="stable")]
        places = [round(quantile * (len(cells) - 1)) for quantile in _QUANTILES]
        chosen += [int(cells[place]) for place in places]
    return chosen


def _pictures(
    folder: Path, predictions: Predictions, chosen: Sequence[int], cells_root: Path
) -> list[NDArray[np.uint8]]:
    import torch

    from trainer.models.classifier import load_classifier
    from trainer.models.efficientnet_lite import channels_first

    pictures = []
    for cell in chosen:
        graph = load_classifier(fold_folder(folder, int(predictions.fold[cell])) / BEST)
        side, visible = graph.geometry.size, graph.geometry.visible
        picture = read_picture_file(cells_root / str(predictions.file[cell]))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        first = (side - visible) // 2
        seen = np.ascontiguousarray(small[first : first + visible, first : first + visible])
        inputs = channels_first(torch.from_numpy(seen)[None])
        heats = [
            cv2.resize(hires_cam(graph.network, layer, inputs, _BLAST)[0], (visible, visible))
            for layer in graph.network.last_layers()
        ]
        heat = np.asarray(np.mean(heats, axis=0), np.float32)
        pictures.append(overlay(np.asarray(seen, np.uint8), heat))
    return pictures
