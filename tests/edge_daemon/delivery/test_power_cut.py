"""Power cuts at any moment: what was acknowledged is there, whole, and the file is sound."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.delivery.outbox import Outbox
from edge_daemon.errors import OutboxError
from tests.edge_daemon.delivery.power_cut import (
    Event,
    disk_after,
    recorded,
    said_before,
    simulated_disk,
)
from tests.edge_daemon.delivery.writer import BATCH, SENT
from tests.soak import repeated

pytestmark = [pytest.mark.soak, pytest.mark.hardware]
"""strace needs the right to look on, which some containers withhold."""


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with simulated_disk() as folder:
        yield folder


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, disk: Path, repository: Path
) -> tuple[Path, list[Event]]:
    """An outbox under way, and all that it did to its files."""
    path, log = disk / "outbox.db", tmp_path_factory.mktemp("cut") / "strace.log"
    program = [sys.executable, "-m", "tests.edge_daemon.delivery.writer", str(path), "120"]
    return path, recorded(program, log, repository)


@pytest.fixture(scope="module")
def delivered(
    tmp_path_factory: pytest.TempPathFactory, disk: Path, repository: Path
) -> tuple[Path, list[Event]]:
    """The same of one whose messages are acknowledged by the broker as they go."""
    path, log = disk / "delivering.db", tmp_path_factory.mktemp("delivering") / "strace.log"
    program = [sys.executable, "-m", "tests.edge_daemon.delivery.writer", str(path), "120"]
    return path, recorded([*program, "delivers"], log, repository)


def outbox_after(path: Path, disk: dict[str, bytes], into: Path) -> list[int]:
    """The numbers of the messages that an outbox finds on such a disk."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    for name, content in disk.items():
        if name.startswith(str(path)):
            (into / Path(name).name).write_bytes(content)
    with Outbox(into / path.name) as outbox:
        return [entry.parcel.seq for entry in outbox.pending(1_000_000)]


def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(
    written: tuple[Path, list[Event]], disk: Path
) -> None:
    path, events = written
    assert sum(event.kind == "sync" for event in events) > 100
    chance = random.Random(11)
    first = next(at for at, event in enumerate(events) if event.kind == "said")
    for _ in range(repeated(100, 400)):
        moment = chance.randrange(first + 1, len(events) + 1)
        lines = said_before(events, moment).split("\n")[1:-1]
        acknowledged = int(lines[-1]) if lines else 0
        seqs = outbox_after(path, disk_after(events, moment, chance), disk / "after")
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) % BATCH == 0, "a batch is there whole, or not at all"
        assert len(seqs) >= acknowledged


def test_of_what_goes_to_the_broker_meanwhile_nothing_is_lost_and_little_sent_twice(
    delivered: tuple[Path, list[Event]], disk: Path
) -> None:
    """An acknowledgement is not flushed: a cut takes some back, and these go once more."""
    path, events = delivered
    chance = random.Random(12)
    first = next(at for at, event in enumerate(events) if event.kind == "said")
    again = 0
    for _ in range(repeated(100, 400)):
        moment = chance.randrange(first + 1, len(events) + 1)
        said = [int(line) for line in said_before(events, moment).split("\n")[1:-1]]
        stored, sent = max([0, *said]), -min([0, *said])
        seqs = outbox_after(path, disk_after(events, moment, chance), disk / "after")
        newest = seqs[-1] if seqs else stored
        assert seqs == list(range(newest - len(seqs) + 1, newest + 1))
        assert newest % BATCH == 0, "a batch is there whole, or not at all"
        assert newest >= stored
        waiting = seqs[0] if seqs else newest + 1
        assert waiting <= sent + SENT + 1, "what the broker does not have waits for it"
        assert sent + 1 - waiting <= SENT, "no more again than was acknowledged since a flush"
        again += waiting <= sent
    assert again, "that this happens at all is what makes it a test"


def test_the_simulation_shows_what_a_cut_does_to_a_file_that_is_not_flushed(
    written: tuple[Path, list[Event]], disk: Path
) -> None:
    """Without its flushes the same program loses what it acknowledged: the test can fail."""
    path, events = written
    careless = [
        event for event in events if event.kind != "sync" or not str(event.path).endswith("-wal")
    ]
    chance = random.Random(3)
    lost = 0
    for _ in range(20):
        moment = chance.randrange(len(careless) // 2, len(careless) + 1)
        lines = said_before(careless, moment).split("\n")[1:-1]
        try:
            seqs = outbox_after(path, disk_after(careless, moment, chance), disk / "after")
        except OutboxError:
            seqs = []
        lost += len(seqs) < int(lines[-1])
    assert lost > 10
