"""Leukaemic cells for the detector: cut-out C-NMC cells pasted onto published fields as ``wbc``.

No public set of whole fields here shows blasts, and a detector that never saw one may pass over
it. The field's own red cells give the scale and its own nuclei the stain; the pasted cell takes a
free place or covers red cells, as on a smear, and never a white cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.contract.terms import CLASSES, KINDS
from edge_daemon.smear.composite import (
    WRIGHT_GIEMSA,
    CutOutCell,
    Stain,
    cut_out,
    paste,
    stain_of_nuclei,
)
from edge_daemon.vision.scale import estimate_um_per_px
from trainer.data.boxes import overlaps
from trainer.data.cnmc import Split, of_split, read_manifest, read_picture
from trainer.data.field_augment import MarkedFrame

_WBC = KINDS.index("wbc")
_STORED_UM_PER_PX = 0.088
"""Cells are held at half of their published size: training frames show 0.05 to 0.2 um/px."""


@dataclass(frozen=True)
class PasteConfig:
    """How cells are pasted."""

    most_cells: int = 3
    magnify_range: tuple[float, float] = (0.8, 1.3)
    """The nominal scale of C-NMC is not exact, and blasts differ in size."""
    stain_strength: tuple[float, float] = (0.3, 1.0)
    feather_px: tuple[float, float] = (0.5, 1.2)
    attempts: int = 12
    """Random places tried for each cell before it is left out."""


class PastedCells:
    """Pastes cells of one split onto frames; the pasted ones come last in the truth."""

    def __init__(self, cells: Sequence[CutOutCell], config: PasteConfig | None = None) -> None:
        if not cells:
            raise ValueError("there is no cell to paste")
        self._cells = tuple(cells)
        self._config = config or PasteConfig()

    def __call__(self, frame: MarkedFrame, rng: np.random.Generator) -> MarkedFrame:
        """A copy of ``frame`` with cells pasted on; the frame itself if its scale is unknown."""
        return self.pasted(frame, rng)[0]

    def pasted(self, frame: MarkedFrame, rng: np.random.Generator) -> tuple[MarkedFrame, int]:
        """Like a call, and how many cells were pasted."""
        height, width = frame.pixels.shape[:2]
        um_per_px = estimate_um_per_px(
            frame.boxes[frame.kinds == KINDS.index("rbc")], (height, width)
        )
        if um_per_px is None:
            return frame, 0
        pixels = frame.pixels.copy()
        boxes, kinds = frame.boxes, frame.kinds
        stain = self._stain(frame, rng)
        count = 0
        for _ in range(rng.integers(1, self._config.most_cells + 1)):
            cell = self._cells[rng.integers(len(self._cells))]
            magnify = float(rng.uniform(*self._config.magnify_range))
            side = np.sqrt(cell.area_um2) / um_per_px * magnify
            place = self._free_place(side, height, width, boxes[kinds == _WBC], rng)
            if place is None:
                continue
            box = paste(
                pixels,
                cell,
                place,
                um_per_px,
                rotation_deg=float(rng.uniform(0, 360)),
                flip=bool(rng.random() < 0.5),
                magnify=magnify,
                stain=stain,
                stain_strength=float(rng.uniform(*self._config.stain_strength)),
                feather_px=float(rng.uniform(*self._config.feather_px)),
            )
            if (box[2:] - box[:2]).min() < side / 3:
                continue
            hidden = _covered_fraction(boxes, box) > 0.6
            boxes = np.concatenate([boxes[~hidden], box[None]])
            kinds = np.append(kinds[~hidden], np.int8(_WBC))
            count += 1
        return MarkedFrame(pixels, boxes.astype(np.float32), kinds.astype(np.int8)), count

    def _stain(self, frame: MarkedFrame, rng: np.random.Generator) -> Stain | None:
        choice = rng.random()
        if choice < 0.7:
            own = stain_of_nuclei(frame.pixels, frame.boxes[frame.kinds == _WBC])
            return own or WRIGHT_GIEMSA
        return WRIGHT_GIEMSA if choice < 0.9 else None

    def _free_place(
        self,
        side: float,
        height: int,
        width: int,
        white_cells: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[float, float] | None:
        """A centre where a cell of ``side`` px touches no white cell; it may cross the edge."""
        for _ in range(self._config.attempts):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            half = side * 0.6
            box = np.array([[x - half, y - half, x + half, y + half]], dtype=np.float32)
            if not len(white_cells) or overlaps(box, white_cells).max() < 0.02:
                return float(x), float(y)
        return None


def read_cut_out_cells(
    cnmc: Path, split: Split, count: int, rng: np.random.Generator
) -> tuple[CutOutCell, ...]:
    """``count`` cells of a split of C-NMC, as many blasts as normal ones, ready to paste.

    A picture in which no cell is found is passed over. Raises :class:`DataError` when the set is
    missing.
    """
    records = of_split(read_manifest(cnmc), split)
    chosen = []
    for label in CLASSES:
        of_label = [record for record in records if record.label == label]
        share = min(count // len(CLASSES), len(of_label))
        chosen += [of_label[i] for i in rng.choice(len(of_label), share, replace=False)]
    cells = []
    for record in chosen:
        try:
            cell = cut_out(read_picture(cnmc, record))
        except ValueError:
            continue
        cells.append(_shrunk(cell, _STORED_UM_PER_PX))
    return tuple(cells)


def _shrunk(cell: CutOutCell, um_per_px: float) -> CutOutCell:
    scale = cell.um_per_px / um_per_px
    height, width = cell.alpha.shape
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return replace(
        cell,
        rgb=np.asarray(cv2.resize(cell.rgb, size, interpolation=cv2.INTER_AREA), np.uint8),
        alpha=np.asarray(cv2.resize(cell.alpha, size, interpolation=cv2.INTER_AREA), np.float32),
        um_per_px=um_per_px,
    )


def _covered_fraction(boxes: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """How much of each box lies under ``cover``, 0..1."""
    low = np.maximum(boxes[:, :2], cover[:2])
    high = np.minimum(boxes[:, 2:], cover[2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    return shared / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6)
