"""``leuko-edge classify``: single-cell pictures, one line of JSON each.

A picture of one cell usually says nothing about its scale, so the whole picture is taken for the
square the classifier was trained to see; with ``--um-per-px`` the square is cut at true scale.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from edge_daemon.contract.roles import ClassifierRole
from edge_daemon.errors import FrameReadError, SourceError
from edge_daemon.inference import BATCH, Models
from edge_daemon.sources.images import list_pictures
from edge_daemon.sources.reading import read_picture
from edge_daemon.vision.crops import crop_cells

UNFAMILIAR = "unlike any cell the classifier was trained on"


def classify_folder(
    folder: Path, models: Models, lines: TextIO, um_per_px: float | None, console: Console
) -> tuple[int, int]:
    """Classify every picture below ``folder``.

    Returns:
        How many pictures were classified and how many could not be read; each has its line.

    Raises:
        SourceError: the folder does not exist or holds no picture.
    """
    pictures = list_pictures(folder)
    done = failed = 0
    progress = track(
        range(0, len(pictures), BATCH),
        "classifying",
        console=console,
        disable=not console.is_terminal,
    )
    for first in progress:
        batch = pictures[first : first + BATCH]
        crops, sources, unreadable = _read(batch, folder, models.classifier_role, um_per_px)
        verdicts = models.classify(np.stack(crops)) if crops else None
        if verdicts is not None:
            for source, p_blast, label, unfamiliar in zip(
                sources,
                verdicts.p_blast.tolist(),
                verdicts.labels,
                verdicts.unfamiliar.tolist(),
                strict=True,
            ):
                line = {"source": source, "p_blast": round(p_blast, 6), "label": label}
                why = {"reason": UNFAMILIAR} if unfamiliar else {}
                _write(lines, line | why)
        for source, reason in unreadable:
            console.print(f"{source}: {reason}", style="yellow", highlight=False)
            _write(lines, {"source": source, "p_blast": None, "label": None, "reason": reason})
        done += len(crops)
        failed += len(unreadable)
    if not done:
        raise SourceError(
            f"none of the {failed} pictures in {folder} could be read; see the output"
        )
    return done, failed


def single_cell_crop(
    pixels: npt.NDArray[np.uint8], role: ClassifierRole, um_per_px: float | None
) -> npt.NDArray[np.uint8]:
    """The classifier's view (uint8 ``[size, size, 3]``) of a picture (RGB) of one cell."""
    height, width = pixels.shape[:2]
    whole = np.array([[0, 0, width, height]], np.float32)
    scale = um_per_px or role.crop_um / max(height, width)
    crop: npt.NDArray[np.uint8] = crop_cells(pixels, whole, scale, role.crop_um, role.size)[0]
    return crop


def _read(
    pictures: Iterable[Path], folder: Path, role: ClassifierRole, um_per_px: float | None
) -> tuple[list[npt.NDArray[np.uint8]], list[str], list[tuple[str, str]]]:
    crops: list[npt.NDArray[np.uint8]] = []
    sources: list[str] = []
    unreadable: list[tuple[str, str]] = []
    for picture in pictures:
        name = str(picture.relative_to(folder)) if folder.is_dir() else picture.name
        try:
            crops.append(single_cell_crop(read_picture(picture), role, um_per_px))
            sources.append(name)
        except FrameReadError as error:
            unreadable.append((name, str(error)))
    return crops, sources, unreadable


def _write(lines: TextIO, content: dict[str, object]) -> None:
    lines.write(json.dumps(content, ensure_ascii=False) + "\n")
