"""How fast a broker takes messages while its queue grows: the table in docs/fleet/broker.md.

``python -m tests.deploy.broker.queue_rate`` runs Mosquitto with each way of saving.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from deploy.broker.mosquitto import CONFIGURATION
from edge_daemon.delivery.broker import find_mosquitto
from edge_daemon.delivery.link import open_link
from edge_daemon.delivery.parcel import Parcel
from tests.deploy.laboratory import HardenedMosquitto, Laboratory

WAYS = {
    "after every change": "autosave_on_changes true\nautosave_interval 1\n",
    "after 100 changes": "autosave_on_changes true\nautosave_interval 100\n",
    "every 10 s": "autosave_on_changes false\nautosave_interval 10\n",
}
STEP, LAST, IN_FLIGHT, PAYLOAD = 2000, 12_000, 50, b"x" * 2000
_LONGEST_STEP_S = 60.0


def measure(program: Path, folder: Path, way: str) -> None:
    laboratory = Laboratory(folder)
    server = laboratory.enrol("server:broker")
    device, receiver = laboratory.enrol("lab/scope-1"), laboratory.enrol("receiver:ingest")
    config = laboratory.write_broker(server) / CONFIGURATION
    text = config.read_text().replace(WAYS["after every change"], WAYS[way])
    config.write_text(text)
    with HardenedMosquitto(program, laboratory):
        absent = open_link(laboratory.settings(receiver), "absent", keep_session_s=3600)
        absent.subscribe("leukoedge/v1/#")
        absent.close()
        link = open_link(laboratory.settings(device), "sender")
        sent = answered = 0
        for waiting in range(STEP, LAST + 1, STEP):
            began_s = time.monotonic()
            while answered < waiting:
                while sent < waiting and sent - answered < IN_FLIGHT:
                    topic = "leukoedge/v1/lab/scope-1/slide/S-1/frame"
                    link.publish(Parcel(topic, PAYLOAD, "", sent))
                    sent += 1
                link.pump(0.01)
                answered += len(link.take_acknowledgements())
            took_s = time.monotonic() - began_s
            print(f"{way}: {waiting} waiting, {STEP / took_s:.0f} messages a second", flush=True)
            if took_s > _LONGEST_STEP_S:
                return


if __name__ == "__main__":
    found = find_mosquitto()
    assert found is not None, "Mosquitto is not installed"
    for each in WAYS:
        with tempfile.TemporaryDirectory() as place:
            measure(found, Path(place) / "lab", each)
