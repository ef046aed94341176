"""A program that fills an outbox as fast as it can, to be killed or cut off."""

from __future__ import annotations

import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin, parcel_of
from tests.edge_daemon.delivery.parcels import frame

BATCH = 3
"""Messages under one commit."""


SENT = 2
"""Messages that the broker acknowledges after each commit of one that delivers."""


def write(path: Path, batches: int, say: Callable[[int], None], *, delivers: bool = False) -> None:
    """Say 0 when the outbox is open, then after each commit the number of its last message.

    One that ``delivers`` has the broker acknowledge the oldest messages after each commit, and
    says the number of the last of them, below nothing.
    """
    sender = Origin("lab", "scope-1", "0" * 32)
    outbox = Outbox(path)
    say(0)
    for _ in range(batches):
        with outbox.transaction() as batch:
            for _ in range(BATCH):
                envelope = batch.envelope(sender)
                batch.put(parcel_of(frame(envelope, envelope["record"])))
        say(envelope["seq"])
        if delivers:
            oldest = outbox.pending(SENT)
            outbox.acknowledge(entry.id for entry in oldest)
            say(-oldest[-1].parcel.seq)


def write_until_killed(path: Path, mouth: Connection) -> None:
    """As a child of the nursery."""
    write(path, 1_000_000, mouth.send)


if __name__ == "__main__":
    write(
        Path(sys.argv[1]),
        int(sys.argv[2]),
        lambda seq: print(seq, flush=True),
        delivers="delivers" in sys.argv[3:],
    )
