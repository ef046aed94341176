"""The stream of training frames is the same for a seed, and every rank gets its own part."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from trainer.data.field_augment import AugmentConfig, MarkedFrame
from trainer.data.field_frames import (
    EpochOrder,
    FramesConfig,
    TrainingFrames,
    TrainingSample,
    collate,
)
from trainer.data.fields import FieldRecord, FieldSet
from trainer.data.marking import NO_CELL
from trainer.training.parallel import Ranks

CONFIG = FramesConfig(
    height=64,
    width=96,
    coarse_height=32,
    coarse_width=64,
    coarse_fraction=0.34,
    repeats=(2,),
    plain_fraction=0.34,
    paste_probability=1.0,
)


@pytest.fixture
def field_set(tmp_path: Path) -> FieldSet:
    rng = np.random.default_rng(4)
    records = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        boxes = np.array([[10, 10, 50, 50]], dtype=np.float32)
        records.append(FieldRecord(path, 60, 80, boxes, np.array([1], dtype=np.int8)))
    return FieldSet("drawn", tuple(records))


def frames(field_set: FieldSet, **extra: object) -> TrainingFrames:
    return TrainingFrames([field_set], 3, CONFIG, AugmentConfig(), **extra)


def test_a_key_always_gives_the_same_frame(field_set: FieldSet) -> None:
    first, again = frames(field_set)[13], frames(field_set)[13]
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.boxes, again.boxes)


def test_another_epoch_gives_another_frame(field_set: FieldSet) -> None:
    stream = frames(field_set)
    assert len(stream) == 10  # five fields, each twice
    assert not torch.equal(stream[10].image, stream[20].image)


def test_the_first_epochs_are_coarse(field_set: FieldSet) -> None:
    stream = frames(field_set)
    assert stream[0].image.shape == (32, 64, 3)
    assert stream[10].image.shape == (64, 96, 3)


def test_cells_are_pasted_onto_published_fields(field_set: FieldSet) -> None:
    def paste(frame: MarkedFrame, rng: np.random.Generator) -> MarkedFrame:
        return frame._replace(
            boxes=np.array([[5, 5, 55, 55]], dtype=np.float32), kinds=np.zeros(1, dtype=np.int8)
        )

    kinds = torch.cat([frames(field_set, paste=paste)[key].kinds for key in range(20, 26)])
    assert len(kinds)
    assert (kinds == 0).all()


def test_rendered_fields_take_their_share(field_set: FieldSet) -> None:
    drawn = MarkedFrame(
        np.zeros((60, 80, 3), dtype=np.uint8),
        np.array([[5, 5, 55, 55]], dtype=np.float32),
        np.array([2], dtype=np.int8),
    )
    stream = TrainingFrames(
        [field_set],
        3,
        FramesConfig(repeats=(2,), render_probability=1.0),
        AugmentConfig(),
        render=lambda rng: drawn,
    )
    assert all((stream[key].kinds == 2).all() for key in range(4))


def test_repeats_must_name_every_set(field_set: FieldSet) -> None:
    with pytest.raises(ValueError, match="one number for each"):
        TrainingFrames([field_set, field_set], 3, CONFIG, AugmentConfig())


def test_ranks_share_every_frame_of_an_epoch_once() -> None:
    orders = [EpochOrder(103, 12, seed=1, ranks=Ranks(rank, 2)) for rank in range(2)]
    keys = []
    for order in orders:
        order.epoch = 4
        keys += list(order)
    assert len(keys) == len(set(keys)) == 96  # whole batches only
    assert all(4 * 103 <= key < 5 * 103 for key in keys)
    assert sum(len(order) for order in orders) == 96


def test_a_batch_must_divide_among_the_ranks() -> None:
    with pytest.raises(ValueError, match="cannot be shared"):
        EpochOrder(100, 9, seed=1, ranks=Ranks(0, 2))


def test_batches_are_padded_with_no_cell() -> None:
    full = TrainingSample(
        torch.zeros(4, 4, 3, dtype=torch.uint8), torch.ones(2, 4), torch.tensor([0, 2])
    )
    empty = TrainingSample(full.image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    batch = collate([full, empty])
    assert batch.images.shape == (2, 4, 4, 3)
    assert batch.kinds.tolist() == [[0, 2], [NO_CELL, NO_CELL]]
