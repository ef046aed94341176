"""How the quality gate's thresholds were set: ``python -m tests.edge_daemon.vision.quality_table``.

Prints, for the real frames and for the same frames spoilt, how many the gate refuses and hints at,
the spread of what it measures, and what it costs in processor time; then the same for rendered
slides with a defect. Colours are held against a reference learnt on the training frames of the same
set. Needs the real data (``LEUKO_DATA``).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.contract.stain import StainReference
from edge_daemon.sources.base import Pixels
from edge_daemon.sources.images import list_pictures
from edge_daemon.sources.reading import read_picture
from edge_daemon.sources.simulated import open_simulated
from edge_daemon.vision.quality import Quality, assess
from edge_daemon.vision.quality.stain import measure_stain, stain_reference
from tests.edge_daemon.vision.spoilt import SPOILT

SETS = ("bccd/train", "txl-pbc/train", "bccd/val", "txl-pbc/val")
SPOIL_EVERY = 4
MEASURES = (
    "focus",
    "evenness",
    "exposure",
    "clipped_fraction",
    "foreground_fraction",
    "stain_shift",
)
PERCENTILES = (0, 0.5, 5, 50, 95, 99.5, 100)
RENDERED = {
    "rendered, as they are": "",
    "rendered, 4 um out of focus": "focus=0&sweep=4",
    "rendered, moved 0.75 um": "motion=0.75",
    "rendered, moved 1.5 um": "motion=1.5",
    "rendered, corners half the light": "vignetting=0.5",
    "rendered, yellow lamp": "cast=0.6",
    "rendered, other laboratory's stain": "stain=1.5&seed=9",
    "rendered, hardly a cell": "red=0.4&white=0.2&platelets=0",
    "rendered, clean glass": "target=blank",
}


def main() -> None:
    """Print the tables."""
    data = Path(os.environ.get("LEUKO_DATA", "../shared/data"))
    cv2.setNumThreads(1)
    references: dict[str, StainReference] = {}
    for name in SETS:
        frames = [read_picture(path) for path in list_pictures(data / name)]
        family = name.partition("/")[0]
        reference = references.setdefault(family, learnt(frames))
        began = time.process_time()
        qualities = [assess(pixels, None, reference) for pixels in frames]
        cost_ms = (time.process_time() - began) / len(frames) * 1000
        print(f"\n{name}: {len(frames)} frames, {cost_ms:.2f} ms of processor time per frame")
        print_line("as they are", qualities)
        for measure in MEASURES:
            print_spread(measure, qualities)
        for how, spoil in SPOILT.items():
            spoilt = [assess(spoil(pixels), None, reference) for pixels in frames[::SPOIL_EVERY]]
            print_line(how, spoilt)
    print("\nrendered slides, 20 frames each")
    reference = learnt(rendered("seed=3"))
    for how, settings in RENDERED.items():
        qualities = [assess(pixels, None, reference) for pixels in rendered(settings)]
        print_line(how, qualities)


def learnt(frames: list[Pixels]) -> StainReference:
    """The reference of these frames."""
    reference = stain_reference([measure_stain(pixels) for pixels in frames])
    assert reference is not None
    return reference


def rendered(settings: str) -> list[Pixels]:
    """Twenty frames of a rendered slide."""
    with open_simulated(f"sim://?fields=20&{settings}".rstrip("&")) as source:
        return [frame.pixels for frame in source]


def print_line(how: str, qualities: list[Quality]) -> None:
    """How many were refused or hinted at, and for what."""
    refused = [quality.reason for quality in qualities if quality.reason]
    hints = [hint for quality in qualities if quality.accepted for hint in quality.hints]
    print(
        f"  {how:34s} refused {len(refused) / len(qualities):6.1%}  {counted(refused)}"
        f"  hints {counted(hints) or 'none'}"
    )


def counted(lines: list[str]) -> str:
    """The first words of each, with their number."""
    kinds = Counter(line.partition(":")[0] for line in lines)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def print_spread(measure: str, qualities: list[Quality]) -> None:
    """Percentiles of one measure over the frames in which it was measured."""
    values = [v for quality in qualities if (v := getattr(quality, measure)) is not None]
    if values:
        spread = "  ".join(f"{v:7.3f}" for v in np.percentile(values, PERCENTILES))
        print(f"    {measure:24s} {spread}   (percentiles {PERCENTILES})")


if __name__ == "__main__":
    main()
