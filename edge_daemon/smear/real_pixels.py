"""Real pixels for the virtual slide: cut-out C-NMC cells on a mosaic of real smear frames.

This is the nearest thing to a leukaemic slide whose every white cell is known: real blasts and
real normal precursors (C-NMC 2019, cut out on black) at known places, on real background (BCCD,
TXL-PBC) whose own white cells were taken out. Red cells and platelets of the background are real
too, but nobody annotated all of them; hence the truth is exact for white cells only.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.contract.terms import CLASSES, CellClass, CellKind
from edge_daemon.errors import DataError
from edge_daemon.smear.composite import (
    CNMC_UM_PER_PX,
    CutOutCell,
    cut_out,
    holds_second_body,
    paste,
)
from edge_daemon.smear.mosaic import Mosaic
from edge_daemon.smear.sprite import Picture, Sprite

_LABELS: dict[str, CellClass] = {
    "all": "blast",
    "blast": "blast",
    "hem": "normal",
    "normal": "normal",
}
_SUFFIXES = frozenset({".webp", ".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff"})
_REACH_UM = 5.4
"""Half the diameter of a large C-NMC cell at its nominal scale."""
_USUAL_WIDTH_UM = 500.0
"""A scan of 200 fields is some 400 um wide."""


def open_real_pixels(
    cells: str,
    backgrounds: str,
    split: str | None,
    seed: int,
    um_per_px: float,
    width_um: float = _USUAL_WIDTH_UM,
) -> RealPixelAtlas:
    """The atlas of two folders, for one slide ``width_um`` wide.

    Raises:
        DataError: a folder is missing, or holds nothing that can be used.
    """
    return RealPixelAtlas(
        list_cells(Path(cells).expanduser(), split),
        Mosaic(Path(backgrounds).expanduser(), seed, um_per_px, width_um),
        um_per_px,
    )


def list_cells(folder: Path, split: str | None = None) -> dict[CellClass, list[Path]]:
    """Pictures of single cells by class, in a fixed order.

    With a ``manifest.csv`` (columns ``file``, ``label``, and ``split`` if a split is asked for)
    its labels count; without one the subfolders ``all`` and ``hem`` (or ``blast``, ``normal``).

    Raises:
        DataError: no such folder, no such split, or no labelled cell.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of cells: check the path")
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        found = _from_manifest(manifest, split)
    elif split is not None:
        raise DataError(f"{folder}: no manifest.csv, so nothing is known about split={split}")
    else:
        found = _from_subfolders(folder)
    if not any(found.values()):
        wanted = f" of split {split}" if split else ""
        raise DataError(
            f"{folder}: no labelled cell{wanted}: manifest.csv, or subfolders all/ and hem/, say "
            "what each picture shows"
        )
    return found


def _from_manifest(manifest: Path, split: str | None) -> dict[CellClass, list[Path]]:
    found: dict[CellClass, list[Path]] = {label: [] for label in CLASSES}
    with manifest.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        needed = {"file", "label"} | ({"split"} if split else set())
        missing = needed - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{manifest}: no column {', '.join(sorted(missing))} in it")
        for row in reader:
            label = _LABELS.get(row["label"].strip().lower())
            if label is not None and (split is None or row["split"] == split):
                found[label].append(manifest.parent / row["file"])
    return {label: sorted(paths) for label, paths in found.items()}


def _from_subfolders(folder: Path) -> dict[CellClass, list[Path]]:
    found: dict[CellClass, list[Path]] = {label: [] for label in CLASSES}
    for path in sorted(folder.rglob("*")):
        label = _LABELS.get(path.parent.name.lower())
        if label is not None and path.suffix.lower() in _SUFFIXES:
            found[label].append(path)
    return found


class RealPixelAtlas:
    """Breeds are the two classes of cut-out cells; red cells and platelets lie in the background.

    The cells are brought to the scale of the slide and stained like the nuclei of the mosaic's
    reference frame. A picture that holds more than one cell would be two in the field and one in
    the truth: the next of its class that holds one stands in for it.
    """

    exact_kinds: tuple[CellKind, ...] = ("wbc",)

    def __init__(
        self, cells: dict[CellClass, list[Path]], mosaic: Mosaic, um_per_px: float
    ) -> None:
        self.um_per_px = um_per_px
        self._cells = cells
        self._mosaic = mosaic
        self._kept = lru_cache(maxsize=96)(self._cut)

    def breeds(self, kind: CellKind, label: CellClass | None) -> dict[str, float]:
        """See :class:`~edge_daemon.smear.atlas.Atlas`."""
        if kind != "wbc" or label is None or not self._cells[label]:
            return {}
        return {label: 1.0}

    def variants(self, breed: str) -> int:
        """How many pictures there are of a class."""
        return len(self._paths(breed))

    def reach_um(self, breed: str) -> float:  # noqa: ARG002 - both classes overlap in size
        """See :class:`~edge_daemon.smear.atlas.Atlas`."""
        return _REACH_UM

    def sprite(self, breed: str, variant: int, orientation: int) -> Sprite:
        """See :class:`~edge_daemon.smear.atlas.Atlas`.

        Raises:
            DataError: the picture of the cell cannot be read, or holds no cell.
        """
        return self._kept(breed, variant).oriented(orientation)

    def background(self, x_px: int, y_px: int, width_px: int, height_px: int) -> Picture:
        """See :class:`~edge_daemon.smear.atlas.Atlas`."""
        return self._mosaic.window(x_px, y_px, width_px, height_px)

    def crowding(self, x_px: int, y_px: int, radius_px: int) -> float:
        """See :class:`~edge_daemon.smear.atlas.Atlas`."""
        return self._mosaic.crowding(x_px, y_px, radius_px)

    def _paths(self, breed: str) -> list[Path]:
        return next(paths for label, paths in self._cells.items() if label == breed)

    def _cut(self, breed: str, variant: int) -> Sprite:
        paths = self._paths(breed)
        cells = (_read_cell(paths[(variant + step) % len(paths)]) for step in range(len(paths)))
        alone = (cell for cell in cells if not holds_second_body(cell))
        cell = next(alone, None)
        return self._sprite(_read_cell(paths[variant]) if cell is None else cell)

    def _sprite(self, cell: CutOutCell) -> Sprite:
        """The cell as light sees it, read off by pasting it on black and on white."""
        scale = CNMC_UM_PER_PX / self.um_per_px
        side = int(max(cell.alpha.shape) * scale) + 16
        pasted = []
        for shade in (0, 255):
            canvas = np.full((side, side, 3), shade, np.uint8)
            centre = (side / 2, side / 2)
            paste(canvas, cell, centre, self.um_per_px, stain=self._mosaic.stain)
            pasted.append(canvas)
        gain = np.asarray(cv2.subtract(pasted[1], pasted[0]), np.uint8)
        return Sprite(gain, pasted[0], gain[..., 0] < 128).trimmed()


def _read_cell(path: Path) -> CutOutCell:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{path}: cannot be read as a picture: copy it again")
    try:
        return cut_out(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
