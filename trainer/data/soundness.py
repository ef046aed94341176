"""Everything that is wrong with a set, a line each: ``leuko-train data check``.

A finding is an **error** when training or an import would refuse the data, or would be misled by
them; it is a **warning** when the reader puts it right by itself (a box without area is left out,
patients with a cell in common are joined by an import).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_daemon.contract.terms import KINDS
from edge_daemon.errors import DataError
from trainer.data.all_idb import blast_frames
from trainer.data.boxes import overlaps
from trainer.data.cell_import import read_cell
from trainer.data.cell_likeness import Fingerprint, find_repeats, fingerprint
from trainer.data.cnmc import MANIFEST, CellRecord, manifest_rows
from trainer.data.cnmc_official import official_cells
from trainer.data.field_records import (
    PICTURE_SUFFIXES,
    FieldRecord,
    Unsound,
    checked_set,
    decoded,
)
from trainer.data.layouts import FoundSet, field_splits
from trainer.data.published_cells import CELL_NAME, PublishedCell
from trainer.data.reading import Progress, read_all, silently

_FOREGROUND_TOLERANCE = 0.01
"""Lossy pictures of C-NMC differ by up to 0.002 from what was measured on the originals."""

_SAME_MARK_IOU = 0.9
"""Two cells of a smear do not overlap like that; two marks of one cell do."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    line: str
    is_error: bool = True

    def __str__(self) -> str:
        return f"{'error' if self.is_error else 'warning'}: {self.line}"


@dataclass(frozen=True, eq=False)
class _Picture:
    """One picture of a cell that could be read."""

    path: Path
    owner: str
    looks: Fingerprint


def check_set(found: FoundSet, progress: Progress = silently) -> list[Finding]:
    """All findings of one set, in the order in which they are found. Reads every picture."""
    try:
        if found.layout == "cnmc-compact":
            return _check_compact(found.root, progress)
        if found.layout == "cnmc":
            return _check_official(found.root, progress)
        if found.layout == "all-idb1":
            return _check_blast_frames(found.root, progress)
        return _check_fields(found, progress)
    except DataError as error:
        return [Finding(str(error))]


def _check_compact(root: Path, progress: Progress) -> list[Finding]:
    records, faults = read_all(manifest_rows(root))
    findings = [Finding(line) for line in faults]
    findings += [Finding(f"{root / MANIFEST}: {line}") for line in _contradictions(records)]
    findings += _without_row(root, records)
    pictures = []
    for record in progress(records, "checking pictures", len(records)):
        try:
            picture = _picture(root / record.file, record.group)
        except DataError as error:
            findings.append(Finding(str(error)))
            continue
        pictures.append(picture)
        measured = picture.looks.foreground_fraction
        if abs(measured - record.foreground_fraction) > _FOREGROUND_TOLERANCE:
            findings.append(
                Finding(
                    f"{picture.path}: {measured:.3f} of it is cell, the manifest says "
                    f"{record.foreground_fraction:.3f}: another picture; import the set again"
                )
            )
    what = "one patient under two groups, import the set to join them"
    return findings + [Finding(f"{root}: {line}: {what}") for line in _shared_cells(pictures)]


def _contradictions(records: Sequence[CellRecord]) -> list[str]:
    """What the rows of a manifest say against each other, or against their own names."""
    lines = []
    for what in ("group", "subject"):
        splits: dict[str, set[str]] = defaultdict(set)
        for record in records:
            splits[getattr(record, what)].add(record.split)
        word = {"group": "group", "subject": "patient"}[what]
        lines += [
            f"{word} {name!r} is in two splits: assign all its cells to one"
            for name, of_name in splits.items()
            if len(of_name) > 1
        ]
    groups: dict[str, set[str]] = defaultdict(set)
    for record in records:
        groups[record.original_sha256].add(record.group)
    lines += [
        f"one and the same cell ({digest[:12]}) is in groups {', '.join(sorted(of_cell))}: "
        "join them"
        for digest, of_cell in groups.items()
        if len(of_cell) > 1
    ]
    times = Counter(record.file for record in records)
    lines += [f"{file} has {count} rows" for file, count in times.items() if count > 1]
    for record in records:
        named = CELL_NAME.fullmatch(Path(record.file).stem)
        if named and (named["label"].lower() == "all") != (record.label == "blast"):
            lines.append(f"{record.file} is {record.label} here, which its name denies")
    return lines


def _without_row(root: Path, records: Iterable[CellRecord]) -> list[Finding]:
    listed = {(root / record.file).resolve() for record in records}
    folders = {path.parent for path in listed}
    return [
        Finding(f"{path}: has no label in {MANIFEST}: add its row or remove it")
        for folder in sorted(folders)
        for path in sorted(folder.glob("*"))
        if path.suffix.lower() in (*PICTURE_SUFFIXES, ".webp") and path.resolve() not in listed
    ]


def _check_official(root: Path, progress: Progress) -> list[Finding]:
    cells, faults = read_all(official_cells(root))
    findings = [Finding(line) for line in faults]
    pictures: list[_Picture] = []
    of_pixels: dict[str, PublishedCell] = {}
    for cell in progress(cells, "checking pictures", len(cells)):
        try:
            picture = _picture(cell.path, cell.subject)
        except DataError as error:
            findings.append(Finding(str(error)))
            continue
        pictures.append(picture)
        same = of_pixels.setdefault(picture.looks.pixels_sha256, cell)
        if same.label != cell.label:
            findings.append(
                Finding(f"{cell.path}: is a copy of {same.path} under another label: remove one")
            )
    what = "an import puts them into one group"
    return findings + [
        Finding(f"{root}: {line}: {what}", is_error=False) for line in _shared_cells(pictures)
    ]


def _picture(path: Path, owner: str) -> _Picture:
    pixels = read_cell(path)[1]
    try:
        return _Picture(path, owner, fingerprint(pixels))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _shared_cells(pictures: Sequence[_Picture]) -> list[str]:
    """A line for each two owners with cells in common, with the most alike pair."""
    repeats = find_repeats([one.looks for one in pictures], [one.owner for one in pictures])
    pairs: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for repeat in repeats:  # the most alike first
        first, second = pictures[repeat.first], pictures[repeat.second]
        owners = tuple(sorted((first.owner, second.owner)))
        example = f"{first.path.name} is {second.path.name}, likeness {repeat.likeness:.2f}"
        pairs[owners].append(example)
    return [
        f"{' and '.join(owners)} have cells in common, {len(examples)} pairs ({examples[0]})"
        for owners, examples in pairs.items()
    ]


def _check_fields(found: FoundSet, progress: Progress) -> list[Finding]:
    findings: list[Finding] = []
    split_of: dict[str, tuple[str, Path]] = {}
    for split in field_splits(found):
        frames, faults = read_all(split.frames)
        findings += [Finding(line) for line in faults]
        checked = checked_set(split.name, frames)
        findings += _unsound(split.name, checked.unsound)
        findings += [
            Finding(f"{split.name}: {record.image.name}: {line}")
            for record in checked.records
            for line in _marked_twice(record)
        ]
        marked = {frame.image.resolve() for frame in frames}
        if not faults:  # a picture whose annotation is broken has one
            findings += [
                Finding(f"{path}: has no annotation: one without boxes means that no cell is there")
                for folder in sorted({path.parent for path in marked})
                for path in sorted(folder.iterdir())
                if path.suffix.lower() in PICTURE_SUFFIXES and path.resolve() not in marked
            ]
        for frame in progress(frames, f"checking {split.name}", len(frames)):
            findings += _repeated(frame.image, split.name, split_of)
    return findings


def _check_blast_frames(root: Path, progress: Progress) -> list[Finding]:
    frames, faults = read_all(blast_frames(root))
    findings = [Finding(line) for line in faults]
    seen: dict[str, tuple[str, Path]] = {}
    for frame in progress(frames, "checking pictures", len(frames)):
        findings += _unsound(root.name, frame.unsound)
        findings += _repeated(frame.image, root.name, seen)
    return findings


def _unsound(name: str, marks: Iterable[Unsound]) -> list[Finding]:
    return [
        Finding(f"{name}: {mark.image}: {tuple(map(float, mark.box))} {mark.what}", is_error=False)
        for mark in marks
    ]


def _marked_twice(record: FieldRecord) -> list[str]:
    """A line for each two boxes around one cell: at most one of them can be found."""
    shared = np.triu(overlaps(record.boxes, record.boxes), k=1)
    lines = []
    for first, second in np.argwhere(shared > _SAME_MARK_IOU):
        box = tuple(map(float, record.boxes[first].round(1)))
        kinds = [KINDS[record.kinds[index]] for index in (first, second)]
        how = "marked twice" if kinds[0] == kinds[1] else f"marked as {kinds[0]} and as {kinds[1]}"
        lines.append(f"{box} {how}: remove one box")
    return lines


def _repeated(path: Path, split: str, seen: dict[str, tuple[str, Path]]) -> list[Finding]:
    """Findings of one picture: it cannot be decoded, or is also elsewhere."""
    try:
        digest = decoded(path)
    except DataError as error:
        return [Finding(str(error))]
    other, where = seen.setdefault(digest, (split, path))
    if where == path:
        return []
    line = f"{path}: shows the same as {where}"
    if other != split:
        return [Finding(f"{line}, in another split: remove one")]
    return [Finding(line, is_error=False)]
