"""Power cuts at any moment: what was acknowledged is there, whole, and the file is sound."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest

from edge_daemon.delivery.outbox import Outbox
from edge_daemon.errors import OutboxError
from tests.edge_daemon.delivery.power_cut import Event, disk_after, record, said_before
from tests.edge_daemon.delivery.test_outbox_killed import WRITER
from tests.soak import repeated

pytestmark = [pytest.mark.soak, pytest.mark.hardware]
"""strace needs the right to look on, which some containers withhold."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> tuple[Path, list[Event]]:
    """An outbox under way, and all that it did to its files."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed; on Debian: apt-get install strace")
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "outbox.db"
    try:
        events = record(
            [sys.executable, "-c", WRITER, str(path), str(repeated(120))],
            folder / "strace.log",
            repository,
        )
    except PermissionError as error:
        pytest.skip(f"this system does not let strace look on ({error})")
    return path, events


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
    written: tuple[Path, list[Event]], tmp_path: Path
) -> None:
    path, events = written
    assert sum(event.kind == "sync" for event in events) > 100
    chance = random.Random(11)
    first = next(at for at, event in enumerate(events) if event.kind == "said")
    for _ in range(repeated(100)):
        moment = chance.randrange(first + 1, len(events) + 1)
        lines = said_before(events, moment).split("\n")[1:-1]
        acknowledged = int(lines[-1]) if lines else 0
        seqs = outbox_after(path, disk_after(events, moment, chance), tmp_path / "disk")
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) % 3 == 0, "a batch is there whole, or not at all"
        assert len(seqs) >= acknowledged


def test_the_simulation_shows_what_a_cut_does_to_a_file_that_is_not_flushed(
    written: tuple[Path, list[Event]], tmp_path: Path
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
            seqs = outbox_after(path, disk_after(careless, moment, chance), tmp_path / "disk")
        except OutboxError:
            seqs = []
        lost += len(seqs) < int(lines[-1])
    assert lost > 10
