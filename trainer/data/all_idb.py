"""ALL-IDB1: smear frames with the centre of every lymphoblast.

Labati, Piuri & Scotti, ICIP 2011. A frame is ``ImXXX_Y.jpg``, Y being 1 for a patient with acute
lymphoblastic leukaemia and 0 for a healthy donor; ``ImXXX_Y.xyc`` has one line ``x y`` per blast,
in pixels, and is empty or absent for the healthy. Points, not boxes: the set can say whether the
blasts of a field were counted, not how well they were outlined, and it names no patient. A frame
of a patient may show no blast.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_daemon.errors import DataError
from trainer.data.field_records import Unsound, finite, picture_at
from trainer.data.reading import Readable, read_strictly

_NAME = re.compile(r"Im\d+_(?P<leukaemia>[01])", re.IGNORECASE)
_SUFFIXES = (".jpg", ".jpeg", ".tif", ".png")
_IMAGES, _POINTS = ("im", "images", ""), ("xyc", "")


@dataclass(frozen=True, eq=False)
class BlastFrame:
    """One smear frame and where its blasts are."""

    image: Path
    height: int
    width: int
    leukaemia: bool
    """Whether the patient has acute lymphoblastic leukaemia; not whether this frame shows it."""
    blasts: NDArray[np.float32]
    """float32 ``[N, 2]``: x, y of each blast's centre in pixels, inside the frame."""
    unsound: tuple[Unsound, ...] = ()
    """Published points that lie outside of the picture."""


def read_all_idb(root: Path) -> tuple[BlastFrame, ...]:
    """All frames below ``root`` in order of their names.

    Raises :class:`DataError` when there is none, for a picture that cannot be read, a patient's
    frame without its points, a line that is not ``x y``, or a healthy donor with a blast.
    """
    return tuple(read_strictly(blast_frames(root)))


def blast_frames(root: Path) -> tuple[Readable[BlastFrame], ...]:
    """The frames of ``root``, or of ``im`` in it; raises :class:`DataError` when there is none."""
    images = frame_pictures(root)
    if not images:
        raise DataError(f"no ImXXX_0.jpg or ImXXX_1.jpg in {root}: is this ALL-IDB1?")
    points = {
        path.stem.lower(): path
        for name in reversed(_POINTS)
        for path in sorted((root / name).glob("*.xyc"))
    }
    return tuple(partial(_frame, path, points.get(path.stem.lower())) for path in images)


def frame_pictures(root: Path) -> list[Path]:
    """The pictures named as ALL-IDB1 names them; other pictures are not of the set."""
    for name in _IMAGES:
        found = sorted(
            path
            for path in ((root / name).iterdir() if (root / name).is_dir() else ())
            if path.suffix.lower() in _SUFFIXES and _NAME.fullmatch(path.stem)
        )
        if found:
            return found
    return []


def _frame(image: Path, points: Path | None) -> BlastFrame:
    named = _NAME.fullmatch(image.stem)
    leukaemia = named is not None and named["leukaemia"] == "1"
    _, height, width = picture_at(image)
    if points is None and leukaemia:
        raise DataError(f"{image}: {image.stem}.xyc with the centres of its blasts is missing")
    listed = [] if points is None else _points(points)
    if listed and not leukaemia:
        raise DataError(
            f"{points}: has {len(listed)} blasts, the name {image.name} says healthy: "
            "take both files from the archive again"
        )
    inside = [(x, y) for x, y in listed if 0 <= x < width and 0 <= y < height]
    unsound = tuple(
        Unsound(image.name, point, "dropped: outside of the picture")
        for point in listed
        if point not in inside
    )
    blasts = np.asarray(inside, np.float32).reshape(-1, 2)
    return BlastFrame(image, height, width, leukaemia, blasts, unsound)


def _points(path: Path) -> Sequence[tuple[float, float]]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    points = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                x, y = (finite(value) for value in line.replace(",", " ").split())
            except ValueError:
                raise DataError(f"{path}:{number}: not 'x y': {line!r}") from None
            points.append((x, y))
    return points
