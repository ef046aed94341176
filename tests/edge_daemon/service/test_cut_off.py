"""A daemon that is cut off at any moment: no frame it wrote down is lost, the slide goes on."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.contract.messages import FrameResult, SlideSummary, parse_message
from edge_daemon.delivery.outbox import Outbox
from tests.edge_daemon.delivery.power_cut import (
    Event,
    disk_after,
    recorded,
    said_before,
    simulated_disk,
)
from tests.edge_daemon.service.screening_process import (
    FRAMES,
    open_tiny,
    screen_one,
    screen_until_killed,
)
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.nursery import Child
from tests.soak import repeated

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles"))


class Published:
    """What an outbox holds: frames by slide, and the last standing of each slide."""

    def __init__(self, path: Path) -> None:
        with Outbox(path) as outbox:
            entries = outbox.pending(1_000_000)
        self.frames: dict[str, list[int]] = defaultdict(list)
        self.ends: dict[str, SlideSummary] = {}
        for entry in entries:
            if not entry.parcel.topic.endswith(("/frame", "/summary")):
                continue
            message = parse_message(entry.parcel.payload)
            if isinstance(message, FrameResult):
                self.frames[message.slide].append(message.frame)
            elif isinstance(message, SlideSummary) and message.ended_at is not None:
                self.ends[message.slide] = message

    def check(self) -> None:
        """Each frame once and in order; whole slides are counted as if nothing had happened."""
        for slide, frames in self.frames.items():
            assert frames == list(range(len(frames))), slide
        for slide, end in self.ends.items():
            assert (end.completion, end.frames.captured) == ("source_ended", FRAMES)
            assert self.frames[slide] == list(range(FRAMES))
            assert (end.unique_cells.wbc, end.unique_cells.rbc) == (FRAMES, 4 * FRAMES)


def integrity(path: Path) -> str:
    with sqlite3.connect(path) as db:
        (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
    db.close()
    return str(verdict)


def test_killed_at_any_moment_the_slide_goes_on(tmp_path: Path, bundle: Path) -> None:
    path = tmp_path / "outbox.db"
    chance = random.Random(17)
    acknowledged: set[tuple[str, int]] = set()
    times = repeated(8, 200)
    for _ in range(times):
        daemon = Child(screen_until_killed, tmp_path, bundle)
        assert daemon.hear() == ("open", 0)
        acknowledged.update(daemon.hear_some(chance.randrange(25)))
        time.sleep(chance.uniform(0.0, 0.03))
        acknowledged.update(daemon.kill())
        assert integrity(path) == "ok"
    published = Published(path)
    published.check()
    stored = {(slide, frame) for slide, frames in published.frames.items() for frame in frames}
    assert acknowledged <= stored
    assert len(acknowledged) > 2 * times
    assert len(published.frames) - len(published.ends) <= 1, "one slide at a time"


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with simulated_disk() as folder:
        yield folder


@pytest.fixture(scope="module")
def screened(
    tmp_path_factory: pytest.TempPathFactory, disk: Path, repository: Path, bundle: Path
) -> tuple[Path, list[Event]]:
    """A daemon that screens two slides, and all that it did to its files."""
    program = [sys.executable, "-m", "tests.edge_daemon.service.screening_process"]
    log = tmp_path_factory.mktemp("cut") / "log"
    return disk / "outbox.db", recorded([*program, str(disk), str(bundle), "2"], log, repository)


@pytest.mark.hardware
def test_after_a_power_cut_at_any_commit_the_slide_goes_on(
    screened: tuple[Path, list[Event]], disk: Path, bundle: Path
) -> None:
    """It takes the right to look on with strace, which some containers withhold."""
    path, events = screened
    chance = random.Random(23)
    commits = [at for at, event in enumerate(events) if event.kind == "sync"]
    opened = next(at for at, event in enumerate(events) if event.kind == "said")
    assert len(commits) > 2 * FRAMES
    with open_tiny(bundle) as models:
        for _ in range(repeated(5, 100)):
            commit = chance.choice([at for at in commits if at > opened])
            moment = min(max(opened + 1, commit + chance.randrange(-3, 4)), len(events))
            said = [line.split() for line in said_before(events, moment).split("\n")[1:-1]]
            after = disk / "after"
            shutil.rmtree(after, ignore_errors=True)
            after.mkdir()
            for name, content in disk_after(events, moment, chance).items():
                if name.startswith(str(path)):
                    (after / Path(name).name).write_bytes(content)
            screen_one(models, after, lambda _said: None)
            assert integrity(after / path.name) == "ok"
            published = Published(after / path.name)
            published.check()
            assert set(published.frames) == set(published.ends)
            for slide, frame in said:
                assert int(frame) in published.frames[slide]
