"""C-NMC 2019: single cells on black, normal B-lymphoid precursors (HEM) and blasts (ALL).

Gupta & Gupta, The Cancer Imaging Archive, DOI 10.7937/tcia.2019.dc64i46r, CC BY 3.0. Read from
the compact layout: one picture a cell and a ``manifest.csv`` with the patient **group** of each.
The published set holds byte-identical cells under two patient numbers; such patients share a
group, and a group never crosses a split: one that does is refused, because it would inflate every
figure that follows.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import CellClass
from edge_daemon.errors import DataError
from trainer.data.reading import Readable

Split = Literal["train", "val"]

MANIFEST = "manifest.csv"
"""The table of the compact layout, in the folder of the set."""
UM_PER_PX = 0.044
"""Nominal scale of the pictures: 450 px show 19.8 um."""
PICTURE_UM = 19.8
"""Side of one picture; the classifier's crop covers the same square."""

CLASS_OF_LABEL: dict[str, CellClass] = {"ALL": "blast", "HEM": "normal"}
_COLUMNS = ("file", "label", "subject", "group", "split", "fg_frac", "bmp_sha256")


@dataclass(frozen=True)
class CellRecord:
    """One cell of the manifest."""

    file: str
    """Path of the picture below the data set's folder, with forward slashes."""
    label: CellClass
    subject: str
    group: str
    """Patients that share cells share a group; nothing finer may be split."""
    split: Split
    foreground_fraction: float
    """Share of the picture that is cell, 0..1."""
    original_sha256: str
    """Digest of the published BMP: the same cell has the same digest."""
    fold: str = ""
    """Where it was published: a training fold or the preliminary test; empty where not told."""

    @property
    def area_um2(self) -> float:
        """Area of the cell at the nominal scale, in square micrometres."""
        return self.foreground_fraction * PICTURE_UM**2


def read_manifest(root: Path) -> tuple[CellRecord, ...]:
    """All cells listed in ``root/manifest.csv``, in its order, groups checked.

    Raises :class:`DataError` when the manifest is missing, lacks a column, has a row that cannot be
    read, or splits a group.
    """
    records = tuple(row() for row in manifest_rows(root))
    refuse_crossing_groups(records)
    return records


def manifest_rows(root: Path) -> tuple[Readable[CellRecord], ...]:
    """The rows of ``root/manifest.csv``, each still to be read, so that all faults can be told.

    Raises :class:`DataError` when the manifest is missing, is no table, lacks a column or is empty.
    """
    path = root / MANIFEST
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = csv.DictReader(lines)
            absent = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if absent:
                raise DataError(f"{path}: column {absent[0]!r} is missing; is this C-NMC's?")
            readable = tuple(partial(_record, row, path, rows.line_num) for row in rows)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); point --data at the folder that holds "
            "cnmc2019"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is not a table of text ({error}); import the set again") from None
    if not readable:
        raise DataError(f"{path}: lists no cell")
    return readable


def refuse_crossing_groups(records: Iterable[CellRecord]) -> None:
    """Raise :class:`DataError` when a group, or one and the same cell, is in two splits."""
    split_of_group: dict[str, str] = {}
    split_of_cell: dict[str, str] = {}
    for record in records:
        if split_of_group.setdefault(record.group, record.split) != record.split:
            raise DataError(
                f"group {record.group!r} is in two splits ({record.file} in {record.split}): "
                "patients must not cross splits; assign whole groups"
            )
        if split_of_cell.setdefault(record.original_sha256, record.split) != record.split:
            raise DataError(
                f"the cell {record.file} is in two splits under two groups: merge the groups"
            )


def of_split(records: Iterable[CellRecord], split: Split) -> tuple[CellRecord, ...]:
    """The records of one split, in order."""
    return tuple(record for record in records if record.split == split)


def digest_of(records: Sequence[CellRecord]) -> str:
    """SHA-256 over the sorted digests, groups and labels: names this exact selection of cells."""
    lines = sorted(f"{r.original_sha256} {r.group} {r.label} {r.split}" for r in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_picture(root: Path, record: CellRecord) -> NDArray[np.uint8]:
    """The picture of a cell, uint8 ``[H, W, 3]``, RGB. Raises :class:`DataError` if unreadable."""
    return read_picture_file(root / record.file)


def read_picture_file(path: Path) -> NDArray[np.uint8]:
    """The same of a path."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{path}: missing or not a readable picture; fetch the data set again")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _record(row: dict[str, str], path: Path, line: int) -> CellRecord:
    try:
        label = CLASS_OF_LABEL[row["label"]]
        split = row["split"]
        foreground = float(row["fg_frac"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}, line {line}: cannot be read ({error!r})") from None
    if split not in get_args(Split):
        raise DataError(f"{path}, line {line}: split {split!r} is not one of train, val")
    return CellRecord(
        file=row["file"],
        label=label,
        subject=row["subject"],
        group=row["group"],
        split=cast("Split", split),
        foreground_fraction=foreground,
        original_sha256=row["bmp_sha256"],
        fold=row.get("fold") or "",
    )
