"""Bad input of every kind, many thousand times: refused in a line, never a crash, never a hang.

Each case is a good input, spoilt: bytes changed, cut, doubled or put in; some are noise from the
start. Whatever is not refused with a :class:`LeukoError` is a fault, and so is what takes too long.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import FrameType

import numpy as np
import paho.mqtt.client as paho
import pytest

from edge_daemon.config import load_config
from edge_daemon.contract.bundle import MANIFEST, load_bundle
from edge_daemon.contract.messages import Command
from edge_daemon.delivery.inside import payload_with_all, taken_apart
from edge_daemon.delivery.link import Arrival
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.delivery.receiver import _read
from edge_daemon.errors import LeukoError
from edge_daemon.service.commands import CommandDesk
from edge_daemon.sources.reading import decode_picture
from tests.edge_daemon.delivery.parcels import origin, put_crop, put_frames
from tests.edge_daemon.delivery.power_cut import simulated_disk
from tests.edge_daemon.sources.pictures import encoded, speckled
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.soak import repeated

pytestmark = pytest.mark.soak

HANGS_AFTER_S = 20


class Spoiler:
    """Makes bad input of good, the same at each run."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def spoil(self, good: bytes) -> bytes:
        if self.chance.random() < 0.05:
            return self.chance.randbytes(self.chance.randrange(200))
        content = bytearray(good)
        for _ in range(self.chance.choice((1, 1, 1, 2, 3, 8))):
            if not content:
                break
            place = self.chance.randrange(len(content))
            length = self.chance.choice((1, 1, 2, 4, 16))
            match self.chance.randrange(6):
                case 0:
                    content[place] ^= 1 << self.chance.randrange(8)
                case 1:
                    content[place : place + length] = self.chance.randbytes(length)
                case 2:
                    del content[place:]
                case 3:
                    del content[place : place + length]
                case 4:
                    content[place:place] = content[place : place + 8 * length]
                case 5:
                    content[place : place + length] = self.chance.choice(
                        (b"\x00", b"\xff" * 4, b"{", b"]", b'"', b"-1", b"1e999", b"null", b"\n")
                    )
        return bytes(content)


@contextmanager
def no_hang() -> Iterator[None]:
    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(HANGS_AFTER_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def one_line(error: LeukoError) -> int:
    assert "\n" not in str(error)
    return 1


def fuzz(count: int, spoiler: Spoiler, good: list[bytes], take: Callable[[bytes], object]) -> None:
    """Give ``count`` spoilt inputs to ``take``; many must be refused, each in a line."""
    refused = 0
    for _ in range(count):
        case = spoiler.spoil(spoiler.chance.choice(good))
        try:
            with no_hang():
                take(case)
        except LeukoError as error:
            refused += one_line(error)
        except BaseException as error:
            raise AssertionError(f"{error!r} of {case[:300]!r}") from error
    print(f"{count} cases, {refused} refused")
    assert refused > count // 10


def test_commands() -> None:
    sender = Origin("lab", "m1", "ab" * 16, None)
    now = datetime.now(timezone.utc)
    good = [
        Command(
            site="lab",
            device="m1",
            id=uuid.uuid4().hex,
            name=name,
            expires_at=now + timedelta(hours=1),
            args=args,
        ).to_json()
        for name, args in (("slide-start", {"slide": "s1"}), ("status", {}), ("slide-abort", {}))
    ]
    seconds = 0.0
    with simulated_disk() as disk, Outbox(disk / "outbox.db") as outbox:
        desk = CommandDesk(sender, outbox, clock=lambda: seconds)

        def take(payload: bytes) -> None:
            nonlocal seconds
            seconds += 60
            reply = desk.hand_in(payload, via="mqtt")
            desk.carry_out(lambda _command: {})
            reply.result(timeout=0)
            outbox.acknowledge(entry.id for entry in outbox.pending(10))

        fuzz(repeated(200, 20_000), Spoiler(1), good, take)


def test_messages(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.db") as outbox:
        put_frames(outbox, origin(), 1)
        put_crop(outbox, origin(), b"\xff\xd8 cell \xff\xd9")
        parcels = [entry.parcel for entry in outbox.pending(10)]
    good = [f"{p.topic}\0{p.about or ''}\0".encode() + p.payload for p in parcels]

    def take(case: bytes) -> None:
        topic, _, rest = case.partition(b"\0")
        about, _, payload = rest.partition(b"\0")
        described = about.decode(errors="replace") or None
        taken_apart(payload)
        _read(Arrival(topic.decode(errors="replace"), payload, False, described))

    fuzz(repeated(500, 20_000), Spoiler(2), good, take)


def test_configurations(tmp_path: Path) -> None:
    file = tmp_path / "device.toml"
    good = b"""\
[device]
site = "clinic-1"
name = "scope-2"
[source]
url = "camera://0"
um_per_px = 0.07
[broker]
url = "mqtts://reporter:secret@broker.example:8883"
other_urls = ["mqtts://b:8883"]
[outbox]
path = "state/outbox.db"
budget_mb = 64
[slide]
start = "on_command"
thresholds = { min_nucleated_cells = 50 }
"""

    def take(case: bytes) -> None:
        file.write_bytes(case)
        load_config(file)

    fuzz(repeated(100, 15_000), Spoiler(3), [good], take)


def test_pictures() -> None:
    picture = speckled()
    good = [encoded(picture, suffix) for suffix in (".png", ".jpg", ".bmp", ".tiff", ".webp")]
    fuzz(repeated(300, 25_000), Spoiler(4), good, lambda case: decode_picture(case, "a.png"))


def test_bundles(tmp_path: Path) -> None:
    """Any file of it, with the digest it has now in the manifest or without."""
    bundle = write_tiny_bundle(tmp_path)
    whole = {path.name: path.read_bytes() for path in bundle.iterdir()}
    spoiler = Spoiler(5)
    names = sorted(whole)

    def take(case: bytes) -> None:
        name = names[case[0] % len(names)] if case else MANIFEST
        spoilt = case if name == MANIFEST else spoiler.spoil(whole[name])
        (bundle / name).write_bytes(spoilt)
        try:
            load_bundle(bundle)
        finally:
            (bundle / name).write_bytes(whole[name])

    fuzz(repeated(100, 10_000), spoiler, [whole[MANIFEST]], take)


def test_outbox_files() -> None:
    """Of a file with a bit, a row or a page spoilt: opened and read, or moved aside."""
    with simulated_disk() as disk:
        path = disk / "outbox.db"
        with Outbox(path) as outbox:
            put_frames(outbox, origin(), 20)
        whole = path.read_bytes()

        def take(case: bytes) -> None:
            for old in disk.glob("outbox.db*"):
                old.unlink()
            path.write_bytes(case)
            with Outbox(path) as outbox:
                entries = outbox.pending(100)
                outbox.refuse(entry.id for entry in entries)
                outbox.depth()

        fuzz(repeated(60, 5_000), Spoiler(6), [whole], take)


_COLUMNS = (
    *("state", "worth", "boot_id", "seq", "topic", "payload", "qos", "retain"),
    *("content_type", "about", "expires_s", "size_bytes"),
)


def test_outbox_rows() -> None:
    """Rows that hold anything at all where a number, a name or a message should be."""
    with simulated_disk() as disk:
        path = disk / "outbox.db"
        with Outbox(path) as outbox:
            put_frames(outbox, origin(), 8)
        whole = path.read_bytes()
        chance = random.Random(7)
        strange = (None, -1, 0, 2**62, 1.5, "", "x", "\0", "leukoedge/v1/#", b"", b"\xff", np.pi)
        count = repeated(60, 10_000)
        refused = 0
        for _ in range(count):
            for old in disk.glob("outbox.db*"):
                old.unlink()
            path.write_bytes(whole)
            with sqlite3.connect(path) as db, suppress(sqlite3.Error):  # the table's own rules
                change = f"UPDATE outbox SET {chance.choice(_COLUMNS)} = ? WHERE id = ?"  # noqa: S608
                db.execute(change, (chance.choice(strange), chance.randrange(1, 9)))
            db.close()
            try:
                with no_hang(), Outbox(path) as outbox:
                    for entry in outbox.pending(100):
                        paho.topic_matches_sub("leukoedge/#", entry.parcel.topic)
                        payload_with_all(entry.parcel, historical=True)
                    outbox.depth()
            except LeukoError as error:
                refused += one_line(error)
    print(f"{count} cases, {refused} refused")
    assert refused > count // 10
