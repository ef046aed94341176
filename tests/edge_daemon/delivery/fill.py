"""Fill an outbox whose receiver is away, until things are given up, on a disk that may be small.

As a program (``python -m tests.edge_daemon.delivery.fill FOLDER URL``) it is meant to run where
``FOLDER`` is a small file system of its own.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edge_daemon.contract.messages import CellCounts, Crop, FrameResult, SlideSummary
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Batch, Outbox
from edge_daemon.delivery.parcel import Origin, Worth, crop_parcel, parcel_of
from edge_daemon.delivery.receiver import Received, Receiver, wait_until
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import DiskFullError
from tests.edge_daemon.delivery.parcels import frame, summary

PATIENCE_S = 60.0
KEEP_FREE_BYTES = 2 << 20
MARGIN_S = 1.0
"""A microscope needs minutes for what is filled here in a second."""
_PICTURE = 8_000


@dataclass
class Told:
    """What happened, for whoever checks it."""

    vital: list[int] = field(default_factory=list)
    """``seq`` of every frame with a blast and every summary that was stored."""
    first_loss_at: int = 0
    """``seq`` of the message for which something was given up first."""
    evicted: int = 0
    kept: bool = False
    """All that is vital was still there when the outbox was looked at."""
    refused: bool = False
    """The disk was full, and a result was refused."""
    summary_after: bool = False
    """A summary was stored after that."""
    went_on: bool = False
    """The publisher lives, and says so."""
    over: bool = False
    """With space again and all delivered, nothing is in trouble."""
    arrived: list[int] = field(default_factory=list)
    """``seq`` of what is vital and reached a receiver that gives receipts."""


class Filler:
    """A slide that never ends: frames, some with a blast, its picture, and summaries."""

    def __init__(self, outbox: Outbox, sender: Origin) -> None:
        self.told = Told()
        self._outbox, self._sender = outbox, sender
        self._frames = 0
        self._chance = random.Random(3)

    def frame(self, *, cells: int = 1) -> None:
        """One frame under one commit, as the daemon does; every tenth has blasts, or ``cells``."""
        blast = self._frames % 10 == 0 or cells > 1
        with self._outbox.transaction() as batch:
            result = frame(
                batch.envelope(self._sender), self._frames, "blast" if blast else "normal"
            )
            many = {"cells": result.cells * cells, "counts": CellCounts(wbc=cells)}
            result = result.model_copy(update=many)
            batch.put(parcel_of(result))
            self._picture(batch)
        self._frames += 1
        if blast:
            self.told.vital.append(result.seq)
        if self._frames % 20 == 0:
            self.summary()
        depth = self._outbox.depth()
        if depth.evicted and not self.told.first_loss_at:
            self.told.first_loss_at = result.seq
        self.told.evicted = depth.evicted

    def summary(self) -> None:
        with self._outbox.transaction() as batch:
            standing = summary(batch.envelope(self._sender), self._frames)
            batch.put(parcel_of(standing))
        self.told.vital.append(standing.seq)

    def fill(self, *, losses: int) -> None:
        """Until so many messages were given up."""
        while self._outbox.trouble is None:
            self.frame()
        assert self.told.evicted == 0
        time.sleep(MARGIN_S)
        while self.told.evicted < losses:
            self.frame()

    def look(self) -> None:
        """See whether all that is vital is still there."""
        rows = self._outbox.query(
            "SELECT seq FROM outbox WHERE worth = ? ORDER BY id", (int(Worth.VITAL),)
        )
        self.told.kept = [seq for (seq,) in rows] == self.told.vital

    def arrived(self, received: Received) -> None:
        """Takes what a receiver gets."""
        message = received.message
        if received.retained:  # the broker's copy of a summary that is still to come
            return
        if isinstance(message, FrameResult | SlideSummary) and message.seq in self.told.vital:
            self.told.arrived.append(message.seq)

    def _picture(self, batch: Batch) -> None:
        about = Crop(
            **batch.envelope(self._sender),
            slide="slide-7",
            frame=self._frames,
            unique_id=self._frames,
            p_blast=0.9,
            label="blast",
        )
        batch.put(crop_parcel(about, b"\xff\xd8" + self._chance.randbytes(_PICTURE)))


def fill_disk(folder: Path, url: str) -> Told:
    """Fill the disk of ``folder`` with results, then to the last byte with something else."""
    sender = Origin("lab", "scope-1", "0" * 32)
    settings = BrokerSettings(url=url, await_receipts=True, receipt_timeout_s=2.0)
    path = folder / "outbox.db"
    with (
        Outbox(path, keep_free_bytes=KEEP_FREE_BYTES) as outbox,
        Publisher(settings, outbox, sender) as publisher,
    ):
        assert wait_until(lambda: publisher.link.connected, PATIENCE_S)
        filler = Filler(outbox, sender)
        filler.fill(losses=200)
        waste = folder / "waste"
        with waste.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        try:
            for _ in range(1000):
                filler.frame(cells=600)
        except DiskFullError:
            filler.told.refused = True
        filler.summary()
        filler.told.summary_after = True
        filler.look()
        publisher.set_state("degraded", "the disk is full")
        assert wait_until(lambda: publisher.link.connected, PATIENCE_S)
        time.sleep(MARGIN_S)
        filler.told.went_on = publisher.failure is None
        waste.unlink()
        publisher.set_state("online")
        receiver = Receiver(settings, filler.arrived, send_receipts=True)
        receiver.start()
        publisher.flush(PATIENCE_S)
        filler.frame()
        filler.told.over = outbox.trouble is None
        publisher.flush(PATIENCE_S)
        receiver.stop()
        return filler.told


if __name__ == "__main__":
    print(json.dumps(asdict(fill_disk(Path(sys.argv[1]), sys.argv[2]))))
