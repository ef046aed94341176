"""Is each white cell counted once? ``python -m tests.edge_daemon.vision.counting_table``.

Slides of real pixels (C-NMC cells of the validation patients on validation frames), no stage
positions, neighbouring fields with 30 % in common. The slide creeps by 4 px from frame to frame,
and the scan leaves its way eight times, goes on elsewhere and comes back later. Frames go through
the daemon's own path with the newest bundle, and every error is told by what it is: a net figure
hides one cell counted twice and one missed.

    python -m tests.edge_daemon.vision.counting_table [--keep FOLDER] [SEED ...]

Takes a minute or more for each slide. With ``--keep`` what was found in the frames is kept there,
and taken from there the next time: registration alone is then done again. ``LEUKO_CELLS`` and
``LEUKO_DATA`` name the folders of cells (``runs/data/cnmc2019``: patients who share a cell in one
split) and of backgrounds.
"""

from __future__ import annotations

import argparse
import os
import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np

from edge_daemon.commands.models import open_models
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.sources.simulated import SlideTruth, open_simulated
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.register import View, view_of
from edge_daemon.vision.slide_map import SlideMap
from tests.edge_daemon.vision.counting import CountErrors, CountingRecord

BACKGROUNDS = ("bccd", "txl-pbc")
SEEDS = (511, 512, 513, 514, 515, 516)
"""Chosen before anything was looked at."""
WAY = "overlap=0.3&stage=none&jumps=8&drift=4"

Seen = tuple[int, View, tuple[Sighting, ...]]
"""Of an analysed frame: its number, what registration keeps of it, and its cells."""


def address(cells: Path, backgrounds: Path, seed: int, number: int = 200, way: str = WAY) -> str:
    """A slide of real pixels."""
    return f"sim://?seed={seed}&fields={number}&cells={cells}&backgrounds={backgrounds}&split=val&{way}"


def look(spec: str, models: Models) -> list[Seen]:
    """Every frame of a slide through the daemon's path."""
    seen: list[Seen] = []
    pipeline = Pipeline(models)
    with open_simulated(spec) as source:
        for frame in source:
            mapped = pipeline.process(frame).mapped
            if mapped is not None:
                boxes = np.array([s.box for s in mapped.sightings], np.float32).reshape(-1, 4)
                seen.append((frame.index, view_of(frame.pixels, boxes), mapped.sightings))
    return seen


def count(seen: list[Seen], truth: SlideTruth) -> tuple[CountErrors, SlideMap]:
    """Place the frames, count their cells, and hold the count against the truth."""
    slide, record = SlideMap(), CountingRecord()
    for index, view, sightings in seen:
        slide.add(slide.place_view(view, frame_field=0), sightings)
        record.enter(truth.frames[index], sightings)
    return record.errors(slide, truth), slide


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Is each white cell counted once?")
    parser.add_argument("seeds", nargs="*", type=int, metavar="SEED")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    data = Path(os.environ.get("LEUKO_DATA", "../shared/data"))
    cells = Path(os.environ.get("LEUKO_CELLS", "runs/data/cnmc2019"))
    print("background  seed  found/true        " + "  ".join(_NAMES) + "  lost islands")
    total = CountErrors()
    for background in BACKGROUNDS:
        for seed in asked.seeds or SEEDS:
            spec = address(cells, data / background / "val", seed)
            seen = _seen(spec, asked.keep and asked.keep / f"{background}-{seed}.pkl")
            errors, slide = count(seen, open_simulated(spec).truth())
            total += errors
            print(
                f"{background:10}  {seed:4}  {_row(errors)}  {slide.lost} {slide.islands}",
                flush=True,
            )
    print(f"{'all':16}  {_row(total)}")


_NAMES = [field.name for field in fields(CountErrors)][2:]


def _row(errors: CountErrors) -> str:
    net = 100 * (errors.found / errors.true - 1)
    numbers = "  ".join(f"{getattr(errors, name):>{len(name)}}" for name in _NAMES)
    return f"{errors.found:5}/{errors.true:<5} {net:+5.1f} %  {numbers}"


def _seen(spec: str, kept: Path | None) -> list[Seen]:
    if kept is not None and kept.is_file():
        seen: list[Seen] = pickle.loads(kept.read_bytes())  # noqa: S301 - written here
        return seen
    with open_models(None) as models:
        seen = look(spec, models)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(seen))
    return seen


if __name__ == "__main__":
    main()
