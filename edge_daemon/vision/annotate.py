"""A frame as a person checks it: every cell outlined, blasts so that nobody overlooks them.

Colours are told apart by colour-blind people too (Okabe and Ito 2008) and never carry meaning
alone: every white cell has its label and probability beside it.
"""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.contract.findings import CellResult
from edge_daemon.contract.messages import FrameResult

RED_CELL = (120, 120, 120)
PLATELET = (0, 114, 178)
LABELS = {"blast": (213, 94, 0), "normal": (0, 158, 115), "uncertain": (230, 159, 0)}
"""RGB by label of white cells."""
_INK = (20, 20, 20)
_PAPER = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(
    pixels: npt.NDArray[np.uint8],
    frame: FrameResult | None,
    *,
    ids: bool = False,
    hint: str | None = None,
    longest_side_px: int | None = None,
) -> npt.NDArray[np.uint8]:
    """A copy of a frame (RGB uint8 ``[h, w, 3]``) with its cells, or with why it has none.

    Args:
        pixels: the frame as the camera gave it.
        frame: what was found in it; None where nobody looked.
        ids: write the number that each white cell has on the slide beside it.
        hint: a line for the operator at the bottom, ``None`` for none.
        longest_side_px: make the picture no larger than this; boxes and words stay as sharp.
    """
    longest = max(pixels.shape[:2])
    scale = 1.0 if longest_side_px is None else min(1.0, longest_side_px / longest)
    picture: npt.NDArray[np.uint8]
    if scale < 1.0:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        picture = cast(
            "npt.NDArray[np.uint8]", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        )
    else:
        picture = np.array(pixels, order="C")
    unit = max(1, round(max(picture.shape[:2]) / 640))
    cells = () if frame is None else frame.cells
    for cell in sorted(cells, key=lambda c: c.kind == "wbc"):  # white cells on top
        _outline(picture, cell, scale, unit, ids=ids)
    if frame is not None and frame.reason is not None:
        _caption(picture, f"{frame.outcome}: {frame.reason}", (4 * unit, 16 * unit), _INK, unit)
    if hint is not None:
        _caption(picture, hint, (4 * unit, picture.shape[0] - 6 * unit), _INK, unit)
    return picture


def _outline(
    picture: npt.NDArray[Any], cell: CellResult, scale: float, unit: int, *, ids: bool
) -> None:
    x, y, w, h = (round(v * scale) for v in cell.box)
    if cell.kind != "wbc":
        colour = RED_CELL if cell.kind == "rbc" else PLATELET
        cv2.rectangle(picture, (x, y), (x + w, y + h), colour, unit)
        return
    colour = LABELS[cell.label or "uncertain"]
    thickness = 3 * unit if cell.label == "blast" else 2 * unit
    cv2.rectangle(picture, (x, y), (x + w, y + h), colour, thickness)
    number = f"#{cell.unique_id} " if ids and cell.unique_id is not None else ""
    text = f"{number}{cell.label} {cell.p_blast:.2f}"
    _caption(picture, text, (x, y - 6 * unit if y > 20 * unit else y + h + 14 * unit), colour, unit)


def _caption(
    picture: npt.NDArray[Any], text: str, at: tuple[int, int], ink: tuple[int, int, int], unit: int
) -> None:
    """Text on a light ground, kept inside the picture."""
    scale = 0.45 * unit
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, unit)
    x = max(0, min(at[0], picture.shape[1] - width - 2))
    y = max(height + 2, min(at[1], picture.shape[0] - 4))
    cv2.rectangle(picture, (x - 1, y - height - 2), (x + width + 1, y + 3), _PAPER, cv2.FILLED)
    cv2.putText(picture, text, (x, y), _FONT, scale, ink, unit, cv2.LINE_AA)
