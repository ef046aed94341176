"""A fleet of a thousand, at the level of messages, heard by the program as it is called."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import JSON, cast, func, select

from deploy.registry.database import RegistryDatabase, device
from deploy.registry.store import Registry
from edge_daemon.contract.messages import Message
from edge_daemon.contract.topics import channel_of, topic_of
from edge_daemon.delivery.receiver import wait_until
from tests.deploy.registry.fleet import NEW, OLD, enrolled, health, status
from tests.mosquitto import Mosquitto

FLEET = [f"site-{number % 20}/scope-{number}" for number in range(1000)]
PATIENCE_S = 60.0
MOST_MB = 200


class Watching:
    """``leuko-deploy devices watch`` in a process of its own."""

    def __init__(self, registry: str, url: str, said: Path) -> None:
        code = "from deploy.cli import main; main()"
        words = ["devices", "watch", "--json", "--registry", registry, "--broker", url]
        with said.open("wb") as out:
            self.process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=out)

    @property
    def most_mb(self) -> float:
        """Most memory that it ever held."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (found,) = re.findall(r"VmHWM:\s+(\d+) kB", text)
        return int(found) / 1024

    @property
    def cpu_s(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)


class Asked:
    """The registry's database, asked for one figure: cheaper than reading all devices."""

    def __init__(self, place: str) -> None:
        self._database = RegistryDatabase(place)
        document = "$.bundle" if self._database.is_sqlite else "bundle"
        reads = func.json_extract if self._database.is_sqlite else func.json_extract_path_text
        reported = cast(device.c.reported, JSON) if "://" in place else device.c.reported
        self._bundle = reads(reported, document)

    def running(self, bundle: str) -> int:
        """How many devices report it."""
        asked = select(func.count()).where(self._bundle == bundle)
        with self._database.reading() as connection:
            return int(connection.scalar(asked) or 0)

    def close(self) -> None:
        self._database.close()


def test_a_thousand_devices(mosquitto: Path, tmp_path: Path, place: str) -> None:
    said, began_s = tmp_path / "said.jsonl", time.monotonic()
    with Registry(place) as book:
        book.enrol({name: enrolled() for name in FLEET})
    with (
        closing(Asked(place)) as asked,
        Mosquitto(mosquitto, tmp_path / "broker", persistent=False) as broker,
    ):
        fleet = paho.Client(CallbackAPIVersion.VERSION2)
        fleet.max_inflight_messages_set(500)
        fleet.connect("127.0.0.1", broker.port)
        fleet.loop_start()

        def say(messages: list[Message]) -> None:
            sent = [
                fleet.publish(
                    topic_of(one), one.to_json(), channel_of(one).qos, channel_of(one).retained
                )
                for one in messages
            ]
            for one in sent:
                one.wait_for_publish(PATIENCE_S)

        say([status(name) for name in FLEET])
        watching = Watching(place, broker.url, said)
        try:
            assert wait_until(lambda: asked.running(OLD) == len(FLEET), PATIENCE_S)
            for seq in range(2, 5):
                say([health(name, seq=seq, bundle=OLD) for name in FLEET])
            say([status(name, seq=9, bundle=NEW) for name in FLEET[:500]])
            assert watching.end(signal.SIGKILL) == -signal.SIGKILL
            watching = Watching(place, broker.url, said)
            say([status(name, seq=9, bundle=NEW) for name in FLEET[500:]])
            assert wait_until(lambda: asked.running(NEW) == len(FLEET), PATIENCE_S)
            print(
                f"most memory {watching.most_mb:.0f} MB, processor {watching.cpu_s:.1f} s, "
                f"all of it {time.monotonic() - began_s:.0f} s"
            )
            assert watching.most_mb < MOST_MB
        finally:
            code = watching.end(signal.SIGTERM)
            fleet.loop_stop()
    assert code == os.EX_OK
    names = {json.loads(line)["name"] for line in said.read_text().splitlines()}
    assert names == set(FLEET)
