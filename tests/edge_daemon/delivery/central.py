"""The central side in a process of its own: what arrives, how late, and receipts for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from edge_daemon.contract.messages import FrameResult
from edge_daemon.delivery.receiver import Received, Receiver
from edge_daemon.delivery.settings import BrokerSettings

LIVE = "live"
"""Slide of the frames that are timed: their source is the moment of their making, monotonic."""


@dataclass(frozen=True)
class Heard:
    """Said at each live frame."""

    latency_s: float
    arrived: int
    """Frames so far, this one included, each counted once."""
    repeats: int
    missing: int


def listen(url: str, mouth: Connection) -> None:
    """As a child of the nursery, until it is killed."""
    arrived = 0

    def take(received: Received) -> None:
        nonlocal arrived
        message = received.message
        if not isinstance(message, FrameResult):
            return
        arrived += 1
        if message.slide == LIVE:
            late_s = time.monotonic() - float(message.source)
            (ledger,) = receiver.ledgers.values()
            missing = ledger.highest - ledger.complete_to
            mouth.send(Heard(late_s, arrived, ledger.repeats, missing))

    receiver = Receiver(BrokerSettings(url=url), take, send_receipts=True)
    receiver.start(60.0)
    mouth.send("listening")
    while True:
        time.sleep(60)
