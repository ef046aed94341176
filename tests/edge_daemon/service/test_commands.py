"""A command is carried out once or refused with a reason, and written down either way."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_daemon.config import CommandSettings
from edge_daemon.contract.messages import Command, CommandReply
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.ledger.audit import CommandAudit
from edge_daemon.service.commands import MOST_WAITING, CommandDesk, CommandError
from tests.soak import repeated

pytestmark = pytest.mark.soak

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
ORIGIN = Origin("lab", "m1", "ab" * 16, None)


class Bench:
    """A desk with a clock that stands where it is put, and a list of what was carried out."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.outbox = Outbox(folder / "outbox.db")
        self.now, self.seconds = NOW, 0.0
        self.done: list[str] = []
        self.desk = CommandDesk(
            ORIGIN,
            self.outbox,
            CommandSettings(**settings),
            now=lambda: self.now,
            clock=lambda: self.seconds,
        )

    def handle(self, command: Command) -> dict[str, Any]:
        if command.args.get("impossible"):
            raise CommandError("not now")
        self.done.append(command.name)
        return {"times": len(self.done)}

    def send(self, payload: bytes, *, retained: bool = False) -> CommandReply:
        reply = self.desk.hand_in(payload, via="mqtt", retained=retained)
        self.desk.carry_out(self.handle)
        return reply.result(timeout=0)

    def refusal(self, payload: bytes, **more: Any) -> str:
        reply = self.send(payload, **more)
        assert not reply.ok
        assert reply.reason is not None
        return reply.reason


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def command(**changes: Any) -> bytes:
    given_values: dict[str, Any] = {
        "site": "lab",
        "device": "m1",
        "ts": NOW,
        "id": uuid.uuid4().hex,
        "name": "status",
        "expires_at": NOW + timedelta(minutes=1),
    }
    return Command(**(given_values | changes)).to_json()


def test_a_command_is_carried_out_and_answered(bench: Bench) -> None:
    reply = bench.send(command(name="slide-pause"))
    assert (reply.ok, reply.name, reply.result) == (True, "slide-pause", {"times": 1})
    (entry,) = bench.outbox.pending(10)
    assert entry.parcel.topic == "leukoedge/v1/lab/m1/cmd/slide-pause/reply"
    assert json.loads(entry.parcel.payload)["id"] == reply.id


def test_nothing_is_carried_out_before_its_turn(bench: Bench) -> None:
    reply = bench.desk.hand_in(command(), via="http")
    assert not reply.done()
    assert bench.done == []


def test_a_repeat_is_answered_again_and_not_done_again(bench: Bench, tmp_path: Path) -> None:
    payload = command(name="slide-start", args={"slide": "s1"})
    first = bench.send(payload)
    second = bench.send(payload)
    assert bench.done == ["slide-start"]
    assert (second.ok, second.result) == (first.ok, first.result)
    assert second.seq > first.seq
    bench.outbox.close()
    later = Bench(tmp_path)  # also in the next life of the daemon
    assert later.send(payload).result == first.result
    assert later.done == []


def test_a_refusal_is_repeated_too(bench: Bench) -> None:
    payload = command(expires_at=NOW)
    first = bench.refusal(payload)
    bench.now = NOW - timedelta(hours=1)  # the clock is set back: still refused
    assert bench.refusal(payload) == first


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"expires_at": NOW - timedelta(seconds=1)}, "expired at 2026-11-27 11:59:59"),
        ({"expires_at": NOW + timedelta(days=2)}, "valid for more than 24 hours"),
        ({"device": "m2"}, "it is for lab/m2"),
        ({"args": {"impossible": True}}, "not now"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    bench: Bench, changes: dict[str, Any], told: str
) -> None:
    assert told in bench.refusal(command(**changes))
    assert bench.done == []
    assert bench.desk.refused == 1


def test_a_retained_command_is_refused(bench: Bench) -> None:
    assert "retained by the broker" in bench.refusal(command(), retained=True)


def test_a_command_that_is_not_allowed_here_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, allow=["status"])
    assert "[commands] allow" in bench.refusal(command(name="slide-abort"))
    assert bench.send(command(name="status")).ok


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"", "not JSON"),
        (b"\x00\xff", "not JSON"),
        (b'{"schema": "leukoedge.command/9"}', "is unknown here"),
        (b"[" * 20_000, "over 16384 bytes"),
        (command()[:-9], "cut short"),
    ],
)
def test_what_is_no_command_is_written_down_and_not_answered(
    bench: Bench, payload: bytes, told: str
) -> None:
    with pytest.raises(CommandError, match=told):
        bench.send(payload)
    assert bench.outbox.pending(10) == []
    (entry,) = CommandAudit(bench.outbox).entries()
    assert entry.id is None
    assert told in (entry.answer.reason or "")


def test_a_flood_is_cut_and_passes(bench: Bench) -> None:
    assert sum(_passes(bench) for _ in range(200)) == 60
    with pytest.raises(CommandError, match="too many commands a minute"):
        bench.send(command())
    assert len(CommandAudit(bench.outbox).entries(1000)) == 60
    bench.seconds += 30
    assert sum(_passes(bench) for _ in range(100)) == 30


def _passes(bench: Bench) -> bool:
    try:
        return bench.send(command()).ok
    except CommandError:
        return False


def test_a_full_desk_refuses_at_once(bench: Bench) -> None:
    for _ in range(MOST_WAITING):
        bench.desk.hand_in(command(), via="mqtt")
    with pytest.raises(CommandError, match="too many commands wait"):
        bench.desk.hand_in(command(), via="mqtt").result(timeout=0)


def test_what_waits_when_the_daemon_stops_is_refused(bench: Bench) -> None:
    reply = bench.desk.hand_in(command(), via="http")
    bench.desk.close()
    assert reply.result(timeout=0).reason == "the daemon is stopping"


def test_every_command_is_in_the_audit_newest_first(bench: Bench) -> None:
    bench.send(command(name="slide-start", args={"slide": "s1", "operator": "op-1"}))
    bench.refusal(command(expires_at=NOW))
    later, first = CommandAudit(bench.outbox).entries()
    assert (first.name, first.via, first.args["operator"]) == ("slide-start", "mqtt", "op-1")
    assert first.answer.reason is None
    assert "expired" in (later.answer.reason or "")


@given(st.data())
@settings(max_examples=repeated(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_break_the_desk(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    bench = _fuzzed(tmp_path_factory)
    good = bytearray(command(name="slide-start", args={"slide": "s1"}))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(good) - 1))
        good[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    bench.seconds += 60
    reply = bench.desk.hand_in(bytes(good), via="mqtt")
    bench.desk.carry_out(bench.handle)
    assert reply.done()


_BENCHES: list[Bench] = []


def _fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    if not _BENCHES:
        _BENCHES.append(Bench(tmp_path_factory.mktemp("fuzz")))
    return _BENCHES[0]
