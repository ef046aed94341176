"""How the quality gate's thresholds were set: ``python -m tests.edge_daemon.vision.quality_table``.

Prints, for the real frames and for the same frames spoilt, how many the gate refuses, the spread
of what it measures, and what it costs. Needs the real data (``LEUKO_DATA``).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.sources.images import list_pictures
from edge_daemon.sources.reading import read_picture
from edge_daemon.vision.quality import Quality, assess
from tests.edge_daemon.vision.spoilt import SPOILT, exposed

SETS = ("bccd/train", "txl-pbc/train", "bccd/val", "txl-pbc/val")
SPOIL_EVERY = 4
MEASURES = ("focus", "exposure", "clipped_fraction", "foreground_fraction")
PERCENTILES = (0, 0.5, 5, 50, 95, 100)


def main() -> None:
    """Print the tables."""
    data = Path(os.environ.get("LEUKO_DATA", "../shared/data"))
    cv2.setNumThreads(1)
    for name in SETS:
        frames = [read_picture(path) for path in list_pictures(data / name)]
        began = time.perf_counter()
        qualities = [assess(pixels) for pixels in frames]
        cost_ms = (time.perf_counter() - began) / len(frames) * 1000
        print(f"\n{name}: {len(frames)} frames, {cost_ms:.2f} ms per frame")
        print_line("as they are", qualities)
        for measure in MEASURES:
            print_spread(measure, qualities)
        for how, spoil in {"same light": lambda p: exposed(p, 1.0), **SPOILT}.items():
            spoilt = [assess(spoil(pixels)) for pixels in frames[::SPOIL_EVERY]]
            print_line(how, spoilt)
            print_spread("focus", spoilt)


def print_line(how: str, qualities: list[Quality]) -> None:
    """How many were refused, and for what."""
    reasons = [quality.reason.split(":")[0] for quality in qualities if quality.reason]
    by_reason = ", ".join(f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons)))
    print(f"  {how:26s} refused {len(reasons) / len(qualities):6.1%}  {by_reason}")


def print_spread(measure: str, qualities: list[Quality]) -> None:
    """Percentiles of one measure over the frames in which it was measured."""
    values = [v for quality in qualities if (v := getattr(quality, measure)) is not None]
    if values:
        spread = "  ".join(f"{v:7.3f}" for v in np.percentile(values, PERCENTILES))
        print(f"    {measure:24s} {spread}   (percentiles {PERCENTILES})")


if __name__ == "__main__":
    main()
