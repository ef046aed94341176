"""COCO: one JSON file per split, with ``images``, ``annotations`` and ``categories``.

A box is x, y, width, height in pixels. Categories are told by their name, whatever their number and
capitals, so that a set with its own numbering is not read wrongly. Categories that no box uses may
be called anything (exports of labelling tools add one for the whole set).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edge_daemon.errors import DataError
from trainer.data.field_records import Marked, PublishedField, finite, kind_of, picture_at
from trainer.data.reading import Readable

_LISTS = ("images", "annotations", "categories")
_PREFIXES = ("instances_", "_annotations.coco", "annotations")


def coco_frames(path: Path) -> tuple[Readable[PublishedField], ...]:
    """The frames listed in the JSON file ``path``.

    Raises :class:`DataError` when it is not COCO's, lists no picture, or a box is of no picture.
    """
    document = _document(path)
    names = {one.get("id"): one.get("name") for one in document["categories"]}
    boxes: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in document["annotations"]:
        boxes[annotation.get("image_id")].append(annotation)
    images = document["images"]
    if not images:
        raise DataError(f"{path}: lists no picture")
    frames: list[Readable[PublishedField]] = [
        partial(_frame, path, image, boxes.pop(image.get("id"), []), names) for image in images
    ]
    frames += [
        partial(_refuse, f"{path}: {len(of_none)} boxes are of picture {image!r}, not in 'images'")
        for image, of_none in boxes.items()
    ]
    return tuple(frames)


def coco_files(folder: Path) -> list[Path]:
    """The JSON files in ``folder``, its ``annotations`` and its splits that have COCO's lists."""
    found = sorted(folder.glob("*.json")) + sorted(folder.glob("*/*.json"))
    return [path for path in found if _looks_like_coco(path)]


def split_name(path: Path) -> str:
    """Name of the split that a JSON file describes: from its own, or else its folder's name."""
    stem = path.stem
    for prefix in _PREFIXES:
        stem = stem.removeprefix(prefix)
    if stem:
        return stem
    return path.parent.name


def _frame(
    path: Path,
    image: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    names: Mapping[Any, Any],
) -> PublishedField:
    name = image.get("file_name")
    if not isinstance(name, str) or "id" not in image:
        raise DataError(f"{path}: a picture without 'id' or 'file_name': {dict(image)!r}")
    picture, height, width = picture_at(_picture(path, name))
    said = (image.get("height", height), image.get("width", width))
    if said != (height, width):
        raise DataError(
            f"{path}: {name} is said to be {said[1]}x{said[0]}, the picture is {width}x{height}: "
            "its boxes would be wrong; export the set again"
        )
    return PublishedField(
        picture, height, width, [_marked(path, name, one, names) for one in annotations]
    )


def _marked(
    path: Path, picture: str, annotation: Mapping[str, Any], names: Mapping[Any, Any]
) -> Marked:
    where = f"{path}: annotation {annotation.get('id')!r} of {picture}"
    name = names.get(annotation.get("category_id"))
    kind = kind_of(name) if isinstance(name, str) else None
    if kind is None:
        raise DataError(f"{where}: unknown kind of cell {name or annotation.get('category_id')!r}")
    try:
        x, y, w, h = (finite(value) for value in annotation["bbox"])
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{where}: bbox {annotation.get('bbox')!r} is not x, y, width, height"
        ) from None
    return Marked(kind, (x, y, x + w, y + h), crowd=bool(annotation.get("iscrowd")))


def _picture(path: Path, name: str) -> Path:
    """Where the picture is: beside the JSON, in ``images``, or in the folder of the split."""
    here, above, split = path.parent, path.parent.parent, split_name(path)
    places = (here, here / "images", above / "images", above / "images" / split, above / split)
    found = (place / name for place in places if (place / name).is_file())
    return next(found, here / "images" / name)


def _document(path: Path) -> dict[str, list[dict[str, Any]]]:
    document = _loaded(path)
    for name in _LISTS:
        value = document.get(name) if isinstance(document, dict) else None
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise DataError(f"{path}: {name!r} is missing or no list of objects: is this COCO's?")
    return document


def _looks_like_coco(path: Path) -> bool:
    try:
        document = _loaded(path)
    except DataError:
        return False
    return isinstance(document, dict) and {"images", "annotations"} <= document.keys()


def _loaded(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        raise DataError(f"{path}: cannot be read as JSON ({error})") from None


def _refuse(line: str) -> PublishedField:
    raise DataError(line)
