"""Smear frames with a box around every cell, whatever layout they were published in.

Published boxes are not all sound (BCCD has two without area), so each set counts what it dropped or
clipped and says so; the trainer prints that line and writes it into its metrics.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import KINDS, CellKind
from edge_daemon.errors import DataError

MIN_SIDE_PX = 1.0
"""A box narrower or lower than this within its picture marks nothing that could be found."""
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")

KIND_OF_NAME: Mapping[str, CellKind] = {
    "wbc": "wbc",
    "white blood cell": "wbc",
    "rbc": "rbc",
    "red blood cell": "rbc",
    "platelet": "platelet",
}
"""Kinds by the names that sets give them, in small letters and the singular."""


@dataclass(frozen=True, eq=False)
class FieldRecord:
    """One smear frame and the truth in it."""

    image: Path
    height: int
    width: int
    boxes: NDArray[np.float32]
    """float32 ``[N, 4]``: x0, y0, x1, y1 in pixels, inside the frame."""
    kinds: NDArray[np.int8]
    """int8 ``[N]``: index into :data:`edge_daemon.contract.terms.KINDS`."""

    def read(self) -> NDArray[np.uint8]:
        """The picture, uint8 ``[height, width, 3]``, RGB. Raises :class:`DataError`."""
        bgr = cv2.imread(str(self.image), cv2.IMREAD_COLOR)
        if bgr is None:
            raise DataError(f"{self.image} cannot be read as a picture: fetch the set again")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


@dataclass(frozen=True)
class Unsound:
    """One published mark that could not be used as it stands, and what became of it."""

    image: str
    box: tuple[float, ...]
    """x0, y0, x1, y1 of a box or x, y of a point, as published, in pixels."""
    what: str
    """``dropped: no area``, ``dropped: outside of the picture``, ``dropped: marks a crowd`` or
    ``clipped to the picture``."""


@dataclass(frozen=True)
class FieldSet:
    """One split of one published set."""

    name: str
    records: tuple[FieldRecord, ...]
    unsound: tuple[Unsound, ...] = field(default=())

    @cached_property
    def boxes_per_kind(self) -> dict[CellKind, int]:
        """How many boxes of each kind can be used."""
        counts = sum(
            (np.bincount(record.kinds, minlength=len(KINDS)) for record in self.records),
            start=np.zeros(len(KINDS), dtype=np.int64),
        )
        return {kind: int(count) for kind, count in zip(KINDS, counts, strict=True)}

    def describe(self) -> str:
        """One line for the log: frames, boxes per kind, and every box that was not sound."""
        counts = ", ".join(f"{count} {kind}" for kind, count in self.boxes_per_kind.items())
        line = f"{self.name}: {len(self.records)} frames, {counts}"
        dropped = [item for item in self.unsound if item.what.startswith("dropped")]
        clipped = len(self.unsound) - len(dropped)
        if dropped:
            which = "; ".join(f"{item.image} {item.box} {item.what[9:]}" for item in dropped)
            line += f"; {len(dropped)} boxes dropped ({which})"
        if clipped:
            line += f"; {clipped} boxes clipped to their picture"
        return line


@dataclass(frozen=True)
class Marked:
    """One box as published: x0, y0, x1, y1 in pixels, wherever they lie."""

    kind: CellKind
    box: tuple[float, float, float, float]
    crowd: bool = False
    """It surrounds many cells at once; COCO only."""


@dataclass(frozen=True)
class PublishedField:
    """One frame as its layout tells it, before its boxes are checked."""

    image: Path
    height: int
    width: int
    marked: Sequence[Marked]


def checked_set(name: str, frames: Iterable[PublishedField]) -> FieldSet:
    """The set of ``frames`` with every box inside its picture, and what became of the others."""
    records, unsound = [], []
    for frame in frames:
        boxes, kinds = [], []
        for marked in frame.marked:
            box, what = _within(marked, frame)
            if what is not None:
                unsound.append(Unsound(frame.image.name, marked.box, what))
            if box is not None:
                boxes.append(box)
                kinds.append(KINDS.index(marked.kind))
        records.append(
            FieldRecord(
                frame.image,
                frame.height,
                frame.width,
                np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
                np.asarray(kinds, dtype=np.int8),
            )
        )
    return FieldSet(name, tuple(records), tuple(unsound))


def kind_of(name: str) -> CellKind | None:
    """The kind that a set's ``name`` means, whatever its capitals; ``None`` when unknown."""
    small = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    return KIND_OF_NAME.get(small) or KIND_OF_NAME.get(small.removesuffix("s"))


def finite(value: object) -> float:
    """``value`` as a number. Raises ``ValueError`` or ``TypeError`` when it is none, or is NaN."""
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no number")
    return number


def picture_of(folder: Path, stem: str) -> tuple[Path, int, int]:
    """Path, height and width of the picture called ``stem``; raises :class:`DataError`."""
    names = (folder / f"{stem}{suffix}" for suffix in PICTURE_SUFFIXES)
    return picture_at(next((path for path in names if path.is_file()), folder / f"{stem}.jpg"))


def picture_at(path: Path) -> tuple[Path, int, int]:
    """``path`` with height and width from the picture's header; raises :class:`DataError`."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:  # reads the header only
            return path, image.height, image.width
    except FileNotFoundError:
        raise DataError(f"{path} is missing, though it is annotated: fetch the set again") from None
    except (UnidentifiedImageError, OSError):
        raise DataError(f"{path} cannot be read as a picture: fetch the set again") from None


def decoded(path: Path) -> str:
    """SHA-256 of the pixels of a picture, read to its end; raises :class:`DataError`."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))  # OpenCV takes a truncated JPEG for whole
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded ({error}): fetch the set again") from None
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def existing(folder: Path) -> Path:
    """``folder``, if there is one; raises :class:`DataError` otherwise."""
    if not folder.is_dir():
        raise DataError(f"no folder {folder}: set LEUKO_DATA or --data to where the sets are")
    return folder


def files_in(folder: Path, pattern: str) -> list[Path]:
    """The files of ``pattern`` in order; raises :class:`DataError` when there is none."""
    files = sorted(folder.glob(pattern))
    if not files:
        raise DataError(f"no {pattern} in {folder}: is this the folder of the set?")
    return files


_Box = tuple[float, float, float, float]


def _within(marked: Marked, frame: PublishedField) -> tuple[_Box | None, str | None]:
    """The usable part of a box, if any, and what was done to it, if anything."""
    if marked.crowd:
        return None, "dropped: marks a crowd"
    x0, y0, x1, y1 = marked.box
    if x1 - x0 < MIN_SIDE_PX or y1 - y0 < MIN_SIDE_PX:
        return None, "dropped: no area"
    clipped = max(x0, 0.0), max(y0, 0.0), min(x1, float(frame.width)), min(y1, float(frame.height))
    if clipped[2] - clipped[0] < MIN_SIDE_PX or clipped[3] - clipped[1] < MIN_SIDE_PX:
        return None, "dropped: outside of the picture"
    # Relative coordinates are rounded to six digits: half a pixel over is no fault.
    if max(abs(a - b) for a, b in zip(clipped, marked.box, strict=True)) > 0.5:
        return clipped, "clipped to the picture"
    return clipped, None
