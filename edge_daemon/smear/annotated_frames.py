"""Published smear frames with their annotations: Pascal VOC (BCCD) or YOLO text (TXL-PBC).

A folder holds ``images/`` and, beside it, ``annotations_voc/*.xml`` or ``labels/*.txt``. A frame
without annotation is left out: nobody knows which white cells it shows.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.contract.terms import CellKind
from edge_daemon.errors import DataError
from edge_daemon.smear.sprite import Picture

Boxes = npt.NDArray[np.float32]
"""float32 ``[N, 4]``, x0, y0, x1, y1 in px."""

_VOC_NAMES: dict[str, CellKind] = {"WBC": "wbc", "RBC": "rbc", "Platelets": "platelet"}
_YOLO_ORDER: tuple[CellKind, ...] = ("wbc", "rbc", "platelet")
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, eq=False)
class AnnotatedFrame:
    """One frame in memory: RGB pixels and the boxes of each kind."""

    path: Path
    pixels: Picture
    boxes: dict[CellKind, Boxes]


def list_annotated(folder: Path) -> list[tuple[Path, Path]]:
    """Pairs of picture and annotation below ``folder``, in order of their names.

    Raises:
        DataError: no such folder, or no annotated picture in it.
    """
    pictures = folder / "images"
    if not pictures.is_dir():
        raise DataError(f"{folder}: no folder images/ in it: give a split of BCCD or TXL-PBC")
    pairs = []
    for picture in sorted(pictures.iterdir()):
        if picture.suffix.lower() not in _SUFFIXES:
            continue
        for annotation in (
            folder / "annotations_voc" / f"{picture.stem}.xml",
            folder / "labels" / f"{picture.stem}.txt",
        ):
            if annotation.is_file():
                pairs.append((picture, annotation))
                break
    if not pairs:
        raise DataError(
            f"{folder}: no picture with an annotation: annotations_voc/*.xml or labels/*.txt "
            "must lie beside images/"
        )
    return pairs


def read_annotated(picture: Path, annotation: Path) -> AnnotatedFrame:
    """Read one frame and its boxes; boxes without an area are left out.

    Raises:
        DataError: the picture or its annotation cannot be read.
    """
    data = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if data is None:
        raise DataError(f"{picture}: cannot be read as a picture: copy it again")
    pixels = np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)
    try:
        if annotation.suffix == ".xml":
            found = _voc(annotation)
        else:
            found = _yolo(annotation, pixels.shape[1], pixels.shape[0])
    except (ET.ParseError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise DataError(f"{annotation}: cannot be read as an annotation: {error}") from None
    boxes: dict[CellKind, Boxes] = {}
    for kind in _YOLO_ORDER:
        rows = [box for other, box in found if other == kind]
        rows = [box for box in rows if box[2] > box[0] and box[3] > box[1]]
        boxes[kind] = np.array(rows, np.float32).reshape(-1, 4)
    return AnnotatedFrame(picture, pixels, boxes)


def _voc(path: Path) -> list[tuple[CellKind, list[float]]]:
    root = ET.parse(path).getroot()  # noqa: S314 - annotations the operator chose
    found = []
    for item in root.iter("object"):
        kind = _VOC_NAMES.get(item.findtext("name", ""))
        if kind is not None:
            corners = ("xmin", "ymin", "xmax", "ymax")
            found.append((kind, [float(item.findtext(f"bndbox/{c}", "")) for c in corners]))
    return found


def _yolo(path: Path, width: int, height: int) -> list[tuple[CellKind, list[float]]]:
    found = []
    for line in path.read_text().splitlines():
        if line.strip():
            number, x, y, w, h = line.split()
            cx, cy, half_w, half_h = (float(v) / 2 for v in (x, y, w, h))
            box = [2 * cx - half_w, 2 * cy - half_h, 2 * cx + half_w, 2 * cy + half_h]
            scaled = [v * size for v, size in zip(box, (width, height) * 2, strict=True)]
            found.append((_YOLO_ORDER[int(number)], scaled))
    return found
