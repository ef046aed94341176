"""The stream of training frames of the detector, drawn anew in every epoch.

Three kinds are mixed: published fields (varied), published fields onto which cut-out leukaemic and
normal precursor cells are pasted as ``wbc`` (BCCD and TXL-PBC hold normal blood only, and blasts
must be found), and rendered fields of the virtual slide (so that the demo needs no real pixels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from trainer.data.field_augment import AugmentConfig, MarkedFrame, mosaic, photometric, single
from trainer.data.fields import FieldSet
from trainer.data.marking import NO_CELL, with_unmarked_region
from trainer.training.parallel import Ranks

Paste: TypeAlias = Callable[[MarkedFrame, np.random.Generator], MarkedFrame]
"""Puts cut-out cells onto a frame."""
Render: TypeAlias = Callable[[np.random.Generator], MarkedFrame]
"""Makes a frame from nothing."""


class TrainingSample(NamedTuple):
    """One training frame as tensors."""

    image: Tensor
    """uint8 ``[H, W, 3]``."""
    boxes: Tensor
    """float32 ``[N, 4]``."""
    kinds: Tensor
    """int64 ``[N]``."""


class TrainingBatch(NamedTuple):
    """Samples laid together; rows of ``boxes`` beyond a frame's cells have kind ``NO_CELL``."""

    images: Tensor
    boxes: Tensor
    kinds: Tensor


@dataclass(frozen=True)
class FramesConfig:
    """What an epoch is made of."""

    height: int = 320
    width: int = 416
    coarse_height: int = 256
    coarse_width: int = 320
    coarse_fraction: float = 0.5
    """Share of the epochs, from the first one on, that are shown at a coarser scale: 1.6 times as
    many frames a second."""
    repeats: tuple[int, ...] = (3, 1)
    """How often each field set is shown per epoch: BCCD is the smaller one."""
    paste_probability: float = 0.3
    """Share of the published fields that get cut-out cells pasted on."""
    render_probability: float = 0.06
    """Share of frames that are rendered instead of published."""
    plain_fraction: float = 0.4
    """Share of the epochs, up to the last one, without mosaics and strong scaling: whole fields,
    as the camera sees them."""
    seed: int = 20


class TrainingFrames(Dataset[TrainingSample]):
    """Frame ``epoch * len(self) + index`` is the same for one seed in every process.

    All published pictures are held in memory (about 0.7 GB for the two sets), shared with the
    loader's worker.
    """

    def __init__(
        self,
        field_sets: Sequence[FieldSet],
        epochs: int,
        config: FramesConfig,
        augment: AugmentConfig,
        paste: Paste | None = None,
        render: Render | None = None,
    ) -> None:
        if len(config.repeats) != len(field_sets):
            raise ValueError("repeats needs one number for each field set")
        self._config = config
        self._augment = augment
        self._paste = paste
        self._render = render
        self._coarse_until_epoch = round(epochs * config.coarse_fraction)
        self._plain_from_epoch = epochs - round(epochs * config.plain_fraction)
        self._frames: list[MarkedFrame] = []
        self._order: list[int] = []
        for field_set, repeats in zip(field_sets, config.repeats, strict=True):
            first = len(self._frames)
            for record in field_set.records:
                pixels = record.read()
                marks = with_unmarked_region(pixels, record.boxes, record.kinds)
                self._frames.append(MarkedFrame(pixels, *marks))
            self._order += list(range(first, len(self._frames))) * repeats

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, key: int) -> TrainingSample:
        epoch, index = divmod(key, len(self))
        rng = np.random.default_rng((self._config.seed, epoch, index))
        frame = self._make(epoch, index, rng)
        pixels = photometric(frame.pixels, self._augment, rng)
        return TrainingSample(
            torch.from_numpy(pixels),
            torch.from_numpy(frame.boxes),
            torch.from_numpy(frame.kinds.astype(np.int64)),
        )

    def _make(self, epoch: int, index: int, rng: np.random.Generator) -> MarkedFrame:
        size = (self._config.height, self._config.width)
        if epoch < self._coarse_until_epoch:
            size = (self._config.coarse_height, self._config.coarse_width)
        plain = epoch >= self._plain_from_epoch
        scales = self._augment.plain_scale_range if plain else self._augment.scale_range
        if self._render is not None and rng.random() < self._config.render_probability:
            return single(self._render(rng), *size, scales, rng)
        first = self._published(self._order[index], rng)
        if not plain and rng.random() < self._augment.mosaic_probability:
            others = [self._published(int(i), rng) for i in rng.choice(self._order, 3)]
            return mosaic([first, *others], *size, self._augment, rng)
        return single(first, *size, scales, rng)

    def _published(self, index: int, rng: np.random.Generator) -> MarkedFrame:
        frame = self._frames[index]
        if self._paste is not None and rng.random() < self._config.paste_probability:
            return self._paste(frame, rng)
        return frame


class EpochOrder(Sampler[int]):
    """A shuffled order for each epoch, known from the seed alone; yields keys of the dataset.

    Of every whole batch of ``batch`` frames, each rank of ``ranks`` gets its own part.
    """

    def __init__(self, length: int, batch: int, seed: int, ranks: Ranks) -> None:
        if batch % ranks.world:
            raise ValueError(f"a batch of {batch} cannot be shared by {ranks.world} ranks")
        self._length = length
        self._whole = length - length % batch
        self._seed = seed
        self._ranks = ranks
        self.epoch = 0

    def __len__(self) -> int:
        return self._whole // self._ranks.world

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._length)
        own = order[self._ranks.rank : self._whole : self._ranks.world]
        return iter((own + self.epoch * self._length).tolist())


def collate(samples: Sequence[TrainingSample]) -> TrainingBatch:
    """Pad the truths of a batch to its fullest frame."""
    most = max(len(sample.kinds) for sample in samples)
    boxes = torch.zeros(len(samples), most, 4)
    kinds = torch.full((len(samples), most), NO_CELL)
    for row, sample in enumerate(samples):
        boxes[row, : len(sample.kinds)] = sample.boxes
        kinds[row, : len(sample.kinds)] = sample.kinds
    return TrainingBatch(torch.stack([sample.image for sample in samples]), boxes, kinds)


def start_worker(_worker: int) -> None:
    """A loader's worker keeps to one core: the network needs the others."""
    torch.set_num_threads(1)
