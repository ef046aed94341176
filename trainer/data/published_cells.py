"""One published single cell as its layout tells it, before groups and splits are made anew.

The official layout of C-NMC 2019 knows patients and labels only; the compact one also knows groups
and splits. An import takes either and writes the compact one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_daemon.contract.terms import CellClass
from trainer.data.cnmc import CellRecord, Split, manifest_rows
from trainer.data.reading import Readable

CELL_NAME = re.compile(
    r"UID_(?P<subject>[A-Za-z]*\d+)_(?P<frame>\d+)_(?P<cell>\d+)_(?P<label>all|hem)", re.IGNORECASE
)
"""Name of a picture of C-NMC 2019 without its suffix. Subjects of healthy donors begin with an H,
not always a capital one."""


@dataclass(frozen=True)
class PublishedCell:
    """One picture of one cell, and all that its layout says about it."""

    path: Path
    name: str
    """Name of the published picture, without folder and suffix."""
    label: CellClass
    subject: str
    group: str
    """Group of its subject where the layout knows groups, the subject itself elsewhere."""
    fold: str = ""
    """Where it was published: a training fold, or the preliminary test."""
    frame: str = ""
    cell: str = ""
    split: Split | None = None
    """Split where the layout knows one."""
    original_sha256: str | None = None
    """Digest of the published file where this is not it."""
    foreground_fraction: float | None = None
    """As measured on the published file where this is not it."""


def compact_cells(root: Path) -> tuple[Readable[PublishedCell], ...]:
    """The cells of the compact layout; raises :class:`DataError` as ``manifest_rows`` does."""
    return tuple(partial(_of_compact, root, read) for read in manifest_rows(root))


def _of_compact(root: Path, read: Readable[CellRecord]) -> PublishedCell:
    record = read()
    path = root / record.file
    named = CELL_NAME.fullmatch(path.stem)
    return PublishedCell(
        path,
        path.stem,
        record.label,
        record.subject,
        record.group,
        fold=record.fold,
        frame=named["frame"] if named else "",
        cell=named["cell"] if named else "",
        split=record.split,
        original_sha256=record.original_sha256,
        foreground_fraction=record.foreground_fraction,
    )
