"""A fleet at the level of messages: so many devices, a message a second each, for so many seconds.

A process of its own, so that it takes nothing of the ingest's. It writes how many it published, and
waits for the broker's word on each.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_daemon.contract.envelope import FromDevice
from tests.deploy.dashboard.speakers import Speaker, parcel_of


def one(speaker: Speaker, number: int) -> FromDevice:
    """What a device says in its ``number``-th second: mostly frames."""
    slide = f"slide-{number // 120}"
    if number % 20 == 19:
        return speaker.summary(slide, frames=_captured(speaker))
    if number % 20 == 9:
        return speaker.crop(slide, unique_id=number)
    return speaker.frame(slide, cells=6)


def _captured(speaker: Speaker):
    from edge_daemon.contract.messages import FrameCounts

    return FrameCounts(captured=speaker.captured, analysed=speaker.captured)


def publish(port: int, devices: int, seconds: float, said: Path) -> None:
    """Publish, evenly over each second."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(2000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    chance = random.Random(1)
    fleet = [Speaker(f"site-{n % 20}", f"scope-{n}", chance) for n in range(devices)]
    began_s, count = time.monotonic(), 0
    last = None
    for number in range(round(devices * seconds)):
        due_s = began_s + number / devices
        if (ahead_s := due_s - time.monotonic()) > 0.002:
            time.sleep(ahead_s)
        parcel = parcel_of(one(fleet[number % devices], number // devices))
        properties = Properties(PacketTypes.PUBLISH)
        if parcel.about is not None:
            properties.UserProperty = ("about", parcel.about)
        last = client.publish(parcel.topic, parcel.payload, 1, False, properties)
        count += 1
    if last is not None:
        last.wait_for_publish(60)
    said.write_text(f"{count} {time.monotonic() - began_s:.2f}")
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    publish(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
