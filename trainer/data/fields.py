"""Whole-field sets: smear frames with a box around every cell, as typed records.

Three published layouts are read: Pascal-VOC XML (BCCD), YOLO text (TXL-PBC) and COCO JSON.
"""

from __future__ import annotations

from pathlib import Path

from trainer.data.field_readers.coco import coco_frames
from trainer.data.field_readers.voc import voc_frames
from trainer.data.field_readers.yolo import yolo_frames
from trainer.data.field_records import FieldRecord, FieldSet, Unsound, checked_set, existing
from trainer.data.reading import read_strictly

__all__ = [
    "FieldRecord",
    "FieldSet",
    "Unsound",
    "read_coco",
    "read_field_sets",
    "read_voc",
    "read_yolo",
]


def read_voc(folder: Path, name: str) -> FieldSet:
    """A split laid out as ``images/*.jpg`` and ``annotations_voc/*.xml`` (Pascal VOC).

    Raises :class:`DataError` for a missing folder, an unreadable file or an unknown kind.
    """
    return checked_set(name, read_strictly(voc_frames(folder)))


def read_yolo(folder: Path, name: str) -> FieldSet:
    """A split laid out as ``images/*.jpg`` and ``labels/*.txt`` (YOLO: class x y w h, relative).

    Raises :class:`DataError` for a missing folder, an unreadable file or an unknown class.
    """
    existing(folder)
    return checked_set(name, read_strictly(yolo_frames(folder / "images", folder / "labels")))


def read_coco(path: Path, name: str) -> FieldSet:
    """A split described by one COCO JSON file, its pictures beside it or in ``images``.

    Raises :class:`DataError` for an unreadable file, an unknown kind or a box of no picture.
    """
    return checked_set(name, read_strictly(coco_frames(path)))


def read_field_sets(data: Path, split: str) -> tuple[FieldSet, ...]:
    """BCCD and TXL-PBC below ``data``; ``split`` is ``train`` or ``val``."""
    return (
        read_voc(data / "bccd" / split, f"bccd/{split}"),
        read_yolo(data / "txl-pbc" / split, f"txl-pbc/{split}"),
    )
