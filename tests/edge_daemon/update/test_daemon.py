"""The daemon as the updater asks it: what it answers, and what is no answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.errors import UpdateError
from edge_daemon.update.daemon import LocalDaemon

REPLY: dict[str, Any] = {
    "ok": True,
    "reason": None,
    "boot_id": "ab" * 16,
    "bundle": "sha256:" + "0" * 64,
    "result": {
        "activity": "screening",
        "slide": {"slide": "S-17"},
        "bundle": {"name": "tiny", "version": "0.1.0", "fault": None},
    },
}


@contextmanager
def answering(path: Path, answer: dict[str, Any]) -> Iterator[LocalDaemon]:
    """What listens there says one thing to everyone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen(1)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.makefile("rb").readline()
                connection.sendall(json.dumps(answer).encode() + b"\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield LocalDaemon(path)
        thread.join(30)


def test_it_says_what_it_uses_and_which_slide_is_open(tmp_path: Path) -> None:
    with answering(tmp_path / "s", REPLY) as daemon:
        state = daemon.state()

    assert (state.label, state.slide, state.fault) == ("tiny-0.1.0", "S-17", None)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"error": "bundle-activate takes long"}, "the daemon: bundle-activate takes long"),
        ({"hello": 1}, "is no daemon of this kind"),
        ({**REPLY, "result": {"activity": "idle"}}, "older than this updater: restart it"),
        ({**REPLY, "ok": False, "reason": "not allowed"}, "does not say how it is: not allowed"),
    ],
)
def test_what_is_no_answer_is_a_line_to_wait_with(
    tmp_path: Path, answer: dict[str, Any], told: str
) -> None:
    with (
        answering(tmp_path / "s", answer) as daemon,
        pytest.raises(UpdateError, match=told),
    ):
        daemon.state()
