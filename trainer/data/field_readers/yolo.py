"""YOLO: one text file per picture, a line ``class x y w h`` per cell, relative to the picture.

The class is a number. What the numbers mean is in ``classes.txt``, a name a line, beside the labels
or above them; without one they are those of TXL-PBC.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from edge_daemon.contract.terms import CellKind
from edge_daemon.errors import DataError
from trainer.data.field_records import (
    Marked,
    PublishedField,
    existing,
    files_in,
    finite,
    kind_of,
    picture_of,
)
from trainer.data.reading import Readable

TXL_PBC_CLASSES: tuple[CellKind, ...] = ("wbc", "rbc", "platelet")
"""Kinds by class number in TXL-PBC's text files."""
CLASSES = "classes.txt"


def yolo_frames(images: Path, labels: Path) -> tuple[Readable[PublishedField], ...]:
    """The frames labelled in ``labels``; raises :class:`DataError` when there is none."""
    classes = _classes(labels)
    return tuple(
        partial(_frame, path, images, classes)
        for path in files_in(existing(labels), "*.txt")
        if path.name != CLASSES
    )


def _frame(path: Path, images: Path, classes: Sequence[CellKind]) -> PublishedField:
    image, height, width = picture_of(images, path.stem)
    marked = [
        _marked(line, f"{path}:{number}", height, width, classes)
        for number, line in enumerate(_lines(path), start=1)
        if line.strip()
    ]
    return PublishedField(image, height, width, marked)


def _marked(line: str, where: str, height: int, width: int, classes: Sequence[CellKind]) -> Marked:
    try:
        kind_text, *numbers = line.split()
        x, y, w, h = (finite(value) for value in numbers)
        number = int(kind_text)
    except ValueError:
        raise DataError(f"{where}: not 'class x y w h': {line!r}") from None
    if not 0 <= number < len(classes):
        raise DataError(
            f"{where}: not 'class x y w h': {line!r}, the classes are 0 to {len(classes) - 1}"
        )
    box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    return Marked(classes[number], box)


def _classes(labels: Path) -> Sequence[CellKind]:
    places = (folder / CLASSES for folder in (labels, labels.parent, labels.parent.parent))
    table = next((path for path in places if path.is_file()), None)
    if table is None:
        return TXL_PBC_CLASSES
    kinds = []
    for number, name in enumerate(filter(None, map(str.strip, _lines(table))), start=1):
        kind = kind_of(name)
        if kind is None:
            raise DataError(f"{table}:{number}: unknown kind of cell {name!r}")
        kinds.append(kind)
    return kinds


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
