"""Crops for the classifier: cells on black, on real smear, rendered, and normal blood's own.

A published cell is cut out on black; the camera shows it among red cells. Training draws both
kinds of each cell, at a scale that strays as far as an estimated one does, so that the network has
nothing but the cell to go by. Evaluation composites once, without augmentation, onto fields that
training never saw, and crops as the daemon does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import CLASSES
from edge_daemon.smear.composite import (
    WRIGHT_GIEMSA,
    CutOutCell,
    Stain,
    cell_mask,
    cut_out,
    paste,
)
from edge_daemon.vision.crops import crop_cells
from trainer.data.cell_augment import AugmentStrength, degrade, recolour, view
from trainer.data.cnmc import UM_PER_PX, CellRecord, read_picture, read_picture_file
from trainer.data.sampling import area_balanced, group_balanced
from trainer.data.smear_fields import SmearField, free_centres

BANK_PX = 225
"""Side of the pictures kept in memory: half of the published side, still finer than the crop."""
BANK_UM_PER_PX = UM_PER_PX * 450 / BANK_PX

WHOLE_CELL_UM = 8.0
"""A cell pasted at least this far from the edge of a field is wholly inside."""

OTHER_STAIN = 0.3
"""Share of the pasted cells that are given the stain of another field: labels must not follow the
dye."""
FEATHER_PX = (0.5, 1.2)
"""How soft the edge of a pasted cell is made, in pixels of the field."""

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


Staining: TypeAlias = Literal["field", "varied", "own"]
"""Of a cell on a field: in the dye of the field's nuclei, as far as a composite ever moves it; some
part of the way to the dye of any field; or as it came. A committee that was shown the first alone
ranks the last at an AUROC of 0.81, one that was shown the second as well at 0.86 (decision 15)."""

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
        self._stains = [f.stain for f in self.fields if f.stain is not None]
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
        """The field's own stain mostly, else another field's."""
        stain = (
            on.stain
            if rng.random() < 1 - OTHER_STAIN
            else self._stains[rng.integers(len(self._stains))]
        )
        stain = stain or WRIGHT_GIEMSA
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
            feather_px=float(rng.uniform(*FEATHER_PX)),
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


def crops_on_black(root: Path, records: Sequence[CellRecord], size: int) -> NDArray[np.uint8]:
    """Pictures of single cells as the daemon resizes them, uint8 ``[N, size, size, 3]``."""
    crops = np.empty((len(records), size, size, 3), np.uint8)
    for crop, record in zip(crops, records, strict=True):
        crop[:] = _on_black(root / record.file, size)
    return crops


def crops_on_fields(
    root: Path,
    records: Sequence[CellRecord],
    fields: Sequence[SmearField],
    *,
    crop_um: float,
    size: int,
    seed: int,
    staining: Staining = "field",
) -> NDArray[np.uint8]:
    """The same cells pasted onto whole ``fields`` and cropped as the daemon crops."""
    rng = np.random.default_rng(seed)
    crops = np.empty((len(records), size, size, 3), np.uint8)
    for crop, record in zip(crops, records, strict=True):
        cell = _cut_out(root / record.file)
        crop[:] = crop_on_field(cell, fields, rng, crop_um=crop_um, size=size, staining=staining)
    return crops


# The same few cells are shown several times in a row, on black and on fields. Decoding a picture
# and cutting the cell out of it takes longer than all that is done with it afterwards.


@lru_cache(maxsize=64)
def _picture(path: Path) -> NDArray[np.uint8]:
    return read_picture_file(path)


@lru_cache(maxsize=64)
def _on_black(path: Path, size: int) -> NDArray[np.uint8]:
    picture = cv2.resize(_picture(path), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)


@lru_cache(maxsize=64)
def _cut_out(path: Path) -> CutOutCell:
    return cut_out(_picture(path), UM_PER_PX)


def crop_on_field(
    cell: CutOutCell,
    fields: Sequence[SmearField],
    rng: np.random.Generator,
    *,
    crop_um: float,
    size: int,
    staining: Staining = "field",
) -> NDArray[np.uint8]:
    """One cell pasted onto one of ``fields``, cropped as the daemon crops: ``[size, size, 3]``."""
    centres = np.empty((0, 2))
    while not len(centres):
        on = fields[int(rng.integers(len(fields)))]
        centres = free_centres(on, rng, 1, margin_um=WHOLE_CELL_UM)
    frame = on.rgb.copy()
    x, y = centres[0]
    turned = float(rng.uniform(0, 360))
    dye = _dye(staining, on, fields, rng)
    box = paste(
        frame,
        cell,
        (float(x), float(y)),
        on.um_per_px,
        rotation_deg=turned,
        stain=dye.stain,
        stain_strength=dye.strength,
        feather_px=dye.feather_px,
    )
    crop: NDArray[np.uint8] = crop_cells(frame, box[None], on.um_per_px, crop_um, size)[0]
    return crop


class _Dye(NamedTuple):
    stain: Stain | None
    strength: float = 0.8
    feather_px: float = 0.7


def _dye(
    staining: Staining, on: SmearField, fields: Sequence[SmearField], rng: np.random.Generator
) -> _Dye:
    if staining == "own":
        return _Dye(None)
    if staining == "field":
        return _Dye(on.stain or WRIGHT_GIEMSA)
    if rng.random() < OTHER_STAIN:
        on = fields[int(rng.integers(len(fields)))]
    return _Dye(on.stain or WRIGHT_GIEMSA, rng.uniform(0, 1), rng.uniform(*FEATHER_PX))


def crops_of_blood(fields: Sequence[SmearField], *, crop_um: float, size: int) -> NDArray[np.uint8]:
    """The fields' own white cells, all normal, as the daemon crops them."""
    crops = [crop_cells(f.rgb, f.white_boxes, f.um_per_px, crop_um, size) for f in fields]
    return np.concatenate(crops)
