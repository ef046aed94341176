"""``kill -9`` at any moment: what was committed is there, once, and numbering has no hole.

A killed process shows that transactions are whole; it cannot show what a power cut does, for which
the outbox writes with ``synchronous=FULL``.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_daemon.delivery.outbox import Outbox
from tests.soak import repeated

pytestmark = pytest.mark.soak

WRITER = """
import sys
from pathlib import Path
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin, parcel_of
from tests.edge_daemon.delivery.parcels import frame

sender = Origin("lab", "scope-1", "0" * 32)
outbox = Outbox(Path(sys.argv[1]))
print("open", flush=True)
for _ in range(int(sys.argv[2])):
    with outbox.transaction() as batch:
        for _ in range(3):
            envelope = batch.envelope(sender)
            batch.put(parcel_of(frame(envelope, envelope["record"])))
    print(envelope["seq"], flush=True)
"""


def test_nothing_committed_is_lost_and_no_number_is_skipped(
    tmp_path: Path, repository: Path
) -> None:
    path = tmp_path / "outbox.db"
    chance = random.Random(7)
    for _ in range(repeated(3)):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), "1000000"],
            cwd=repository,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        time.sleep(chance.uniform(0.02, 0.2))
        writer.kill()
        said = writer.stdout.read().split("\n")[:-1]  # the last line may be cut
        writer.wait()
        with Outbox(path) as outbox:
            seqs = [entry.parcel.seq for entry in outbox.pending(1_000_000)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) % 3 == 0
        assert len(seqs) >= (int(said[-1]) if said else 0)
    assert len(seqs) > 30
