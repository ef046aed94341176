"""Which published layout a folder has, and where its splits are.

A set is recognised by what only its layout has: a manifest with C-NMC's columns, folds of cells, a
folder of XML or of labels, a JSON file with COCO's lists, pictures named as ALL-IDB1 names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from edge_daemon.errors import DataError
from trainer.data.all_idb import frame_pictures
from trainer.data.cnmc import MANIFEST
from trainer.data.cnmc_official import is_official
from trainer.data.data_manifest import FieldLayout, Layout
from trainer.data.field_readers.coco import coco_files, coco_frames, split_name
from trainer.data.field_readers.voc import ANNOTATIONS, voc_frames
from trainer.data.field_readers.yolo import yolo_frames
from trainer.data.field_records import PublishedField
from trainer.data.reading import Readable

_IMAGES, _LABELS = "images", "labels"


@dataclass(frozen=True)
class FoundSet:
    """One set below the folder that a user gave."""

    name: str
    layout: Layout
    root: Path


@dataclass(frozen=True)
class FieldSplit:
    """One split of a whole-field set, its frames still to be read."""

    name: str
    """``set/split``, or the set alone when it has no splits."""
    frames: tuple[Readable[PublishedField], ...]


def find_sets(root: Path, layout: Layout | None = None) -> tuple[FoundSet, ...]:
    """The set in ``root``, or the sets in its folders when ``root`` itself is none.

    Raises :class:`DataError` when there is none, or when a set has several layouts and ``layout``
    does not say which is meant.
    """
    if not root.is_dir():
        raise DataError(f"{root}: is no folder: give the folder of the set")
    root = root.resolve()
    if layout is not None:
        return (FoundSet(root.name, layout, root),)
    own = layouts_of(root)
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != "."]
    inside = {path: layouts for path in folders if (layouts := layouts_of(path))}
    # Splits of one set have one layout; folders with several are several sets, although what lies
    # in them can be seen from above, too.
    if own and len({layout for layouts in inside.values() for layout in layouts}) <= 1:
        return (FoundSet(root.name, _only(root, own), root),)
    if not inside:
        raise DataError(
            f"{root}: no known layout ({', '.join(get_args(Layout))}): give the folder of the set, "
            "or say which --layout it has"
        )
    return tuple(
        FoundSet(path.name, _only(path, layouts), path) for path, layouts in inside.items()
    )


def find_set(root: Path, layout: Layout | None = None) -> FoundSet:
    """The one set in ``root``; raises :class:`DataError` when there are several or none."""
    found = find_sets(root, layout)
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise DataError(f"{root}: holds several sets ({names}): give the folder of one")
    return found[0]


def layouts_of(root: Path) -> list[Layout]:
    """All layouts that ``root`` could have."""
    return [layout for layout, is_it in _SIGNS.items() if is_it(root)]


def field_splits(found: FoundSet) -> tuple[FieldSplit, ...]:
    """The splits of a whole-field set; raises :class:`DataError` when there is none."""
    layout: Layout = found.layout
    if layout == "coco":
        files = coco_files(found.root)
        splits = {_split_of(path, found.root): coco_frames(path) for path in files}
    elif layout == "voc":
        folders = _folders_with(found.root, ANNOTATIONS)
        splits = {name: voc_frames(folder) for name, folder in folders.items()}
    elif layout == "yolo":
        pairs = _yolo_folders(found.root)
        splits = {name: yolo_frames(images, labels) for name, (images, labels) in pairs.items()}
    else:
        raise DataError(f"{found.root}: {layout} is no layout of whole fields")
    if not splits:
        raise DataError(f"{found.root}: nothing of the layout {layout} is there")
    return tuple(
        FieldSplit(f"{found.name}/{name}" if name else found.name, frames)
        for name, frames in splits.items()
    )


def is_of_fields(layout: Layout) -> bool:
    """Whether ``layout`` is one of whole fields with boxes."""
    return layout in get_args(FieldLayout)


def _has_manifest(root: Path) -> bool:
    try:
        with (root / MANIFEST).open(encoding="utf-8") as lines:
            return "fg_frac" in lines.readline()
    except (OSError, UnicodeDecodeError):
        return False


def _yolo_folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Pictures and labels of each split: ``train/labels`` or, as TXL-PBC has it, ``labels/train``.

    The folder itself is a split called "" when its labels lie in it directly.
    """
    found = {
        name: (folder / _IMAGES, folder / _LABELS)
        for name, folder in _folders_with(root, (_LABELS,)).items()
        if any((folder / _LABELS).glob("*.txt"))
    }
    for labels in sorted((root / _LABELS).glob("*/")):
        if labels.is_dir():
            found[labels.name] = (root / _IMAGES / labels.name, labels)
    return found


def _folders_with(root: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """``root`` as "" when it has one of the folders ``names``, else its folders that have one."""
    if any((root / name).is_dir() for name in names):
        return {"": root}
    return {
        folder.name: folder
        for folder in sorted(root.iterdir())
        if folder.is_dir() and any((folder / name).is_dir() for name in names)
    }


def _split_of(path: Path, root: Path) -> str:
    name = split_name(path)
    return "" if name in (root.name, "annotations") else name


def _only(root: Path, found: list[Layout]) -> Layout:
    if len(found) > 1:
        raise DataError(f"{root}: could be {' or '.join(found)}: say which with --layout")
    return found[0]


_SIGNS: Mapping[Layout, Callable[[Path], bool]] = {
    "cnmc-compact": _has_manifest,
    "cnmc": is_official,
    "voc": lambda root: bool(_folders_with(root, ANNOTATIONS)),
    "yolo": lambda root: bool(_yolo_folders(root)),
    "coco": lambda root: bool(coco_files(root)),
    "all-idb1": lambda root: bool(frame_pictures(root)),
}
