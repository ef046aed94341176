"""C-NMC 2019 as it is published: training folds and the preliminary test set.

* ``.../fold_0/all/UID_11_10_1_all.bmp``, ``.../fold_0/hem/UID_H10_1_1_hem.bmp``: patient, frame,
  cell and label are in the name, the label in the folder as well.
* ``C-NMC_test_prelim_phase_data_labels.csv`` with ``Patient_ids`` (the original name),
  ``new_names`` (``1.bmp``) and ``labels`` (1 is ALL, 0 is HEM), beside the folder of numbered
  pictures.

What says the label twice must say it alike. The archive nests its folders differently from one
download to the next, so both are looked for anywhere below the folder that is given; the final test
set, which has no labels, is left where it is. Nothing is assumed about how many cells there are.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from edge_daemon.contract.terms import CellClass
from edge_daemon.errors import DataError
from trainer.data.published_cells import CELL_NAME, PublishedCell
from trainer.data.reading import Readable

PRELIMINARY = "prelim"
"""Name of the fold that the preliminary test set makes."""

_LABELS_SUFFIX = "_labels.csv"
_COLUMNS = ("Patient_ids", "new_names", "labels")
_CLASS_OF_FOLDER: dict[str, CellClass] = {"all": "blast", "hem": "normal"}
_CLASS_OF_NUMBER: dict[str, CellClass] = {"1": "blast", "0": "normal"}
_WORDS: dict[CellClass, str] = {"blast": "ALL", "normal": "HEM"}


def official_cells(root: Path) -> tuple[Readable[PublishedCell], ...]:
    """Every labelled cell below ``root``, sorted by path, each still to be read.

    Raises :class:`DataError` when there is none. A cell raises it when its name cannot be read,
    when its labels disagree, or when a picture or its line in the table is missing.
    """
    cells: list[Readable[PublishedCell]] = [
        partial(_of_training, path) for path in _training_pictures(root)
    ]
    for table in label_tables(root):
        cells += _preliminary(table)
    if not cells:
        raise DataError(
            f"{root}: holds neither fold_*/all, fold_*/hem nor a table *{_LABELS_SUFFIX}: "
            "give the folder that C-NMC 2019 was unpacked into"
        )
    return tuple(cells)


def is_official(root: Path) -> bool:
    """Whether a training fold or a table of labels lies below ``root``."""
    return any(True for _ in _training_folders(root)) or bool(label_tables(root))


def label_tables(root: Path) -> list[Path]:
    """The tables of labels below ``root``."""
    return sorted(path for path in root.rglob(f"*{_LABELS_SUFFIX}") if path.is_file())


def _training_folders(root: Path) -> Iterator[Path]:
    """Folders ``fold_*/all`` and ``fold_*/hem`` at or below ``root``."""
    within = [root] if root.name.lower().startswith("fold_") else []
    for fold in [*within, *sorted(root.rglob("[Ff]old_*"))]:
        for folder in sorted(fold.iterdir()) if fold.is_dir() else []:
            if folder.is_dir() and folder.name.lower() in _CLASS_OF_FOLDER:
                yield folder


def _training_pictures(root: Path) -> Iterator[Path]:
    for folder in _training_folders(root):
        yield from _pictures(folder)


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".bmp")


def _of_training(path: Path) -> PublishedCell:
    cell = _named(path, path.name)
    in_folder = _CLASS_OF_FOLDER[path.parent.name.lower()]
    if cell.label != in_folder:
        raise DataError(
            f"{path}: the name says {_WORDS[cell.label]}, the folder {_WORDS[in_folder]}: "
            "move or rename it as the archive has it"
        )
    return replace(cell, fold=path.parent.parent.name.lower())


def _preliminary(table: Path) -> list[Readable[PublishedCell]]:
    """The numbered pictures of one table, and a fault for each without a line."""
    rows = _rows(table)
    folder = _folder_of(table, [row["new_names"] for row in rows])
    cells: list[Readable[PublishedCell]] = [
        partial(_of_table, table, number, row, folder) for number, row in enumerate(rows, start=2)
    ]
    listed = {row["new_names"] for row in rows}
    cells += [
        partial(_refuse, f"{path}: has no label in {table.name}: add its line or remove it")
        for path in _pictures(folder)
        if path.name not in listed
    ]
    return cells


def _of_table(table: Path, line: int, row: dict[str, str], folder: Path) -> PublishedCell:
    where = f"{table}, line {line}"
    label = _CLASS_OF_NUMBER.get(row["labels"])
    if label is None:
        raise DataError(f"{where}: labels {row['labels']!r} is neither 1 (ALL) nor 0 (HEM)")
    path = folder / row["new_names"]
    if not path.is_file():
        raise DataError(f"{where}: {path} is missing: unpack the preliminary test set again")
    cell = _named(path, row["Patient_ids"], where)
    if cell.label != label:
        raise DataError(
            f"{where}: {row['Patient_ids']} says {_WORDS[cell.label]}, labels {_WORDS[label]}: "
            "take the table from the archive again"
        )
    return replace(cell, fold=PRELIMINARY)


def _named(path: Path, name: str, where: str | None = None) -> PublishedCell:
    """The cell at ``path`` by its original ``name``, its label and its patient agreeing."""
    stem = Path(name).stem
    said = CELL_NAME.fullmatch(stem)
    if said is None:
        raise DataError(
            f"{where or path}: {name!r} is not UID_<patient>_<frame>_<cell>_<all or hem>.bmp: "
            "rename it as the archive has it"
        )
    label = _CLASS_OF_FOLDER[said["label"].lower()]
    subject = said["subject"]
    of_subject: CellClass = "normal" if subject[0].lower() == "h" else "blast"
    if label != of_subject:
        raise DataError(
            f"{where or path}: the patient {subject} is one of {_WORDS[of_subject]}, "
            f"{name!r} says {_WORDS[label]}: rename it as the archive has it"
        )
    return PublishedCell(
        path, stem, label, subject, subject, frame=said["frame"], cell=said["cell"]
    )


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            absent = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if absent:
                raise DataError(f"{table}: column {absent[0]!r} is missing: is this C-NMC's table?")
            rows = [{name: (row[name] or "").strip() for name in _COLUMNS} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as a table ({error})") from None
    if not rows:
        raise DataError(f"{table}: lists no picture")
    return rows


def _folder_of(table: Path, names: Iterable[str]) -> Path:
    """The folder with the numbered pictures of ``table``, at or below its own.

    Its name is that of the table without ``_labels``; the numbers of the final test set are the
    same, so with other names there may be only one folder with such pictures.
    """
    listed = set(names)
    below = [table.parent, *(path for path in table.parent.rglob("*") if path.is_dir())]
    holding = [folder for folder in sorted(below) if listed & {p.name for p in _pictures(folder)}]
    own = [one for one in holding if one.name == table.name[: -len(_LABELS_SUFFIX)]]
    fitting = own or holding
    if len(fitting) != 1:
        what = "no folder" if not fitting else f"{len(fitting)} folders"
        raise DataError(
            f"{table}: {what} below {table.parent} with the pictures it lists: put them into "
            f"{table.name[: -len(_LABELS_SUFFIX)]} beside it"
        )
    return fitting[0]


def _refuse(line: str) -> PublishedCell:
    raise DataError(line)
