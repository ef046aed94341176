"""Commands of people on this machine: a Unix domain socket, one line of JSON each way.

    {"command": "slide-start", "args": {"slide": "S-17"}, "operator": "op-1"}

It works without network, HTTP and broker. Who may use it is a matter of the file: the daemon's user
and group. The commands are those of MQTT and HTTP, checked, carried out, answered and written down
by the same desk; the kernel says which user sent them.

A connection is one request. Its line must come within a few seconds and be of a size that a command
can have; whoever holds connections open without asking loses the oldest to those who do ask.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
import struct
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from pydantic import Field, JsonValue, ValidationError
from typing_extensions import Self

from edge_daemon.contract.base import Name, StrictModel, UuidHex
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.messages import Command, CommandName, CommandReply
from edge_daemon.errors import CommandError, LeukoError, ServiceError
from edge_daemon.ledger.audit import Sender
from edge_daemon.locks import FileLock
from edge_daemon.service.local_client import address_of

Submit: TypeAlias = Callable[[Command, Sender], "Future[CommandReply]"]
"""Hands a command in, from any thread; raises :class:`LeukoError` when it cannot be now."""

MODE = 0o660
"""The daemon's user and group, and nobody else."""
MOST_REQUEST_BYTES = 15_000
"""A little less than a command may have: it is given its address and its time here."""
REQUEST_WITHIN_S = 5.0
ANSWER_WITHIN_S = 120.0
"""Activating a bundle builds engines."""
EXPIRES_AFTER_S = 60.0
"""A command that waited for so long behind others is no longer what the operator wants."""
MOST_OPEN = 64
STOP_WITHIN_S = 1.0

log = logging.getLogger(__name__)


class Request(StrictModel):
    """What is asked: a command, without what the daemon knows itself."""

    command: CommandName
    args: dict[str, JsonValue] = Field(default_factory=dict)
    id: UuidHex | None = None
    """The command's; a repeat of it is answered again and not carried out again."""
    operator: Name | None = None
    """Pseudonym of whoever asks, for the audit."""


class _RefusedError(Exception):
    pass


class LocalSocket:
    """The socket of one daemon, served by a thread of its own while it is entered."""

    def __init__(self, path: Path, submit: Submit, *, site: str, device: str) -> None:
        self.path = path
        self._submit = submit
        self._site, self._device = site, device
        self._loop: asyncio.AbstractEventLoop | None = None
        self._up, self._stopping = threading.Event(), asyncio.Event()
        self._open: dict[asyncio.Task[None], None] = {}
        """Connections whose request has not come yet, the oldest first."""
        self._answering = 0
        self._thread = threading.Thread(target=self._run, name="local socket", daemon=True)

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            ServiceError: another daemon listens there, or nothing can.
        """
        self._lock, self._socket = _listen(self.path)
        self._thread.start()
        log.info("commands of this machine's users: %s", self.path)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._up.wait(STOP_WITHIN_S) and self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_WITHIN_S)
        self._socket.close()
        with suppress(OSError):
            self.path.unlink()
        self._lock.release()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:  # the daemon screens on without it, and says so
            log.exception("the local socket has failed")

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_unix_server(
            self._connected, sock=self._socket, limit=MOST_REQUEST_BYTES
        )
        self._up.set()
        await self._stopping.wait()
        server.close()  # asyncio.run() ends the connections

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a connection is served by a task
        self._open[task] = None
        while len(self._open) + self._answering > MOST_OPEN and len(self._open) > 1:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()
        try:
            answer = await self._answer(reader, writer, task)
            writer.write(answer + b"\n")
            await asyncio.wait_for(writer.drain(), REQUEST_WITHIN_S)
        except asyncio.CancelledError:
            writer.write(_error("closed without a request: others are waiting") + b"\n")
        except (OSError, asyncio.TimeoutError):
            pass  # whoever asked has gone away, or does not read
        except Exception:  # one connection; the next must be served
            log.exception("a request over the local socket failed")
        finally:
            self._open.pop(task, None)
            writer.close()

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        task: asyncio.Task[None],
    ) -> bytes:
        try:
            line = await _line(reader)
            self._open.pop(task, None)
            request = _request(line)
            command = Command(
                site=self._site,
                device=self._device,
                id=request.id or uuid.uuid4().hex,
                name=request.command,
                expires_at=utc_now() + timedelta(seconds=EXPIRES_AFTER_S),
                args=request.args,
            )
            sender = Sender(_uid_of(writer), request.operator)
            self._answering += 1
            try:
                return (await self._carried_out(command, sender)).to_json()
            finally:
                self._answering -= 1
        except (_RefusedError, LeukoError) as error:
            return _error(str(error))

    async def _carried_out(self, command: Command, sender: Sender) -> CommandReply:
        if self._answering > MOST_OPEN:
            raise CommandError("too many commands wait; try again later")
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        reply = self._submit(command, sender)

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # the daemon has stopped meanwhile
                loop.call_soon_threadsafe(done.set)

        reply.add_done_callback(tell)
        try:
            await asyncio.wait_for(done.wait(), ANSWER_WITHIN_S)
        except asyncio.TimeoutError:
            raise _RefusedError(
                f"{command.name} takes long; its reply will be in the audit (leuko-edge ledger "
                "commands) and on MQTT"
            ) from None
        return reply.result()


def _error(reason: str) -> bytes:
    return json.dumps({"error": reason}).encode()


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.readuntil(b"\n"), REQUEST_WITHIN_S)
    except asyncio.TimeoutError:
        raise _RefusedError(
            f"no request came within {REQUEST_WITHIN_S:.0f} s: send one line of JSON"
        ) from None
    except asyncio.LimitOverrunError:
        raise _RefusedError(f"over {MOST_REQUEST_BYTES} bytes: not a request") from None
    except asyncio.IncompleteReadError as error:
        return error.partial  # the sender closed its side, which ends the line as well


def _request(line: bytes) -> Request:
    try:
        return Request.model_validate_json(line)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        what = f"{where}: {fault['msg']}" if where else fault["msg"]
        raise _RefusedError(f"not a request: {what[:300]}") from None


def _uid_of(writer: asyncio.StreamWriter) -> int:
    connection = writer.get_extra_info("socket")
    size = struct.calcsize("3i")
    _pid, uid, _gid = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return int(uid)


def _listen(path: Path) -> tuple[FileLock, socket.socket]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"))
    except BlockingIOError:
        raise ServiceError(
            f"a daemon is running here already: it listens at {path}; stop it, or give this one "
            "an outbox and a [local] socket of its own"
        ) from None
    except OSError as error:
        raise ServiceError(
            f"cannot listen at {path}: {error.strerror}; check path and rights"
        ) from (None)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        with address_of(path) as address:
            listening.bind(address)
            # Nobody can connect before it listens, so nobody comes in before this either.
            os.chmod(path, MODE)  # noqa: PTH101 - with the modules around it
        listening.listen(MOST_OPEN)
    except BaseException as error:
        listening.close()
        lock.release()
        if isinstance(error, OSError):
            raise ServiceError(
                f"cannot listen at {path}: {error.strerror}; check path and rights"
            ) from None
        raise
    return lock, listening


def _clear(path: Path) -> None:
    """Take away what a daemon left that was killed; nothing else.

    Raises:
        ServiceError: what is there is no such thing.
    """
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ServiceError(f"{path} is there and is no socket: name another [local] socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, address_of(path) as address:
        probe.settimeout(1.0)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except (OSError, TimeoutError):
            pass  # somebody is there and has no time
    raise ServiceError(f"something else listens at {path}: name another [local] socket")
