"""Asking the daemon of this machine over its local socket: one line of JSON there, one back.

Light, for the command line: it knows the socket and JSON, and nothing of the daemon.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_daemon.errors import ServiceError

ANSWER_WITHIN_S = 130.0
"""A little more than the daemon takes before it says that a command takes long."""
_CONNECT_WITHIN_S = 10.0
_MOST_ANSWER_BYTES = 1 << 20
_LONGEST_ADDRESS = 100
"""The kernel takes 107 bytes of a path."""


def ask(path: Path, request: dict[str, Any], within_s: float = ANSWER_WITHIN_S) -> dict[str, Any]:
    """The daemon's answer: a command's reply, or an object with an ``error``.

    Raises:
        ServiceError: nobody answers there, or not as a daemon does.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(within_s)
        try:
            with address_of(path) as address:
                _connect(connection, address)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise ServiceError(
                f"no daemon is running here, or it listens elsewhere than at {path}: start it "
                "(systemctl start leuko-edge), or name its socket (--socket) or its configuration "
                "(--config)"
            ) from None
        except PermissionError:
            raise ServiceError(
                f"this user may not ask the daemon at {path}: it is for its own user and group "
                "(usermod -aG leuko-edge NAME, then log in again)"
            ) from None
        except OSError as error:
            raise ServiceError(f"the daemon cannot be asked at {path}: {error}") from None
        try:
            with suppress(BrokenPipeError):  # it did not want all of it, and says why
                connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_line(connection))
        except TimeoutError:
            raise ServiceError(
                f"the daemon at {path} does not answer; see what it does: systemctl status "
                "leuko-edge"
            ) from None
        except (OSError, ValueError):
            raise ServiceError(
                f"the daemon at {path} went away before it answered; ask it again"
            ) from None
    if not isinstance(answer, dict):
        raise ServiceError(f"what listens at {path} is no daemon of this kind: check --socket")
    return answer


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """What to bind or to connect to; a path too long for the kernel is reached by its folder.

    Raises:
        OSError: there is no such folder.
    """
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _connect(connection: socket.socket, address: str) -> None:
    until = time.monotonic() + _CONNECT_WITHIN_S
    # So many may want to come in that the kernel has no more room.
    while (fault := connection.connect_ex(address)) == errno.EAGAIN and time.monotonic() < until:
        time.sleep(0.02)
    if fault:
        raise OSError(fault, os.strerror(fault))


def _line(connection: socket.socket) -> bytes:
    answer = bytearray()
    while not answer.endswith(b"\n"):
        part = connection.recv(65536)
        if not part:
            break
        answer += part
        if len(answer) > _MOST_ANSWER_BYTES:
            raise ValueError("an answer without an end")
    return bytes(answer)
