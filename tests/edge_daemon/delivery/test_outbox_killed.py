"""``kill -9`` at any moment: what was committed is there, once, and numbering has no hole.

A killed process shows that transactions are whole; it cannot show what a power cut does, for which
the outbox writes with ``synchronous=FULL``.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from edge_daemon.delivery.outbox import Outbox
from tests.edge_daemon.delivery.writer import BATCH, write_until_killed
from tests.nursery import Child
from tests.soak import repeated

pytestmark = pytest.mark.soak


def test_nothing_committed_is_lost_and_no_number_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    chance = random.Random(7)
    total = 0
    for _ in range(repeated(10, 200)):
        writer = Child(write_until_killed, path)
        assert writer.hear() == 0
        said = writer.hear_some(chance.randrange(8))
        time.sleep(chance.uniform(0.0, 0.03))  # about two commits
        said += writer.kill()
        with Outbox(path) as outbox:
            entries = outbox.pending(1_000_000)
            outbox.acknowledge(entry.id for entry in entries)
        seqs = [entry.parcel.seq for entry in entries]
        assert seqs == list(range(total + 1, total + len(seqs) + 1))
        assert len(seqs) % BATCH == 0
        total += len(seqs)
        assert total >= max(said, default=0)
    assert total > 30
