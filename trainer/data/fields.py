"""Whole-field sets: smear frames with a box around every cell, as typed records.

Two published layouts are read: Pascal-VOC XML (BCCD) and YOLO text (TXL-PBC). Published boxes are
not all sound (BCCD has two without area), so each set counts what it dropped or clipped and says
so; the trainer prints that line and writes it into its metrics.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import KINDS, CellKind
from edge_daemon.errors import DataError

VOC_NAMES: Mapping[str, CellKind] = {"WBC": "wbc", "RBC": "rbc", "Platelets": "platelet"}
"""Names of the kinds in BCCD's XML."""
TXL_PBC_CLASSES: tuple[CellKind, ...] = ("wbc", "rbc", "platelet")
"""Kinds by class number in TXL-PBC's text files."""

MIN_SIDE_PX = 1.0
"""A box narrower or lower than this within its picture marks nothing that could be found."""


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
    """One published box that could not be used as it stands, and what became of it."""

    image: str
    box: tuple[float, float, float, float]
    what: str
    """``dropped: no area``, ``dropped: outside of the picture`` or ``clipped to the picture``."""


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


def read_voc(folder: Path, name: str) -> FieldSet:
    """A split laid out as ``images/*.jpg`` and ``annotations_voc/*.xml`` (Pascal VOC).

    Raises :class:`DataError` for a missing folder, an unreadable file or an unknown kind.
    """
    return _field_set(name, _voc_records(_existing(folder)))


def read_yolo(folder: Path, name: str) -> FieldSet:
    """A split laid out as ``images/*.jpg`` and ``labels/*.txt`` (YOLO: class x y w h, relative).

    Raises :class:`DataError` for a missing folder, an unreadable file or an unknown class.
    """
    return _field_set(name, _yolo_records(_existing(folder)))


def read_field_sets(data: Path, split: str) -> tuple[FieldSet, ...]:
    """BCCD and TXL-PBC below ``data``; ``split`` is ``train`` or ``val``."""
    return (
        read_voc(data / "bccd" / split, f"bccd/{split}"),
        read_yolo(data / "txl-pbc" / split, f"txl-pbc/{split}"),
    )


_Marked = tuple[CellKind, tuple[float, float, float, float]]
_Raw = tuple[Path, int, int, list[_Marked]]


def _voc_records(folder: Path) -> Iterator[_Raw]:
    for path in _files(folder / "annotations_voc", "*.xml"):
        try:
            root = ET.parse(path).getroot()  # noqa: S314 - the sets are local files, checked by hand
            marked = [
                (VOC_NAMES[_text(node, "name")], _voc_box(node)) for node in root.iter("object")
            ]
        except KeyError as error:
            raise DataError(f"{path}: unknown kind of cell {error}") from None
        except (ET.ParseError, ValueError) as error:
            raise DataError(f"{path} is not a Pascal-VOC annotation: {error}") from None
        yield (*_picture(folder / "images", path.stem), marked)


def _yolo_records(folder: Path) -> Iterator[_Raw]:
    for path in _files(folder / "labels", "*.txt"):
        image, height, width = _picture(folder / "images", path.stem)
        marked = []
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if not line.strip():
                continue
            try:
                kind_text, *numbers = line.split()
                x, y, w, h = (float(value) for value in numbers)
                kind = TXL_PBC_CLASSES[int(kind_text)]
            except (ValueError, IndexError):
                raise DataError(f"{path}:{number}: not 'class x y w h': {line!r}") from None
            box = (
                (x - w / 2) * width,
                (y - h / 2) * height,
                (x + w / 2) * width,
                (y + h / 2) * height,
            )
            marked.append((kind, box))
        yield image, height, width, marked


def _field_set(name: str, raw_records: Iterable[_Raw]) -> FieldSet:
    records, unsound = [], []
    for image, height, width, marked in raw_records:
        boxes, kinds = [], []
        for kind, box in marked:
            x0, y0, x1, y1 = box
            clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
            if x1 - x0 < MIN_SIDE_PX or y1 - y0 < MIN_SIDE_PX:
                unsound.append(Unsound(image.name, box, "dropped: no area"))
                continue
            if clipped[2] - clipped[0] < MIN_SIDE_PX or clipped[3] - clipped[1] < MIN_SIDE_PX:
                unsound.append(Unsound(image.name, box, "dropped: outside of the picture"))
                continue
            # Relative coordinates are rounded to six digits: half a pixel over is no fault.
            if max(abs(a - b) for a, b in zip(clipped, box, strict=True)) > 0.5:
                unsound.append(Unsound(image.name, box, "clipped to the picture"))
            boxes.append(clipped)
            kinds.append(KINDS.index(kind))
        records.append(
            FieldRecord(
                image,
                height,
                width,
                np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
                np.asarray(kinds, dtype=np.int8),
            )
        )
    return FieldSet(name, tuple(records), tuple(unsound))


def _picture(folder: Path, stem: str) -> tuple[Path, int, int]:
    from PIL import Image, UnidentifiedImageError

    path = folder / f"{stem}.jpg"
    try:
        with Image.open(path) as image:  # reads the header only
            return path, image.height, image.width
    except FileNotFoundError:
        raise DataError(f"{path} is missing, though it is annotated: fetch the set again") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} cannot be read as a picture: fetch the set again") from None


def _voc_box(node: ET.Element) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(_text(node, f"bndbox/{side}")) for side in _VOC_SIDES)
    return x0, y0, x1, y1


_VOC_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _text(node: ET.Element, path: str) -> str:
    text = node.findtext(path)
    if text is None:
        raise ValueError(f"an object has no <{path}>")
    return text.strip()


def _files(folder: Path, pattern: str) -> list[Path]:
    files = sorted(folder.glob(pattern))
    if not files:
        raise DataError(f"no {pattern} in {folder}: is this the folder of the set?")
    return files


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"no folder {folder}: set LEUKO_DATA or --data to where the sets are")
    return folder
