"""The table behind ``sources/torn.py``: python -m tests.edge_daemon.sources.torn_table.

Whole frames of BCCD and TXL-PBC (``LEUKO_DATA``) are shown as they are, and again as JPEG of
several qualities and at half their size: whatever is called torn there is a false alarm. Then two
of them, or one and itself a little further on, are put together at a random row.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.sources.base import Pixels
from edge_daemon.sources.torn import TornWatch, row_prints, seam_rows

_DATA = Path(os.environ.get("LEUKO_DATA", Path(__file__).parents[4] / "shared" / "data"))
_QUALITIES = (90, 60, 40, 20)


def frames() -> list[Path]:
    return sorted(
        path
        for name in ("bccd", "txl-pbc")
        for path in (_DATA / name).rglob("images/*")
        if path.suffix in (".jpg", ".jpeg", ".png")
    )


def read(path: Path) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


def as_jpeg(picture: Pixels, quality: int) -> Pixels:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def versions(picture: Pixels) -> Iterator[tuple[str, Pixels]]:
    yield "as it is", picture
    for quality in _QUALITIES:
        yield f"JPEG {quality}", as_jpeg(picture, quality)
    yield "half size", cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    yield "every other pixel", np.ascontiguousarray(picture[::2, ::2])
    yield "glass", as_jpeg(_glass(picture), 40)


def _glass(picture: Pixels) -> Pixels:
    """No cell: the light of the picture alone, with a sensor's noise."""
    light = cv2.resize(
        cv2.resize(picture, (8, 6), interpolation=cv2.INTER_AREA), picture.shape[1::-1]
    )
    noise = np.random.default_rng(0).normal(0, 1.0, picture.shape)
    return np.clip(light + noise, 0, 255).astype(np.uint8)


def torn(picture: Pixels, other: Pixels, chance: random.Random) -> Pixels:
    height = len(picture)
    row = chance.randrange(height // 8, height - height // 8)
    return np.concatenate((picture[:row], other[row:]))


def is_torn(picture: Pixels) -> bool:
    return TornWatch().look(picture, row_prints(picture)) is not None


def main() -> None:
    paths, chance = frames(), random.Random(1)
    alarms: dict[str, list[str]] = {}
    for path in paths:
        for name, picture in versions(read(path)):
            found = alarms.setdefault(name, [])
            if is_torn(picture):
                found.append(f"{path.relative_to(_DATA)} rows {seam_rows(picture)}")
    print(f"false alarms on {len(paths)} frames")
    for name, found in alarms.items():
        print(f"  {name:<20} {len(found)}  {', '.join(found[:4])}")
    some = chance.sample(paths, min(400, len(paths)))
    for name in ("another frame", "itself, 20 to 120 px on", "5 to 20 px on"):
        seen = total = 0
        for path in some:
            picture = read(path)
            if name == "another frame":
                other = read(chance.choice(paths))
            else:
                low, high = (20, 120) if "120" in name else (5, 20)
                by = chance.randint(low, high), chance.randint(low, high)
                other = np.roll(picture, by, (0, 1))
            if other.shape != picture.shape:
                continue
            total += 1
            seen += is_torn(torn(picture, other, chance))
        print(f"torn: lower part of {name:<24} {seen} of {total} noticed")


if __name__ == "__main__":
    main()
