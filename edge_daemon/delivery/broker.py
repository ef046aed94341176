"""A broker for the demo, on 127.0.0.1 and a free port: Mosquitto if installed, else from a wheel.

The embedded broker (``iotcore``) makes the demo work on a machine with nothing but Python. It is no
broker for a laboratory: it takes anyone's messages and forgets its queue when it stops.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.errors import BrokerError

_START_TIMEOUT_S = 10.0
_ATTEMPTS = 3  # another program may take the free port before the broker does
_MAX_PAYLOAD_BYTES = 1024 * 1024
_POLL_S = 0.02

_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_type error
log_dest stderr
"""

_IOTCORE = """
id = 0

[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 1000
max_segment_size = 10485760
max_segment_count = 10

[v5.1]
name = "demo"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 10000
max_payload_size = {max_payload}
max_inflight_count = 100
dynamic_filters = true
"""


def find_mosquitto() -> Path | None:
    """The Mosquitto program, also where Debian puts it (``/usr/sbin``, not on everyone's PATH)."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return None if program is None else Path(program)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class RunningBroker:
    """A broker that was started here."""

    url: str
    name: str
    """Which broker it is, for the operator."""


@contextmanager
def demo_broker(*, embedded: bool = False) -> Iterator[RunningBroker]:
    """A broker that lives as long as the ``with`` block.

    ``embedded`` takes the wheel even where Mosquitto is installed.

    Raises:
        BrokerError: it does not start, or there is none.
    """
    program = None if embedded else find_mosquitto()
    with tempfile.TemporaryDirectory(prefix="leukoedge-broker-") as folder:
        if program is not None:
            started = _mosquitto(program, Path(folder) / "mosquitto.conf")
        else:
            started = _embedded(Path(folder) / "broker.toml")
        with started as broker:
            yield broker


@contextmanager
def _mosquitto(program: Path, config: Path) -> Iterator[RunningBroker]:
    for _ in range(_ATTEMPTS):
        port = free_port()
        config.write_text(_MOSQUITTO.format(port=port))
        # A session of its own: Ctrl-C ends the daemon first, which then says goodbye.
        process = subprocess.Popen([program, "-c", config], start_new_session=True)
        try:
            if _listens(process, port):
                yield RunningBroker(f"mqtt://127.0.0.1:{port}", "Mosquitto")
                return
        finally:
            process.terminate()
            process.wait()
    raise BrokerError(f"{program} does not start on 127.0.0.1: give --broker URL to use your own")


@contextmanager
def _embedded(config: Path) -> Iterator[RunningBroker]:
    try:
        from iotcore import Broker
    except ImportError:
        raise BrokerError(
            "there is no MQTT broker for the demo: install mosquitto (apt-get install mosquitto) "
            "or the iotcore package, or give --broker URL to use your own"
        ) from None
    for _ in range(_ATTEMPTS):
        port = free_port()
        config.write_text(_IOTCORE.format(port=port, max_payload=_MAX_PAYLOAD_BYTES))
        broker = Broker(config_path=str(config))
        with suppress(OSError, RuntimeError):
            broker.start(_START_TIMEOUT_S)
        if broker.is_running:
            try:
                yield RunningBroker(f"mqtt://127.0.0.1:{port}", "embedded broker (iotcore)")
            finally:
                broker.stop()
            return
    raise BrokerError(
        "the embedded broker does not start on 127.0.0.1: give --broker URL to use your own"
    )


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
        time.sleep(_POLL_S)
    return False
