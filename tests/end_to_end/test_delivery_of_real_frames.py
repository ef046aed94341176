"""Every frame of a real set arrives over a real broker exactly once, whatever the broker does."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.delivery.receiver import Received, Receiver, wait_until
from edge_daemon.delivery.settings import BrokerSettings
from tests.mosquitto import Mosquitto


class Collected:
    """What a subscriber got, after deduplication."""

    def __init__(self) -> None:
        self.frames: list[FrameResult] = []
        self.summaries: list[SlideSummary] = []
        self.pictures = 0

    def take(self, received: Received) -> None:
        if isinstance(received.message, FrameResult):
            self.frames.append(received.message)
        elif isinstance(received.message, SlideSummary):
            self.summaries.append(received.message)  # what waited comes after what is newer
            self.summaries.sort(key=lambda summary: (summary.ts, summary.record))
        elif received.jpeg is not None:
            self.pictures += 1

    @property
    def done(self) -> bool:
        return bool(self.summaries) and self.summaries[-1].complete


def replay(source: Path, broker: Mosquitto, outbox: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "edge_daemon.cli", "replay", source),
            *("--broker", broker.url, "--outbox", outbox, "--deliver-within", "60"),
        ],
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("outage", [False, True], ids=["steady broker", "broker stopped midway"])
def test_every_frame_arrives_exactly_once(leuko_data, mosquitto, tmp_path, outage):
    source = leuko_data / "bccd" / "val" / "images"
    names = sorted(path.name for path in source.iterdir())
    collected = Collected()
    with Mosquitto(mosquitto, tmp_path / "broker") as broker:
        receiver = Receiver(BrokerSettings.from_url(broker.url), collected.take)
        receiver.start()
        try:
            process = replay(source, broker, tmp_path / "outbox.db")
            if outage:
                assert wait_until(lambda: len(collected.frames) >= len(names) // 4, 60)
                broker.stop()
                threading.Event().wait(1.5)  # long enough for results to pile up on disk
                broker.start()
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said.decode()
            assert wait_until(lambda: collected.done, 20)
            (ledger,) = receiver.ledgers.values()
            # Pictures that waited for the broker come after the summary.
            assert wait_until(lambda: ledger.missing == [], 20), ledger.missing
        finally:
            receiver.stop()
    assert Counter(Path(frame.source).name for frame in collected.frames) == Counter(names)
    assert {frame.outcome for frame in collected.frames} <= {"analysed", "rejected"}
    assert len({(f.boot_id, f.seq) for f in collected.frames}) == len(names)
    assert collected.summaries[-1].frames.captured == len(names)


def test_killed_in_the_middle_the_rest_is_sent_by_the_next_start(leuko_data, mosquitto, tmp_path):
    """Killed -9 while the broker is away: what was stored goes out when the daemon is back."""
    source = leuko_data / "bccd" / "val" / "images"
    outbox = tmp_path / "outbox.db"
    collected = Collected()
    with Mosquitto(mosquitto, tmp_path / "broker") as broker:
        receiver = Receiver(BrokerSettings.from_url(broker.url), collected.take)
        receiver.start()
        try:
            first = replay(source, broker, outbox)
            assert wait_until(lambda: len(collected.frames) >= 10, 60)
            broker.stop()
            time.sleep(1.0)
            first.kill()
            first.communicate()
            broker.start()
            seen = {frame.boot_id for frame in collected.frames}
            second = replay(source, broker, outbox)
            _, said = second.communicate(timeout=120)
            assert second.returncode == 0, said.decode()
            assert wait_until(lambda: collected.done, 20)
        finally:
            receiver.stop()
    (killed,) = seen
    records = sorted(f.record for f in collected.frames if f.boot_id == killed)
    assert len(records) == len(set(records)) > 10
    assert all(not ledger.missing for ledger in receiver.ledgers.values())
