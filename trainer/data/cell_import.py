"""Single cells into the compact layout: each cell once, patients who share cells in one group.

The folder that comes out holds ``manifest.csv``, the pictures in ``all`` and ``hem``,
``repeats.csv`` with the pairs of pictures that joined two groups, for a human to look at, and
``data.json``, the :class:`~trainer.data.data_manifest.DataManifest`.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.errors import DataError
from trainer.data.cell_likeness import Fingerprint, Repeat, find_repeats, fingerprint
from trainer.data.cnmc import CLASS_OF_LABEL, MANIFEST, CellRecord, Split, read_manifest
from trainer.data.data_manifest import DATA_JSON, DataManifest, manifest_of_cells
from trainer.data.groups import merge_groups
from trainer.data.published_cells import PublishedCell
from trainer.data.reading import Progress, silently
from trainer.data.splits import suggest_split
from trainer.whole_files import new_folder

REPEATS = "repeats.csv"

_LABEL_OF_CLASS = {cell_class: label for label, cell_class in CLASS_OF_LABEL.items()}
_WEBP_METHOD = 0  # some 15 ms and 43 KB a picture of C-NMC; method 2 takes 80 ms for 22 KB


@dataclass(frozen=True, eq=False)
class ImportedCell:
    """One cell with what was measured on its picture."""

    published: PublishedCell
    file: str
    """Below the new folder, with forward slashes."""
    size: tuple[int, int]
    """Width and height, pixels."""
    sha256: str
    """Of the published file."""
    looks: Fingerprint


@dataclass(frozen=True)
class ImportReport:
    """What an import found and did."""

    records: tuple[CellRecord, ...]
    copies: int
    """Pictures left out because another has the same pixels."""
    merged: tuple[str, ...]
    """The groups that shared cells have joined."""
    moved: tuple[str, ...]
    """Groups of the source that changed their split, because what they were joined to has it."""

    def lines(self) -> list[str]:
        """What a user should know, a sentence each."""
        cells = Counter((one.split, one.label) for one in self.records)
        counts = ", ".join(f"{count} {split} {label}" for (split, label), count in cells.items())
        groups = len({one.group for one in self.records})
        lines = [f"{len(self.records)} cells in {groups} groups: {counts}"]
        if self.copies:
            lines.append(f"{self.copies} copies left out")
        if self.merged:
            lines.append(f"groups joined by shared cells: {', '.join(self.merged)}")
        lines += [f"{name}: its cells went to the split of its new group" for name in self.moved]
        if not any(one.split == "val" for one in self.records):
            lines.append("a class is in a single group: nothing to measure on, all is for training")
        return lines


def import_cells(
    cells: Sequence[PublishedCell],
    out: Path,
    *,
    name: str,
    seed: int = 0,
    progress: Progress = silently,
) -> ImportReport:
    """Write ``cells`` into the new folder ``out`` and report what was found.

    Where the source has splits they are kept, and a group that has come to lie in two goes where
    most of its cells are; elsewhere a split is suggested from ``seed``. Raises :class:`DataError`
    for a picture that cannot be read, copies under two labels, two cells of one name, or when
    ``out`` is there already; then nothing is left behind.
    """
    with new_folder(out) as folder:
        imported, copy_pairs = _pictures(cells, folder, progress)
        owners = [one.published.group for one in imported]
        repeats = find_repeats([one.looks for one in imported], owners)
        shared = [(owners[one.first], owners[one.second]) for one in repeats]
        groups = merge_groups([one.group for one in cells], [*shared, *copy_pairs])
        records = _with_splits([_record(one, groups) for one in imported], imported, seed)
        _write_manifest(folder, records, imported)
        _write_repeats(folder, repeats, imported)
        DataManifest(sets=(manifest_of_cells(name, records),)).write(folder / DATA_JSON)
        read_manifest(folder)  # what is handed over can be read, groups checked
    sources = {one.file: one.published for one in imported}
    return ImportReport(
        records,
        len(cells) - len(imported),
        tuple(sorted(set(groups.values()) - set(groups))),
        tuple(
            sorted(
                {
                    f"{sources[one.file].group} ({sources[one.file].split})"
                    for one in records
                    if sources[one.file].split not in (None, one.split)
                }
            )
        ),
    )


def _pictures(
    cells: Sequence[PublishedCell], folder: Path, progress: Progress
) -> tuple[list[ImportedCell], list[tuple[str, str]]]:
    """Write each picture once; also the pairs of groups that had a copy in common."""
    by_pixels: dict[str, ImportedCell] = {}
    by_file: dict[str, ImportedCell] = {}
    pairs = []
    for cell in progress(cells, "reading pictures", len(cells)):
        raw, picture = read_cell(cell.path)
        try:
            one = _measured(cell, raw, picture)
        except DataError as error:
            raise DataError(f"{cell.path}: {error}") from None
        same = by_pixels.setdefault(one.looks.pixels_sha256, one)
        if same is not one:
            if same.published.label != cell.label:
                raise DataError(
                    f"{cell.path}: is a copy of {same.published.path} under another label: "
                    "remove the wrong one"
                )
            pairs.append((same.published.group, cell.group))
            continue
        other = by_file.setdefault(one.file, one)
        if other is not one:
            raise DataError(
                f"{cell.path}: has the name of {other.published.path} but shows another cell: "
                "rename one of them"
            )
        _write_picture(folder / one.file, cell.path, picture)
    return list(by_file.values()), pairs


def read_cell(path: Path) -> tuple[bytes, NDArray[np.uint8]]:
    """Bytes and pixels (uint8 ``[H, W, 3]``, RGB) of a picture; raises :class:`DataError`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): fetch it again") from None
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    if picture is None:
        raise DataError(f"{path}: is not a readable picture: fetch it again")
    return raw, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _measured(cell: PublishedCell, raw: bytes, picture: NDArray[np.uint8]) -> ImportedCell:
    suffix = cell.path.suffix.lower() if _kept_as_it_is(cell.path) else ".webp"
    return ImportedCell(
        cell,
        f"{_LABEL_OF_CLASS[cell.label].lower()}/{cell.name}{suffix}",
        (picture.shape[1], picture.shape[0]),
        cell.original_sha256 or hashlib.sha256(raw).hexdigest(),
        fingerprint(picture),
    )


def _kept_as_it_is(path: Path) -> bool:
    """Whether a picture is compressed already; encoding it again could only lose or grow."""
    return path.suffix.lower() in (".webp", ".png", ".jpg", ".jpeg")


def _write_picture(target: Path, source: Path, picture: NDArray[np.uint8]) -> None:
    from PIL import Image

    target.parent.mkdir(exist_ok=True)
    if _kept_as_it_is(source):
        shutil.copyfile(source, target)
    else:
        Image.fromarray(picture).save(target, "WEBP", lossless=True, method=_WEBP_METHOD)


def _record(one: ImportedCell, groups: dict[str, str]) -> CellRecord:
    cell = one.published
    fraction = cell.foreground_fraction
    return CellRecord(
        one.file,
        cell.label,
        cell.subject,
        groups[cell.group],
        cell.split or "train",
        round(one.looks.foreground_fraction if fraction is None else fraction, 4),
        one.sha256,
        cell.fold,
    )


def _with_splits(
    records: Sequence[CellRecord], imported: Sequence[ImportedCell], seed: int
) -> tuple[CellRecord, ...]:
    """The records with the split of their group, in their order."""
    split_of: dict[str, Split]
    if all(one.published.split is not None for one in imported):
        votes: dict[str, Counter[Split]] = {}
        for record in records:
            votes.setdefault(record.group, Counter())[record.split] += 1
        # Where two splits have as many, to train: what is measured on stays as it was.
        split_of = {
            group: ("val" if vote["val"] > vote["train"] else "train")
            for group, vote in votes.items()
        }
    else:
        split_of = {one.group: one.split for one in suggest_split(records, seed).records}
    return tuple(replace(record, split=split_of[record.group]) for record in records)


def _write_manifest(
    folder: Path, records: Sequence[CellRecord], imported: Sequence[ImportedCell]
) -> None:
    columns = (
        "file,label,subject,group,fold,frame,cell,width,height,x0,y0,x1,y1,fg_frac,bmp_sha256,split"
    )
    rows = (
        (
            *(record.file, _LABEL_OF_CLASS[record.label], record.subject, record.group),
            *(record.fold, one.published.frame, one.published.cell, *one.size, *one.looks.box),
            *(record.foreground_fraction, record.original_sha256, record.split),
        )
        for record, one in zip(records, imported, strict=True)
    )
    _write_table(folder / MANIFEST, columns.split(","), rows)


def _write_repeats(
    folder: Path, repeats: Sequence[Repeat], imported: Sequence[ImportedCell]
) -> None:
    rows = (
        (imported[one.first].file, imported[one.second].file, f"{one.likeness:.3f}")
        for one in repeats
    )
    _write_table(folder / REPEATS, ("first", "second", "likeness"), rows)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
