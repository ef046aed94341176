"""Memory of the running daemon with the networks that ship, by its own health messages.

``python -m tests.end_to_end.memory_table 10``: ``leuko-edge run`` on the simulated microscope with
a real Mosquitto for ten minutes, slide after slide; a line a minute.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edge_daemon.contract.messages import Health
from edge_daemon.delivery.broker import find_mosquitto
from edge_daemon.delivery.receiver import Received, Receiver, wait_until
from edge_daemon.delivery.settings import BrokerSettings
from tests.mosquitto import Mosquitto

CONFIG = """
health_every_s = 1.0
[source]
url = "sim://?seed={seed}&fields=10000"
[broker]
url = "{broker}"
"""


def main(minutes: float) -> None:
    """Print memory and frames, and by how much memory grew after the first tenth."""
    program = find_mosquitto()
    assert program is not None
    heard: list[Health] = []

    def take(received: Received) -> None:
        if isinstance(received.message, Health):
            heard.append(received.message)

    with tempfile.TemporaryDirectory() as name, Mosquitto(program, Path(name) / "b") as broker:
        receiver = Receiver(BrokerSettings(url=broker.url), take)
        receiver.start()
        config = Path(name) / "device.toml"
        config.write_text(CONFIG.format(seed=1, broker=broker.url))
        with subprocess.Popen([sys.executable, "-m", "edge_daemon.cli", "run", config]) as daemon:
            try:
                assert wait_until(lambda: any(h.frames.captured for h in heard), 600)
                began_s = time.monotonic()
                settled = 0
                for tenth in range(10):
                    until_s = began_s + (tenth + 1) * minutes * 6
                    time.sleep(max(0.0, until_s - time.monotonic()))
                    health = heard[-1]
                    memory = health.memory_bytes or 0
                    settled = settled or memory
                    print(
                        f"{health.frames.captured:6} frames  {memory / 2**20:7.1f} MiB  "
                        f"{memory / settled - 1:+.2%}",
                        flush=True,
                    )
            finally:
                daemon.terminate()
        receiver.stop()


if __name__ == "__main__":
    main(float(sys.argv[1]))
