"""What is in a set, counted and never assumed: ``leuko-train data describe``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from edge_daemon.contract.base import StrictModel
from edge_daemon.errors import DataError
from trainer.data.all_idb import BlastFrame, read_all_idb
from trainer.data.cnmc import CellRecord, read_manifest
from trainer.data.cnmc_official import official_cells
from trainer.data.data_manifest import (
    Count,
    FieldLayout,
    SetManifest,
    manifest_of_blast_frames,
    manifest_of_cells,
    manifest_of_fields,
)
from trainer.data.field_records import checked_set, picture_at
from trainer.data.layouts import FoundSet, field_splits
from trainer.data.reading import Progress, read_strictly, silently


class Description(StrictModel):
    """One set, or one split of one, with more than a run needs to carry."""

    manifest: SetManifest
    classes: dict[str, Count]
    """Cells by class, boxes by kind, or pictures of patients and of healthy donors."""
    splits: dict[str, dict[str, Count]]
    """The same for each split, or for each fold as published."""
    groups: dict[str, dict[str, Count]]
    """The same for each patient group, where the set knows patients."""
    sizes: dict[str, Count]
    """Pictures by width and height in pixels, ``450x450``."""


def describe_set(found: FoundSet, progress: Progress = silently) -> tuple[Description, ...]:
    """The set as one description, or one for each split of whole fields.

    Raises :class:`DataError` for the first thing that cannot be read.
    """
    if found.layout == "cnmc-compact":
        records = read_manifest(found.root)
        paths = tuple(found.root / record.file for record in records)
        return (_of_cells(manifest_of_cells(found.name, records), records, paths),)
    if found.layout == "cnmc":
        records, paths = _official_records(found.root, progress)
        return (_of_cells(manifest_of_cells(found.name, records, "cnmc"), records, paths),)
    if found.layout == "all-idb1":
        return (_of_blast_frames(found.name, read_all_idb(found.root)),)
    return _of_fields(found, found.layout)


def _of_cells(
    manifest: SetManifest, records: Iterable[CellRecord], paths: Iterable[Path]
) -> Description:
    classes: Counter[str] = Counter()
    splits: dict[str, Counter[str]] = {}
    groups: dict[str, Counter[str]] = {}
    for record in records:
        part = record.split if manifest.layout == "cnmc-compact" else record.fold
        classes[record.label] += 1
        splits.setdefault(part, Counter())[record.label] += 1
        groups.setdefault(record.group, Counter())[record.label] += 1
    return Description(
        manifest=manifest,
        classes=dict(classes),
        splits={name: dict(counts) for name, counts in splits.items()},
        groups={name: dict(counts) for name, counts in groups.items()},
        sizes=_sizes(picture_at(path)[1:] for path in paths),
    )


def _of_fields(found: FoundSet, layout: FieldLayout) -> tuple[Description, ...]:
    descriptions = []
    for split in field_splits(found):
        field_set = checked_set(split.name, read_strictly(split.frames))
        kinds = {str(kind): count for kind, count in field_set.boxes_per_kind.items()}
        descriptions.append(
            Description(
                manifest=manifest_of_fields(field_set, layout),
                classes=kinds,
                splits={split.name.partition("/")[2] or "all": kinds},
                groups={},
                sizes=_sizes((one.height, one.width) for one in field_set.records),
            )
        )
    return tuple(descriptions)


def _of_blast_frames(name: str, frames: tuple[BlastFrame, ...]) -> Description:
    manifest = manifest_of_blast_frames(name, frames)
    classes = {key: count for key, count in manifest.counts.items() if key != "pictures"}
    return Description(
        manifest=manifest,
        classes=classes,
        splits={},
        groups={},
        sizes=_sizes((one.height, one.width) for one in frames),
    )


def _official_records(
    root: Path, progress: Progress
) -> tuple[tuple[CellRecord, ...], tuple[Path, ...]]:
    """The published cells with the digests of their files; groups are patients still."""
    cells = read_strictly(official_cells(root))
    records = []
    for cell in progress(cells, "reading pictures", len(cells)):
        try:
            digest = hashlib.sha256(cell.path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{cell.path}: cannot be read ({error.strerror})") from None
        records.append(
            CellRecord(
                cell.name, cell.label, cell.subject, cell.group, "train", 0, digest, cell.fold
            )
        )
    return tuple(records), tuple(cell.path for cell in cells)


def _sizes(height_width: Iterable[tuple[int, int]]) -> dict[str, int]:
    return dict(Counter(f"{width}x{height}" for height, width in height_width).most_common())
