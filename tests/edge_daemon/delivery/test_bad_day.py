"""A day at one slide an hour with a broker that is killed, refused, stalled or out of reach.

Time is simulated: an hour takes a second, and a fault lasts from a quarter of an hour to six hours.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from edge_daemon.contract.messages import Crop, FrameResult, SlideSummary
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin, crop_parcel, parcel_of
from edge_daemon.delivery.receiver import wait_until
from tests.edge_daemon.delivery.bad_line import BadLine
from tests.edge_daemon.delivery.inbox import Inbox, brisk
from tests.edge_daemon.delivery.parcels import frame, origin, summary
from tests.mosquitto import Mosquitto
from tests.soak import repeated

pytestmark = pytest.mark.soak

HOUR_S = 1.0
FRAMES = 20
"""Of a slide, a sixth of an hour apart in parts."""
PARTS = 5
KINDS = ("killed", "refused", "stalled", "unreachable")


class Weather:
    """One fault after another, with some quiet between them."""

    def __init__(self, broker: Mosquitto, line: BadLine, chance: random.Random) -> None:
        self.seen: Counter[str] = Counter()
        self._broker, self._line, self._chance = broker, line, chance
        self._kinds: list[str] = []
        self._fault: str | None = None
        self._changes_at_s = 0.0

    def pass_by(self, now_s: float) -> None:
        if now_s < self._changes_at_s:
            return
        if self._fault is not None:
            self.clear_up()
            self._changes_at_s = now_s + HOUR_S * self._chance.uniform(0.2, 0.8)
            return
        if not self._kinds:
            self._kinds = self._chance.sample(KINDS, len(KINDS))
        self._fault = self._kinds.pop()
        self.seen[self._fault] += 1
        if self._fault == "killed":
            self._broker.kill()
        else:
            self._line.break_down(self._fault)
        self._changes_at_s = now_s + HOUR_S * 0.25 * 24 ** self._chance.random()

    def clear_up(self) -> None:
        if self._fault == "killed":
            self._broker.start()
        self._line.heal()
        self._fault = None


def put_part(outbox: Outbox, sender: Origin, hour: int, part: int) -> None:
    """A fifth of a slide; the last with a picture and the summary."""
    slide = {"slide": f"slide-{hour}"}
    with outbox.transaction() as batch:
        for index in range(part * FRAMES // PARTS, (part + 1) * FRAMES // PARTS):
            result = frame(batch.envelope(sender), index).model_copy(update=slide)
            batch.put(parcel_of(result))
        if part == PARTS - 1:
            crop = Crop(
                **batch.envelope(sender), **slide, frame=0, unique_id=1, p_blast=0.9, label="blast"
            )
            batch.put(crop_parcel(crop, b"\xff\xd8 cell \xff\xd9"))
            batch.put(parcel_of(summary(batch.envelope(sender), FRAMES).model_copy(update=slide)))


def test_every_result_of_the_day_arrives_once(mosquitto: Path, tmp_path: Path) -> None:
    hours = repeated(5, 24)
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        BadLine(broker.port) as line,
        Inbox(brisk(broker.url), send_receipts=True) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(
            brisk(
                line.url,
                await_receipts=True,
                receipt_timeout_s=2.0,
                keepalive_s=5,
                connect_timeout_s=1.0,
            ),
            outbox,
            sender,
        ) as publisher,
    ):
        weather = Weather(broker, line, random.Random(5))
        began_s = time.monotonic()
        waited = 0
        for hour in range(hours):
            for part in range(PARTS):
                put_part(outbox, sender, hour, part)
                until_s = began_s + HOUR_S * (hour + (part + 1) / PARTS)
                while (now_s := time.monotonic()) < until_s:
                    weather.pass_by(now_s - began_s)
                    time.sleep(0.02)
                waited = max(waited, outbox.depth().messages)
        weather.clear_up()
        assert publisher.flush(60) == 0, publisher.link.line
        assert inbox.wait_for_frames(hours * FRAMES)
        assert wait_until(lambda: len(inbox.of(SlideSummary)) >= hours, 30)
        ledger = inbox.ledger
        frames = Counter((m.slide, m.frame) for m in inbox.of(FrameResult))
        print(f"faults {dict(weather.seen)}; {waited} waited at most; {ledger.repeats} repeats")
        assert frames == {(f"slide-{h}", f): 1 for h in range(hours) for f in range(FRAMES)}
        assert Counter(m.slide for m in inbox.of(SlideSummary)) == {
            f"slide-{hour}": 1 for hour in range(hours)
        }
        assert len(inbox.of(Crop)) == hours
        assert ledger.missing == []
        assert outbox.depth().evicted == 0
        assert waited > FRAMES, "the faults must hold something up"
