"""A fleet at the level of messages: so many devices, a message a second each, for a time.

``make`` writes what they will say as MQTT packets; ``send`` sends them, evenly over each second,
and waits for the broker's word on each. Made beforehand and sent by hand, because a client that
encodes a thousand messages a second takes two thirds of a processor, which the ingest shall have.
"""

from __future__ import annotations

import random
import selectors
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_daemon.contract.envelope import FromDevice
from edge_daemon.contract.messages import FrameCounts
from edge_daemon.delivery.parcel import Parcel
from tests.deploy.dashboard.speakers import Speaker, parcel_of

SITES = 20
"""Each with a connection of its own, on which a broker takes ``IN_FLIGHT`` messages at once."""
IN_FLIGHT = 20
PATIENCE_S = 60.0
_CONNECT = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03"
_LENGTH = struct.Struct(">I")


def one(speaker: Speaker, number: int) -> FromDevice:
    """What a device says in its ``number``-th second: mostly frames."""
    slide = f"slide-{number // 120}"
    if number % 20 == 19:
        counted = FrameCounts(captured=speaker.captured, analysed=speaker.captured)
        return speaker.summary(slide, frames=counted)
    if number % 20 == 9:
        return speaker.crop(slide, unique_id=number)
    return speaker.frame(slide, cells=6)


def make(devices: int, seconds: int, file: Path) -> None:
    """Write what they say, in the order of time."""
    chance = random.Random(1)
    fleet = [Speaker(f"site-{n % SITES}", f"scope-{n}", chance) for n in range(devices)]
    with file.open("wb") as out:
        for number in range(devices * seconds):
            packet = _published(parcel_of(one(fleet[number % devices], number // devices)), number)
            out.write(_LENGTH.pack(len(packet)) + packet)


def _published(parcel: Parcel, number: int) -> bytes:
    """A PUBLISH of MQTT 5 at QoS 1 (section 3.3 of the standard)."""
    properties = Properties(PacketTypes.PUBLISH)
    if parcel.about is not None:
        properties.UserProperty = ("about", parcel.about)
    topic = parcel.topic.encode()
    body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", number % 65_535 + 1)
    body += properties.pack() + parcel.payload
    left, length = len(body), b""
    while left or not length:
        left, digit = divmod(left, 128)
        length += bytes([digit | 128 if left else digit])
    return b"\x32" + length + body


class Site:
    """One connection, and how many of its messages the broker has not acknowledged."""

    def __init__(self, port: int, number: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(_CONNECT + f"s{number:02}".encode())
        self.in_flight = 0
        self._partial = b""
        answer = self.socket.recv(1024)
        assert (answer[0], answer[3]) == (0x20, 0), answer

    def send(self, packet: bytes) -> None:
        self.in_flight += 1
        self.socket.sendall(packet)

    def hear(self) -> None:
        """Count what was acknowledged: each PUBACK is a type, a length and so many bytes."""
        heard = self._partial + self.socket.recv(65_536)
        assert heard, "the broker closed the connection"
        while len(heard) >= 2 and len(heard) >= 2 + heard[1]:
            assert heard[0] == 0x40, heard[:8]
            heard = heard[2 + heard[1] :]
            self.in_flight -= 1
        self._partial = heard


def send(port: int, devices: int, file: Path, said: Path) -> None:
    """Send what was made; write how many they were and how long it took."""
    sites = [Site(port, number) for number in range(SITES)]
    with selectors.DefaultSelector() as selector:
        for site in sites:
            selector.register(site.socket, selectors.EVENT_READ, site)

        def hear(wait_s: float) -> None:
            for key, _ in selector.select(wait_s):
                key.data.hear()

        began_s, count = time.monotonic(), 0
        for count, packet in enumerate(_packets(file), 1):
            site = sites[(count - 1) % devices % SITES]
            if (ahead_s := began_s + count / devices - time.monotonic()) > 0.002:
                hear(0)
                time.sleep(ahead_s)
            while site.in_flight >= IN_FLIGHT:
                hear(PATIENCE_S)
            site.send(packet)
        deadline_s = time.monotonic() + PATIENCE_S
        while any(site.in_flight for site in sites) and time.monotonic() < deadline_s:
            hear(1)
        took_s = time.monotonic() - began_s
    assert not any(site.in_flight for site in sites), "the broker did not take all of it"
    said.write_text(f"{count} {took_s:.2f}")
    for site in sites:
        site.socket.sendall(b"\xe0\x00")
        site.socket.close()


def _packets(file: Path) -> Iterator[bytes]:
    with file.open("rb") as made:
        while head := made.read(_LENGTH.size):
            yield made.read(_LENGTH.unpack(head)[0])


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    else:
        send(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
