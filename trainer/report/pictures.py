"""Cells as part of a page, and which of them a model got most wrong."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.errors import DataError
from trainer.statistics.comparison import Comparison

SHOWN_PX = 112
"""Side of a cell's picture on the page; a pathologist sees the shape of the nucleus at that."""
WORST = 12
PER_GROUP = 3
"""Of one patient, so that one whose smear is unusual does not fill the gallery."""


@dataclass(frozen=True)
class WrongCell:
    """A cell on the wrong side of the threshold."""

    file: str
    group: str
    p_blast: dict[str, float]
    """What each model said of it."""
    picture: str
    """``data:`` URI."""


def worst_cells(
    comparison: Comparison, condition: str, model: str, root: Path, *, blasts: bool
) -> list[WrongCell]:
    """The blasts that ``model`` was surest were normal, or the other way round; surest first.

    At most :data:`WORST`, and :data:`PER_GROUP` of one patient group. Raises :class:`DataError`
    when a picture is missing below ``root``.
    """
    cells = comparison.models[0]
    p = comparison.measured[model][condition].scored.p_after
    wrong = cells.is_blast & (p < 0.5) if blasts else ~cells.is_blast & (p >= 0.5)
    index = np.flatnonzero(wrong)
    index = index[np.argsort(p[index] if blasts else -p[index], kind="stable")]
    shown: dict[str, int] = {}
    chosen: list[int] = []
    for cell in index.tolist():
        group = str(cells.group[cell])
        shown[group] = shown.get(group, 0) + 1
        if shown[group] <= PER_GROUP and len(chosen) < WORST:
            chosen.append(cell)
    said = {
        name: by_condition[condition].scored.p_after
        for name, by_condition in comparison.measured.items()
        if condition in by_condition
    }
    return [
        WrongCell(
            file=str(cells.file[cell]),
            group=str(cells.group[cell]),
            p_blast={name: float(values[cell]) for name, values in said.items()},
            picture=cell_picture(root / str(cells.file[cell])),
        )
        for cell in chosen
    ]


def cell_picture(path: Path) -> str:
    """The picture at ``path``, small, as a ``data:`` URI."""
    encoded = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
    picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
    if picture is None:
        raise DataError(f"{path}: missing or not a readable picture; check --data, or leave it out")
    small = cv2.resize(picture, (2 * SHOWN_PX, 2 * SHOWN_PX), interpolation=cv2.INTER_AREA)
    return _data_uri(small, ".webp", "image/webp", [cv2.IMWRITE_WEBP_QUALITY, 80])


def png_picture(picture: NDArray[np.uint8]) -> str:
    """RGB uint8 ``[H, W, 3]`` as a ``data:`` URI, without loss."""
    return _data_uri(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), ".png", "image/png", [])


def _data_uri(picture: NDArray[np.generic], ending: str, kind: str, options: list[int]) -> str:
    encoded = cv2.imencode(ending, np.asarray(picture), options)[1].tobytes()
    return f"data:{kind};base64,{base64.b64encode(encoded).decode()}"
