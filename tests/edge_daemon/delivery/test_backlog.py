"""A large backlog is drained beside what happens now, and what happens now hardly notices."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin, parcel_of
from edge_daemon.delivery.settings import BrokerSettings
from tests.edge_daemon.delivery.central import LIVE, Heard, listen
from tests.edge_daemon.delivery.parcels import frame, origin
from tests.mosquitto import Mosquitto
from tests.nursery import Child
from tests.soak import SOAKING, repeated

pytestmark = pytest.mark.soak

EVERY_S = 0.05
"""A frame of the slide under the microscope."""
AT_ONCE = 500
"""Messages under one commit while the backlog is made."""


class Live:
    """Frames that are made one after another, and how late each was."""

    def __init__(self, outbox: Outbox, sender: Origin, central: Child) -> None:
        self.heard: list[Heard] = []
        self._outbox, self._sender, self._central = outbox, sender, central
        self._made = self._given = 0
        self._due_s = time.monotonic()

    def make(self) -> None:
        self._due_s = max(self._due_s + EVERY_S, time.monotonic())
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        with self._outbox.transaction() as batch:
            result = frame(batch.envelope(self._sender), self._made)
            moment = {"slide": LIVE, "source": repr(time.monotonic())}
            batch.put(parcel_of(result.model_copy(update=moment)))
        self._made += 1
        self.heard += self._central.heard()  # or the pipe is full, and the central side stops

    def latencies_ms(self) -> list[float]:
        """Of all that were made since the last call; waits for them."""
        self.heard += self._central.hear_some(self._made - len(self.heard))
        new, self._given = self.heard[self._given :], len(self.heard)
        return [one.latency_s * 1e3 for one in new]


def put_backlog(outbox: Outbox, sender: Origin, count: int) -> None:
    for start in range(0, count, AT_ONCE):
        with outbox.transaction() as batch:
            for index in range(start, min(count, start + AT_ONCE)):
                batch.put(parcel_of(frame(batch.envelope(sender), index)))


def test_live_results_hardly_notice_a_backlog(mosquitto: Path, tmp_path: Path) -> None:
    backlog, few = repeated(800, 100_000), repeated(20, 400)
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker", persistent=False) as broker,
        Outbox(tmp_path / "outbox.db") as outbox,
    ):
        central = Child(listen, broker.url)
        assert central.hear() == "listening"
        live = Live(outbox, sender, central)
        settings = BrokerSettings(url=broker.url, await_receipts=True)
        with Publisher(settings, outbox, sender) as publisher:
            for _ in range(few):
                live.make()
            before = live.latencies_ms()
            assert publisher.flush(60) == 0
        put_backlog(outbox, sender, backlog)
        with Publisher(settings, outbox, sender) as publisher:
            began_s = time.monotonic()
            while not publisher.link.connected:
                time.sleep(0.01)
            while outbox.depth().messages > few:
                live.make()
            took_s = time.monotonic() - began_s
            during = live.latencies_ms()
            assert publisher.flush(120) == 0
            for _ in range(few):
                live.make()
            after = live.latencies_ms()
            last = live.heard[-1]
        central.kill()
    normal, busy = np.percentile(before + after, 95), np.percentile(during, 95)
    print(
        f"{backlog} in {took_s:.0f} s; live p95 {normal:.1f} ms without a backlog, {busy:.1f} ms "
        f"with it, of {len(during)}; {last.repeats} repeats"
    )
    assert last.arrived == backlog + len(live.heard)
    assert last.missing == 0
    assert len(during) > 10
    if SOAKING:
        assert busy < 2 * normal
