"""``leuko-edge demo``: a broker, a daemon on a simulated slide, and a subscriber, on one machine.

Three real parts: the broker listens on 127.0.0.1, the daemon is ``leuko-edge run`` in a process of
its own, and what is shown here is only what arrived over MQTT. At the end the slide's summary
stands beside the truth of the simulation.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live

from edge_daemon.commands.demo_view import DemoView
from edge_daemon.commands.models import find_bundle
from edge_daemon.delivery.broker import RunningBroker, demo_broker
from edge_daemon.delivery.receiver import Received, Receiver
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import LeukoError
from edge_daemon.sources.simulated import open_simulated

DEMO_SLIDE = "sim://?seed=11&fields=150&overlap=0.3&blasts=0.3&white=2.5&defects=0.03"
"""About 200 white cells, three in ten of them blasts, and a few frames spoilt on purpose."""

_SITE, _DEVICE, _SLIDE = "demo-lab", "microscope-1", "demo-slide"
_REFRESH_HZ = 8
_LINE_EVERY_S = 2.0
_LAST_WORDS_S = 5.0

_CONFIG = """\
# The configuration of the demo; a device's own looks the same.
[device]
site = "{site}"
name = "{device}"

[source]
url = {slide_url}

[models]
bundle = {bundle}

[broker]
url = {broker_url}

[outbox]
path = "outbox.db"

[slide]
name = "{slide}"
"""


class _Arrivals:
    """What arrives over MQTT, as the main thread needs it."""

    def __init__(self, view: DemoView) -> None:
        self.view = view
        self.complete = threading.Event()

    def receive(self, received: Received) -> None:
        """Called in the receiver's thread."""
        self.view.receive(received)
        if self.view.summary is not None and self.view.summary.ended_at is not None:
            self.complete.set()


def demo(
    console: Console,
    *,
    slide: str = DEMO_SLIDE,
    bundle: Path | None = None,
    broker: str | None = None,
) -> None:
    """Run the demo; returns when the slide is done.

    Raises:
        LeukoError: a part did not start, or the daemon ended before its slide was complete.
    """
    truth = open_simulated(slide).truth()  # refuses a wrong address before anything is started
    shipped = find_bundle(bundle)
    view = DemoView(frames=len(truth.frames))
    arrivals = _Arrivals(view)
    own = nullcontext(RunningBroker(broker, "your broker")) if broker else demo_broker()
    with own as running, tempfile.TemporaryDirectory(prefix="leukoedge-demo-") as folder:
        receiver = Receiver(BrokerSettings.from_url(running.url), arrivals.receive)
        receiver.start()
        try:
            console.print(
                f"broker      {running.name} at {running.url}\n"
                f"bundle      {shipped.label}\n"
                f"slide       {slide}\n"
                f"subscriber  leukoedge/v1/{_SITE}/{_DEVICE}/#",
                highlight=False,
            )
            config = Path(folder) / "demo.toml"
            config.write_text(
                _CONFIG.format(
                    site=_SITE,
                    device=_DEVICE,
                    slide_url=json.dumps(slide),
                    bundle=json.dumps(str(shipped.path.resolve())),
                    broker_url=json.dumps(running.url),
                    slide=_SLIDE,
                ),
                encoding="utf-8",
            )
            with _daemon(config) as process:
                _watch(process, arrivals, console)
        finally:
            receiver.stop()
    summary = view.summary
    if summary is None or not summary.complete:
        raise LeukoError("the daemon ended before its slide was complete; see its lines above")
    for line in view.closing_lines(summary, truth):
        console.print(line, highlight=False)


@contextmanager
def _daemon(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon in a process of its own; asked to stop, then ended, when the demo is left."""
    command = [sys.executable, "-m", "edge_daemon.cli", "run", str(config)]
    # What it would say on a terminal is shown here by what it publishes, unless it breaks.
    with (config.parent / "daemon.log").open("w+b") as said:
        process = subprocess.Popen(command, stderr=said, start_new_session=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_WORDS_S)
            process.kill()
            process.wait()
            if process.returncode:
                said.seek(0)
                sys.stderr.write(said.read().decode(errors="replace"))


def _watch(process: subprocess.Popen[bytes], arrivals: _Arrivals, console: Console) -> None:
    """Show what arrives until the final summary is there or the daemon has ended without it."""
    view = arrivals.view
    started = next_line = time.monotonic()
    live = (
        Live(console=console, refresh_per_second=_REFRESH_HZ, get_renderable=view.panel)
        if console.is_terminal
        else None
    )
    with live or nullcontext():
        while not arrivals.complete.wait(1 / _REFRESH_HZ):
            if process.poll() is not None:
                arrivals.complete.wait(_LAST_WORDS_S)  # its last messages are still on their way
                break
            if live is None and time.monotonic() >= next_line:
                console.print(
                    f"{time.monotonic() - started:5.1f} s  {view.line()}", highlight=False
                )
                next_line = time.monotonic() + _LINE_EVERY_S
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS_S)
