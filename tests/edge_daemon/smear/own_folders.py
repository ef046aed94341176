"""Folders like those of the published sets, filled with drawn pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_daemon.smear.composite import CNMC_UM_PER_PX
from edge_daemon.smear.render import render_cell
from edge_daemon.smear.slide import VirtualSlide
from edge_daemon.smear.sprite import Picture

_YOLO = {"wbc": 0, "rbc": 1, "platelet": 2}


def write_rgb(path: Path, pixels: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def write_backgrounds(folder: Path, count: int = 3) -> Path:
    """Annotated frames of 640x480 px as TXL-PBC lays them out."""
    slide = VirtualSlide(21, 200.0, 150.0)
    (folder / "labels").mkdir(parents=True)
    for index in range(count):
        pixels, truth = slide.render_field(10.0 + 45 * index, 20.0 + 20 * index)
        write_rgb(folder / "images" / f"{index}.png", pixels)
        lines = []
        for (x0, y0, x1, y1), kind in zip(truth.boxes, truth.kinds, strict=True):
            centre = f"{(x0 + x1) / 2 / 640} {(y0 + y1) / 2 / 480}"
            lines.append(f"{_YOLO[kind]} {centre} {(x1 - x0) / 640} {(y1 - y0) / 480}")
        (folder / "labels" / f"{index}.txt").write_text("\n".join(lines))
    return folder


def write_cells(folder: Path, count: int = 4) -> Path:
    """Single cells on black, 450x450 px, in the subfolders ``all`` and ``hem``."""
    for index in range(count):
        for name, species in (("all", "blast"), ("hem", "lymphocyte")):
            cell = render_cell(np.random.default_rng(index), species, 1.6 * CNMC_UM_PER_PX)  # type: ignore[arg-type]
            picture = np.zeros((450, 450, 3), np.uint8)
            height, width = cell.alpha.shape
            top, left = (450 - height) // 2, (450 - width) // 2
            picture[top : top + height, left : left + width] = cell.rgb * (
                cell.alpha[..., None] > 0.5
            )
            write_rgb(folder / name / f"{index}.png", picture)
    return folder
