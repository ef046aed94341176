"""The demo's broker: on 127.0.0.1 only, from Mosquitto or from the wheel, and gone afterwards."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edge_daemon.delivery.broker import demo_broker
from edge_daemon.delivery.link import check_broker
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.errors import BrokerError
from tests.edge_daemon.delivery.inbox import Inbox, brisk
from tests.edge_daemon.delivery.parcels import origin, put_crop, put_frames


@pytest.mark.usefixtures("mosquitto")
@pytest.mark.parametrize("embedded", [False, True], ids=["Mosquitto", "embedded"])
def test_the_demo_has_a_broker_on_this_machine_only(tmp_path: Path, embedded: bool) -> None:
    sender = origin()
    with demo_broker(embedded=embedded) as broker:
        assert ("iotcore" in broker.name) == embedded
        assert urlsplit(broker.url).hostname == "127.0.0.1"
        assert _listening_addresses(urlsplit(broker.url).port or 0) == {"0100007F"}
        with (
            Inbox(brisk(broker.url)) as inbox,
            Outbox(tmp_path / "outbox.db") as outbox,
            Publisher(brisk(broker.url), outbox, sender) as publisher,
        ):
            put_frames(outbox, sender, 100)
            put_crop(outbox, sender, b"\xff\xd8" + bytes(60_000))
            assert publisher.flush(10) == 0
            assert inbox.wait_for_frames(100)
            assert inbox.wait_for_crops(1)
    with pytest.raises(BrokerError, match="nothing listens there"):
        check_broker(brisk(broker.url))


def _listening_addresses(port: int) -> set[str]:
    """Local addresses (hexadecimal, as the kernel writes them) that listen on a TCP port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = "0A"
    return {
        row[1].split(":")[0]
        for row in rows
        if row[3] == listening and row[1].endswith(f":{port:04X}")
    }
