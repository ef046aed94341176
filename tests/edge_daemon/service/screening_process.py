"""A program that screens slide after slide of drawn frames, to be killed or cut off."""

from __future__ import annotations

import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.engines.options import EngineOptions
from edge_daemon.inference import Models
from tests.edge_daemon.scenes import Listed, frame
from tests.edge_daemon.service.test_slides import Life

FRAMES = 40
"""In a slide. Each shows a new place with one white cell and four red ones."""

Say = Callable[[tuple[str, int]], None]


def open_tiny(bundle: Path) -> Models:
    """The networks of a tiny bundle."""
    return Models.open(load_bundle(bundle), EngineOptions("onnxruntime", threads=1))


def screen_one(models: Models, folder: Path, say: Say) -> None:
    """Go on with the slide under way or begin one; say each frame once it is committed."""
    scenes = [frame(index) for index in range(FRAMES)]
    life = Life(models, folder, Listed(*scenes), at_once=True, name="s")
    told = 0
    going_on = True
    while going_on:
        going_on = life.service.turn()
        for result in life.frames[told:]:
            say((result.slide, result.frame))
        told = len(life.frames)
    life.service.close()
    life.outbox.close()


def screen_until_killed(folder: Path, bundle: Path, mouth: Connection) -> None:
    """As a child of the nursery."""
    with open_tiny(bundle) as models:
        mouth.send(("open", 0))
        while True:
            screen_one(models, folder, mouth.send)


if __name__ == "__main__":
    with open_tiny(Path(sys.argv[2])) as opened:
        print("open 0", flush=True)
        for _ in range(int(sys.argv[3])):
            screen_one(opened, Path(sys.argv[1]), lambda said: print(*said, flush=True))
