"""What a large fleet costs a broker that saves what it remembers: a table in docs/fleet/broker.md.

``python -m tests.deploy.broker.fleet_rate [DEVICES]`` runs the hardened Mosquitto with both ways of
saving. Savings are counted by looking a thousand times a second whether the file is another one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from edge_daemon.contract.messages import Desired
from edge_daemon.contract.topics import ROOT, topic_of
from edge_daemon.delivery.broker import find_mosquitto
from edge_daemon.delivery.link import Arrival, Link, open_link
from edge_daemon.delivery.parcel import Parcel
from edge_daemon.delivery.settings import BrokerSettings
from tests.deploy.laboratory import HardenedMosquitto, Laboratory
from tests.deploy.rollout.connected import ConnectedFleet
from tests.deploy.rollout.fleet import BUNDLES, wait_long

WAYS = {"after every change": False, "every 10 s": True}
_LONGEST_S = 300.0


class Savings:
    """How often a file was replaced."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.count = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        before = None
        while True:
            found = self._file.stat().st_ino if self._file.exists() else None
            self.count += found != before
            before = found
            time.sleep(0.001)

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        began_s, count = time.monotonic(), self.count
        yield
        took_s, size = time.monotonic() - began_s, 0
        if self._file.exists():
            size = self._file.stat().st_size
        saved = f"{self.count - count} savings, {size / 1e6:.1f} MB"
        print(f"{what}: {took_s:.2f} s, {saved}", flush=True)


def order_all(link: Link, names: list[str]) -> None:
    """One connection gives each device an order, and waits until all are taken."""
    waiting, in_flight, taken = list(names), 0, 0
    while taken < len(names):
        while waiting and in_flight < link.max_in_flight:
            site, device = waiting.pop().split("/")
            order = Desired(site=site, device=device, id=uuid.uuid4().hex, bundle=None)
            link.publish(Parcel(topic_of(order), order.to_json(), "", 0, retain=True))
            in_flight += 1
        link.pump(0.005)
        answered = len(link.take_acknowledgements())
        taken, in_flight = taken + answered, in_flight - answered


def hear_all_then_order_one(settings: BrokerSettings, qos: Literal[0, 1], names: list[str]) -> None:
    """As a controller begins: what each device keeps, a status and how its updates stand."""
    heard: list[Arrival] = []
    link = open_link(settings, "controller", on_arrival=heard.append)
    link.subscribe(f"{ROOT}/+/+/update", f"{ROOT}/+/+/status", qos=qos)
    while len(heard) < 2 * len(names):
        link.pump(0.05)
    order_all(link, names[:1])
    link.close()


def measure(program: Path, laboratory: Laboratory, server: Path, way: str, count: int) -> None:
    print(f"saved {way}, load {os.getloadavg()[0]:.1f}")
    controller = laboratory.enrol("controller:central", again=way != next(iter(WAYS)))
    names = [f"site-{n % 20}/scope-{n}" for n in range(count)]
    devices = {name: laboratory.folder / "devices" / name for name in names}
    if not devices[names[0]].exists():
        laboratory.enrol_all(names)
    laboratory.write_broker(server, profile=laboratory.profile(devices_wait_for_receipts=WAYS[way]))
    database = laboratory.folder / "state" / "mosquitto.db"
    database.unlink(missing_ok=True)
    settings = laboratory.settings(controller)
    savings = Savings(database)
    with (
        HardenedMosquitto(program, laboratory),
        ConnectedFleet(laboratory.port, devices, BUNDLES) as fleet,
    ):
        with savings.told(f"{count} devices say how their updates stand"):
            with fleet._lock:
                sent = [fleet._update(one) for one in fleet.devices.values()]
            assert wait_long(lambda: all(one.is_published() for one in sent), _LONGEST_S)
        qualities: tuple[Literal[0, 1], ...] = (1, 0)
        for qos in qualities:
            with savings.told(f"a controller hears them at QoS {qos}, and gives one order"):
                hear_all_then_order_one(settings, qos, names)
        link = open_link(settings, "controller")
        with savings.told(f"{count} orders over one connection"):
            order_all(link, names)
        link.close()


if __name__ == "__main__":
    found = find_mosquitto()
    assert found is not None, "Mosquitto is not installed"
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as place:
        here = Laboratory(Path(place))
        of_the_broker = here.enrol("server:broker")
        for each in WAYS:
            measure(found, here, of_the_broker, each, wanted)
