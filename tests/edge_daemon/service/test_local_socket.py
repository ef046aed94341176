"""The socket for people on this machine: the same commands, and nothing that is sent breaks it."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import Self

from edge_daemon.contract.messages import Command, CommandReply
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.errors import CommandError, ServiceError
from edge_daemon.ledger.audit import CommandAudit, Sender
from edge_daemon.service import local_client, local_socket
from edge_daemon.service.commands import CommandDesk
from edge_daemon.service.local_client import address_of, ask
from edge_daemon.service.local_socket import LocalSocket
from tests.soak import repeated

pytestmark = pytest.mark.soak

PATIENCE_S = 30.0


class Daemon:
    """A desk whose loop turns in a thread, as far as commands see a daemon."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox(folder / "outbox.db")
        self.desk = CommandDesk(Origin("lab", "m1", "ab" * 16, None), self.outbox)
        self.path = folder / "leuko-edge.sock"
        self.done: list[str] = []
        self.waits = threading.Event()
        self.waits.set()
        self._stop = threading.Event()
        self._loop = threading.Thread(target=self._turn)
        self.socket = LocalSocket(self.path, self._submit, site="lab", device="m1")

    def __enter__(self) -> Self:
        self.socket.__enter__()
        self._loop.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self.waits.set()
        self._loop.join()
        self.socket.__exit__(None, None, None)
        self.outbox.close()

    def ask(self, name: str, **more: Any) -> dict[str, Any]:
        return ask(self.path, {"command": name, **more}, PATIENCE_S)

    def raw(self, sent: bytes) -> dict[str, Any]:
        """What comes back to bytes as they are."""
        with socket.socket(socket.AF_UNIX) as connection, address_of(self.path) as address:
            connection.settimeout(PATIENCE_S)
            connection.connect(address)
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
            except BrokenPipeError:
                pass  # it has heard enough
            with connection.makefile("rb") as answer:
                found = json.loads(answer.readline())
        assert isinstance(found, dict)
        return found

    def _submit(self, command: Command, sender: Sender) -> Future[CommandReply]:
        return self.desk.hand_in(command.to_json(), via="local", sender=sender)

    def _turn(self) -> None:
        while not self._stop.wait(0.005):
            self.waits.wait()
            self.desk.carry_out(self._handle)

    def _handle(self, command: Command) -> dict[str, Any]:
        if command.args.get("impossible"):
            raise CommandError("not now")
        self.done.append(command.name)
        return {"times": len(self.done)}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path) as running:
        yield running


def test_a_command_is_carried_out_and_answered(daemon):
    reply = daemon.ask("slide-pause")
    assert (reply["schema"], reply["ok"], reply["result"]) == (
        "leukoedge.reply/1",
        True,
        {"times": 1},
    )


def test_the_audit_says_which_user_and_who_he_says_he_is(daemon):
    daemon.ask("slide-finish", operator="op-7")
    (entry,) = CommandAudit(daemon.outbox).entries()
    assert (entry.via, entry.name) == ("local", "slide-finish")
    assert entry.sender == Sender(uid=os.getuid(), operator="op-7")


def test_it_is_answered_over_mqtt_too(daemon):
    reply = daemon.ask("status")
    (entry,) = daemon.outbox.pending(10)
    assert json.loads(entry.parcel.payload)["id"] == reply["id"]


def test_a_repeat_is_answered_again_and_not_done_again(daemon):
    identity = uuid.uuid4().hex
    first = daemon.ask("slide-start", args={"slide": "s1"}, id=identity)
    again = daemon.ask("slide-start", args={"slide": "s1"}, id=identity)
    assert daemon.done == ["slide-start"]
    assert again["result"] == first["result"]


def test_what_cannot_be_is_refused_with_a_reason(daemon):
    assert daemon.ask("status", args={"impossible": True})["reason"] == "not now"
    assert "[commands] allow" in daemon.ask("bundle-stage", args={"path": "/x"})["reason"]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"", "not a request"),
        (b"\n", "not a request"),
        (b"GET / HTTP/1.1\r\n", "not a request"),
        (b"\x00\xff\xfe\n", "not a request"),
        (b"[]\n", "not a request"),
        (b"[" * 10_000 + b"\n", "not a request"),
        (b'{"command": "status"', "not a request"),
        (b'{"command": "self-destruct"}\n', "command: Input should be"),
        (b'{"command": "status", "colour": 1}\n', "colour: Extra inputs"),
        (b'{"command": "status", "args": 3}\n', "args: Input should be an object"),
        (b'{"command": "status", "id": "7"}\n', "id: String should match"),
        (b'{"command": "status", "operator": "A B"}\n', "operator: String should match"),
        (b"a" * 20_000 + b"\n", "over 15000 bytes"),
        (b"a" * 3_000_000, "over 15000 bytes"),
    ],
)
def test_garbage_is_refused_with_a_reason(daemon, sent, told):
    assert told in daemon.raw(sent)["error"]
    assert daemon.done == []
    assert daemon.ask("status")["ok"]


def test_who_says_nothing_is_told_so(daemon, monkeypatch):
    monkeypatch.setattr(local_socket, "REQUEST_WITHIN_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent, address_of(daemon.path) as address:
        silent.settimeout(PATIENCE_S)
        silent.connect(address)
        assert b"no request came" in silent.recv(1000)
        assert silent.recv(1000) == b""


def test_connections_that_ask_nothing_keep_nobody_out(daemon):
    held = []
    with address_of(daemon.path) as address:
        for _ in range(3 * local_socket.MOST_OPEN):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].connect(address)
        assert daemon.ask("status")["ok"]
        held[0].settimeout(PATIENCE_S)
        assert b"others are waiting" in held[0].recv(1000)
    for connection in held:
        connection.close()


def test_many_ask_at_once_and_each_is_answered(daemon):
    with ThreadPoolExecutor(16) as operators:
        replies = list(operators.map(lambda _: daemon.ask("status"), range(48)))
    assert all(reply["ok"] for reply in replies)
    assert len({reply["id"] for reply in replies}) == 48


def test_who_goes_away_before_the_answer_disturbs_nobody(daemon):
    daemon.waits.clear()
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as hasty, address_of(daemon.path) as address:
            hasty.connect(address)
            hasty.sendall(b'{"command": "status"}\n')
    daemon.waits.set()
    assert daemon.ask("status")["ok"]


def test_a_command_that_takes_long_says_where_its_reply_will_be(daemon, monkeypatch):
    monkeypatch.setattr(local_socket, "ANSWER_WITHIN_S", 0.05)
    daemon.waits.clear()
    assert "takes long" in daemon.ask("status")["error"]
    monkeypatch.setattr(local_socket, "ANSWER_WITHIN_S", PATIENCE_S)
    daemon.waits.set()
    assert daemon.ask("status")["ok"]
    assert daemon.done == ["status", "status"]


def test_it_is_for_the_daemons_user_and_group(daemon):
    mode = daemon.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_a_good_end_leaves_nothing_behind(tmp_path):
    with Daemon(tmp_path) as running:
        path = running.path
    assert list(tmp_path.glob(f"{path.name}*")) == []
    with pytest.raises(ServiceError, match="no daemon is running here, or"):
        ask(path, {"command": "status"})


def test_a_living_daemon_keeps_its_socket(daemon):
    second = LocalSocket(daemon.path, lambda *_: Future(), site="lab", device="m2")
    with pytest.raises(ServiceError, match="a daemon is running here already"):
        second.__enter__()
    assert daemon.ask("status")["ok"]


def test_what_a_killed_daemon_left_is_replaced(tmp_path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from edge_daemon.service.local_socket import LocalSocket\n"
        "with LocalSocket(Path(sys.argv[1]), None, site='lab', device='m1'):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(60)\n"
    )
    path = tmp_path / "leuko-edge.sock"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.kill()
    assert stat.S_ISSOCK(path.stat().st_mode)
    with pytest.raises(ServiceError, match="no daemon is running here, or"):
        ask(path, {"command": "status"})
    with Daemon(tmp_path) as running:
        assert running.ask("status")["ok"]


def test_what_is_no_daemons_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(ServiceError, match="is no socket"):
        LocalSocket(path, lambda *_: Future(), site="lab", device="m1").__enter__()
    assert path.read_text() == "mine"
    other = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as listening, address_of(other) as address:
        listening.bind(address)
        listening.listen()
        with pytest.raises(ServiceError, match="something else listens"):
            LocalSocket(other, lambda *_: Future(), site="lab", device="m1").__enter__()


def test_a_path_longer_than_the_kernel_takes_works_too(tmp_path):
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    with Daemon(folder) as running:
        assert running.ask("status")["ok"]


def test_who_may_not_ask_is_told_how_to_be_allowed(daemon, monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(local_client, "_connect", refused)  # whatever user runs this test
    with pytest.raises(ServiceError, match="it is for its own user and group"):
        daemon.ask("status")


@given(st.data())
@settings(
    max_examples=repeated(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_bytes_break_it(daemon, data):
    request = {"command": "slide-start", "args": {"slide": "s1"}, "id": "ab" * 16, "operator": "o"}
    good = bytearray(json.dumps(request).encode() + b"\n")
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(good) - 1))
        good[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    answer = daemon.raw(bytes(good) if data.draw(st.booleans()) else data.draw(st.binary()))
    assert "ok" in answer or answer["error"]
