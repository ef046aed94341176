"""Training cells just as the daemon will show them: what the committee is trained on.

Measured with frozen features, C-NMC's validation groups: a linear layer set on crops that were
turned by any angle, rescaled and degraded ranks cells on black at an AUROC of 0.79; set on crops
made by the daemon's own resizing, turned by right angles only, at 0.87. The spread of fine texture
is half of what it reads, and every interpolation takes some of it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edge_daemon.contract.terms import CLASSES
from trainer.classifier.config import ClassifierConfig
from trainer.data.cnmc import CellRecord
from trainer.data.device_crops import (
    Staining,
    crop_on_field,
    crops_of_blood,
    crops_on_black,
    crops_on_fields,
)
from trainer.data.fields import read_field_sets
from trainer.data.sampling import group_balanced
from trainer.data.smear_fields import (
    SmearField,
    real_fields,
    rendered_fields,
    rendered_nucleated_cells,
)
from trainer.data.training_crops import NORMAL


class ShownBatch(NamedTuple):
    """Some of the crops that a committee is shown."""

    pixels: Tensor
    """uint8 ``[B, S, S, 3]``."""
    labels: Tensor
    """int64 ``[B]``."""
    weights: Tensor
    """float32 ``[B]``."""
    cells: Tensor
    """int64 ``[B]``: which record it is, or :data:`NO_RECORD`."""


NO_RECORD = -1
"""Normal blood and rendered cells are no records of single cells."""
_CHUNK = 32
_FEW_FIELDS = 16
"""White cells of so many fields are one chunk."""


def shown_crops(config: ClassifierConfig, records: Sequence[CellRecord]) -> DataLoader[ShownBatch]:
    """Every cell ``config.shown_views`` times on black and as often on a training field.

    On a field, ``config.varied_views`` of them are in a varied stain, the others in the field's
    (:data:`trainer.data.device_crops.Staining`).

    White cells of normal blood are among them, as normal, and rendered cells on rendered fields.
    The weights of all batches add up to 1: patients count alike
    (:func:`trainer.data.sampling.group_balanced`), on black and on fields alike; normal blood and
    rendered cells for the shares that ``config.mix`` gives them.
    """
    return DataLoader(_Chunks(config, records), batch_size=None, num_workers=config.workers)


class _Chunks(Dataset[ShownBatch]):
    """Chunks of crops in a fixed order; each depends on the seed and its number alone."""

    def __init__(self, config: ClassifierConfig, records: Sequence[CellRecord]) -> None:
        self._config, self._records = config, records
        self._fields = real_fields(read_field_sets(config.data, "train"))
        labels = np.array([CLASSES.index(record.label) for record in records])
        groups = [record.group for record in records]
        mix, views = config.mix, config.shown_views
        share = (1 - mix.normal_blood - mix.rendered) / (2 * views)
        self._labels = labels
        self._weights = share * group_balanced(labels, groups, cap=mix.group_cap)
        white = sum(len(field.white_boxes) for field in self._fields)
        self._blood_weight = mix.normal_blood / max(1, white * views)
        self._drawn = rendered_nucleated_cells(config.rendered_cells, config.seed)
        self._drawn_fields = rendered_fields(config.rendered_fields, config.seed)
        self._drawn_weight = mix.rendered / max(1, len(self._drawn) * views)
        self._cell_chunks = -(-len(records) // _CHUNK)
        self._blood_chunks = -(-len(self._fields) // _FEW_FIELDS)

    def __len__(self) -> int:
        chunks = 2 * self._cell_chunks + self._blood_chunks + 1
        return chunks * self._config.shown_views

    def __getitem__(self, index: int) -> ShownBatch:
        import cv2

        cv2.setNumThreads(0)  # one worker is one core; OpenCV's own threads would fight torch's
        if index >= len(self):
            raise IndexError(index)
        rng = np.random.default_rng((self._config.seed, index))
        place, view = divmod(index, self._config.shown_views)
        cells = None
        if place < 2 * self._cell_chunks:
            chunk, on_field = divmod(place, 2)
            staining: Staining = "varied" if view < self._config.varied_views else "field"
            pixels, labels, weights = self._cells(chunk, staining if on_field else None, index)
            cells = chunk * _CHUNK + np.arange(len(labels), dtype=np.int64)
        elif place < 2 * self._cell_chunks + self._blood_chunks:
            pixels, labels, weights = self._blood(place - 2 * self._cell_chunks)
        else:
            pixels, labels, weights = self._rendered(rng)
        middle = self._middle(pixels)
        for place, crop in enumerate(middle):
            middle[place] = _turned(crop, rng)
        if cells is None:
            cells = np.full(len(labels), NO_RECORD, np.int64)
        return ShownBatch(
            torch.from_numpy(np.ascontiguousarray(middle)),
            torch.from_numpy(labels.astype(np.int64)),
            torch.from_numpy(weights.astype(np.float32)),
            torch.from_numpy(cells),
        )

    def _cells(
        self, chunk: int, staining: Staining | None, seed: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.integer], NDArray[np.floating]]:
        part = slice(chunk * _CHUNK, (chunk + 1) * _CHUNK)
        geometry, root = self._config.geometry, self._config.data / "cnmc2019"
        records = self._records[part]
        if staining is not None:
            crops = crops_on_fields(
                root,
                records,
                self._fields,
                crop_um=geometry.crop_um,
                size=geometry.size,
                seed=self._config.seed + seed,
                staining=staining,
            )
        else:
            crops = crops_on_black(root, records, geometry.size)
        return crops, self._labels[part], self._weights[part]

    def _blood(
        self, chunk: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.integer], NDArray[np.floating]]:
        geometry = self._config.geometry
        fields: Sequence[SmearField] = self._fields[chunk * _FEW_FIELDS : (chunk + 1) * _FEW_FIELDS]
        crops = crops_of_blood(fields, crop_um=geometry.crop_um, size=geometry.size)
        weights = np.full(len(crops), self._blood_weight)
        return crops, np.full(len(crops), NORMAL), weights

    def _rendered(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.integer], NDArray[np.floating]]:
        size, crop_um = self._config.geometry.size, self._config.geometry.crop_um
        crops = np.empty((len(self._drawn), size, size, 3), np.uint8)
        for crop, (_, cell) in zip(crops, self._drawn, strict=True):
            crop[:] = crop_on_field(
                cell, self._drawn_fields, rng, crop_um=crop_um, size=size, staining="own"
            )
        labels = np.array([CLASSES.index(label) for label, _ in self._drawn], np.int64)
        return crops, labels, np.full(len(crops), self._drawn_weight)

    def _middle(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        middle = self._config.geometry.middle
        return crops[:, middle, middle]


def _turned(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turned by a right angle and mirrored at random: no pixel changes."""
    crop = np.rot90(crop, int(rng.integers(4)))
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)
