"""A stream of augmented crops: cells on black, on real smear, rendered, and normal blood's own.

Training draws a cell on black and among red cells, at a scale that strays as far as an estimated
one does, so that the network has nothing but the cell to go by. What is measured is made without
augmentation: :mod:`trainer.data.device_crops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import CLASSES
from edge_daemon.smear.composite import (
    CutOutCell,
    Stain,
    cell_mask,
    cut_out,
    paste,
)
from edge_daemon.vision.crops import crop_cells
from trainer.data.cell_augment import AugmentStrength, degrade, recolour, view
from trainer.data.cnmc import UM_PER_PX, CellRecord, read_picture
from trainer.data.sampling import area_balanced, group_balanced
from trainer.data.smear_fields import SmearField, free_centres, likely_stain, stains_of

BANK_PX = 225
"""Side of the pictures kept in memory: half of the published side, still finer than the crop."""
BANK_UM_PER_PX = UM_PER_PX * 450 / BANK_PX

UNKNOWN = -1.0
"""Value of a mask where nobody has outlined the cell."""

BLAST, NORMAL = CLASSES.index("blast"), CLASSES.index("normal")


@dataclass(frozen=True, eq=False)
class Cell:
    """One training cell, decoded once: the picture on black and the cell cut out of it."""

    label: int
    group: str
    on_black: NDArray[np.uint8] | None
    """uint8 ``[BANK_PX, BANK_PX, 4]``: RGB, and 255 where the cell itself is; ``None`` for a
    rendered cell."""
    cut_out: CutOutCell


class TrainingCrop(NamedTuple):
    """What the network is shown, and what it shall say."""

    pixels: NDArray[np.uint8]
    """uint8 ``[side_px, side_px, 3]``, RGB."""
    mask: NDArray[np.float32]
    """float32 ``[side_px, side_px]``: share of the cell in each pixel, or ``UNKNOWN``."""
    label: int
    """Index into ``CLASSES``."""


CropAndMask: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.float32]]
Pixel = TypeVar("Pixel", np.uint8, np.float32)


@dataclass(frozen=True)
class CropMix:
    """Shares of the sources of training crops; what is left of 1 are C-NMC cells on black."""

    composited: float = 0.50
    rendered: float = 0.06
    normal_blood: float = 0.08
    neighbour_probability: float = 0.25
    """Share of composited crops with a second nucleated cell beside the one in the middle."""
    scale_jitter: float = 0.02
    """A scale estimated from red cells strays about this far (uniform, relative)."""
    group_cap: int = 80
    """Groups with at least this many cells are drawn equally often within their class."""
    area_balance: float = 0.0
    """How far the classes' areas are made alike, 0 to 1 (see :mod:`trainer.data.sampling`). At 0.7
    the network made so little of size that adding the area to its answer raised AUROC by 0.02."""
    strength: AugmentStrength = field(default_factory=AugmentStrength)


def read_cells(root: Path, records: Sequence[CellRecord]) -> list[Cell]:
    """Decode every record once, at ``BANK_PX``."""
    cells = []
    for record in records:
        picture = cv2.resize(
            read_picture(root, record), (BANK_PX, BANK_PX), interpolation=cv2.INTER_AREA
        )
        rgb = np.asarray(picture, np.uint8)
        mask = cell_mask(rgb, erode_px=1) * np.uint8(255)
        solid = cut_out(rgb, BANK_UM_PER_PX, erode_px=1)
        on_black = np.dstack([rgb, mask])
        cells.append(Cell(CLASSES.index(record.label), record.group, on_black, solid))
    return cells


class TrainingCrops:
    """Draws augmented training crops; the ``n``-th crop of an epoch depends on the seed alone."""

    def __init__(
        self,
        cells: Sequence[Cell],
        fields: Sequence[SmearField],
        rendered_cells: Sequence[Cell],
        rendered_fields: Sequence[SmearField],
        *,
        side_px: int,
        um_per_px: float,
        mix: CropMix,
        seed: int,
    ) -> None:
        self.cells, self.fields = list(cells), list(fields)
        self.rendered_cells, self.rendered_fields = list(rendered_cells), list(rendered_fields)
        self.side_px, self.um_per_px, self.mix, self.seed = side_px, um_per_px, mix, seed
        labels = np.array([cell.label for cell in self.cells])
        weights = group_balanced(labels, [cell.group for cell in self.cells], cap=mix.group_cap)
        area_um2 = np.array([cell.cut_out.area_um2 for cell in self.cells])
        weights = area_balanced(weights, labels, area_um2, strength=mix.area_balance)
        self._cumulative = np.cumsum(weights)
        self._stains = stains_of(self.fields)
        rng = np.random.default_rng(seed)
        self._centres = {
            id(f): free_centres(f, rng, 64) for f in (*self.fields, *self.rendered_fields)
        }
        self._fields = [f for f in self.fields if len(self._centres[id(f)])]
        self._blood = [(f, box) for f in self.fields for box in f.white_boxes]

    def draw(self, epoch: int, index: int) -> TrainingCrop:
        """The crop ``index`` of an epoch."""
        rng = np.random.default_rng((self.seed, epoch, index))
        mix, dice = self.mix, rng.random()
        if dice < mix.normal_blood and self._blood:
            crop, mask, label = *self._normal_blood(rng), NORMAL
        elif dice < mix.normal_blood + mix.rendered and self.rendered_cells:
            cell = self.rendered_cells[rng.integers(len(self.rendered_cells))]
            on = self.rendered_fields if rng.random() < 0.8 else self._fields
            on_field = on[rng.integers(len(on))]
            crop, mask, label = *self._composited(cell, on_field, rng, None), cell.label
        elif dice < mix.normal_blood + mix.rendered + mix.composited:
            cell = self._any_cell(rng)
            on_field = self._fields[rng.integers(len(self._fields))]
            stain = self._stain(on_field, rng)
            crop, mask, label = *self._composited(cell, on_field, rng, stain), cell.label
        else:
            cell = self._any_cell(rng)
            return TrainingCrop(*self._on_black(cell, rng), cell.label)
        crop = recolour(crop, rng, mix.strength)
        return TrainingCrop(degrade(crop, rng, mix.strength), mask, label)

    def _any_cell(self, rng: np.random.Generator) -> Cell:
        index = int(np.searchsorted(self._cumulative, rng.random()))
        return self.cells[min(index, len(self.cells) - 1)]

    def _stain(self, on: SmearField, rng: np.random.Generator) -> Stain:
        """One that a slide of this field's could have: it differs from cell to cell."""
        stain = likely_stain(on, self._stains, rng)
        mean, std = np.array(stain.mean), np.array(stain.std)
        mean, std = mean + rng.normal(0, 3, 3), std * np.exp(rng.normal(0, 0.15, 3))
        return Stain((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))

    def _on_black(self, cell: Cell, rng: np.random.Generator) -> CropAndMask:
        if cell.on_black is None:
            raise ValueError("a rendered cell has no picture on black")
        zoom = BANK_UM_PER_PX / self.um_per_px
        jitter = self.mix.scale_jitter
        seen = view(cell.on_black, rng, zoom=zoom, side_px=self.side_px, zoom_jitter=jitter)
        crop, mask = (
            np.ascontiguousarray(seen[..., :3]),
            seen[..., 3].astype(np.float32) / np.float32(255),
        )
        red, green, blue = cv2.split(crop)
        outside = (cv2.max(cv2.max(red, green), blue) < 8)[..., None]
        crop = recolour(crop, rng, self.mix.strength)
        crop = np.where(outside, np.uint8(0), crop)
        return degrade(crop, rng, self.mix.strength), mask

    def _composited(
        self, cell: Cell, on: SmearField, rng: np.random.Generator, stain: Stain | None
    ) -> CropAndMask:
        centres = self._centres[id(on)]
        centre = centres[rng.integers(len(centres))]
        patch = self._patch(on, centre, rng)
        um_per_px = self._patch_um / patch.shape[0]
        middle = patch.shape[0] / 2
        if rng.random() < self.mix.neighbour_probability and stain is not None:
            angle, away_um = rng.uniform(0, 2 * np.pi), rng.uniform(7.5, 11)
            beside = middle + away_um / um_per_px * np.array([np.cos(angle), np.sin(angle)])
            self._paste(patch, self._any_cell(rng), beside, um_per_px, rng, stain)
        place = middle + rng.uniform(-0.6, 0.6, 2) / um_per_px
        mask = np.zeros(patch.shape[:2], np.float32)
        self._paste(patch, cell, place, um_per_px, rng, stain, mask)
        return self._resized(patch), self._resized(mask)

    def _paste(
        self,
        patch: NDArray[np.uint8],
        cell: Cell,
        place: NDArray[np.float64],
        um_per_px: float,
        rng: np.random.Generator,
        stain: Stain | None,
        mask: NDArray[np.float32] | None = None,
    ) -> None:
        paste(
            patch,
            cell.cut_out,
            (float(place[0]), float(place[1])),
            um_per_px,
            rotation_deg=float(rng.uniform(0, 360)),
            flip=bool(rng.random() < 0.5),
            stain=stain,
            stain_strength=float(rng.uniform(0.0, 1.0)),
            feather_px=float(rng.uniform(0.5, 1.2)),
            coverage=mask,
        )

    def _normal_blood(self, rng: np.random.Generator) -> CropAndMask:
        """A white cell of a normal smear as it stands, its outline unknown."""
        on, box = self._blood[rng.integers(len(self._blood))]
        centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.6, 0.6, 2) / on.um_per_px
        crop = self._resized(self._patch(on, centre, rng))
        return crop, np.full(crop.shape[:2], UNKNOWN, np.float32)

    def _patch(
        self, on: SmearField, centre: NDArray[np.floating], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """The square that the crop will show, at the field's own resolution, mirrored at random.

        Its side strays by the error of an estimated scale, for cell and neighbours alike.
        """
        jitter = rng.uniform(1 - self.mix.scale_jitter, 1 + self.mix.scale_jitter)
        self._patch_um = self.side_px * self.um_per_px * jitter
        side_px = round(self._patch_um / on.um_per_px)
        box = np.array([[*centre, *centre]])
        patch = crop_cells(on.rgb, box, 1.0, side_px, side_px)[0]
        if rng.random() < 0.5:
            patch = patch[::-1]
        if rng.random() < 0.5:
            patch = patch.transpose(1, 0, 2)
        return np.ascontiguousarray(patch)

    def _resized(self, patch: NDArray[Pixel]) -> NDArray[Pixel]:
        shrinks = patch.shape[0] > self.side_px
        flags = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        size = (self.side_px, self.side_px)
        return np.asarray(cv2.resize(patch, size, interpolation=flags), patch.dtype)
