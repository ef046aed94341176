"""Pascal-VOC: one XML file per picture (BCCD)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

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

ANNOTATIONS = ("annotations_voc", "Annotations")
"""Folders of XML: as this project keeps it, and as VOC and BCCD's own repository name it."""
IMAGES = ("images", "JPEGImages")


def voc_frames(folder: Path) -> tuple[Readable[PublishedField], ...]:
    """The annotated frames of ``folder``; raises :class:`DataError` when there is none."""
    existing(folder)
    annotations, images = _first(folder, ANNOTATIONS), _first(folder, IMAGES)
    return tuple(partial(_frame, path, images) for path in files_in(annotations, "*.xml"))


def _frame(path: Path, images: Path) -> PublishedField:
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - expat refuses to expand bombs; no network
        marked = [_marked(node, path) for node in root.iter("object")]
    except (ET.ParseError, ValueError) as error:
        raise DataError(f"{path} is not a Pascal-VOC annotation: {error}") from None
    return PublishedField(*picture_of(images, path.stem), marked)


def _marked(node: ET.Element, path: Path) -> Marked:
    name = _text(node, "name")
    kind = kind_of(name)
    if kind is None:
        raise DataError(f"{path}: unknown kind of cell {name!r}")
    x0, y0, x1, y1 = (
        finite(_text(node, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")
    )
    return Marked(kind, (x0, y0, x1, y1))


def _text(node: ET.Element, path: str) -> str:
    text = node.findtext(path)
    if text is None:
        raise ValueError(f"an object has no <{path}>")
    return text.strip()


def _first(folder: Path, names: tuple[str, ...]) -> Path:
    return next((folder / name for name in names if (folder / name).is_dir()), folder / names[0])
