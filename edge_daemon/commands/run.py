"""``leuko-edge run``: screen slides as the configuration and commands say, until a signal."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from edge_daemon.commands.device import Device
from edge_daemon.commands.networks import START_WITHIN_S
from edge_daemon.commands.output import print_summary
from edge_daemon.config import Config
from edge_daemon.contract.envelope import as_reason
from edge_daemon.errors import LeukoError
from edge_daemon.service.progress import Progress
from edge_daemon.service.systemd import Notifier
from edge_daemon.signals import stop_on_signals

FLUSH_ON_EXIT_S = 2.0
"""A stop is quick: what the broker has not taken by then waits on disk for the next start."""

log = logging.getLogger(__name__)


def run(config: Config, console: Console, *, file: Path | None = None) -> None:
    """Screen slides. Returns when the source ends or on SIGINT or SIGTERM.

    ``file`` is read again when a command says so.

    Raises:
        LeukoError: something it needs is missing or broke; results so far are stored, and a slide
            that was under way is gone on with at the next start.
    """
    progress = Progress(Notifier.from_environment())
    progress.starting("opening source, models and outbox", START_WITHIN_S)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        device = Device(config, file, progress, stop, stack)
        log.info("%s with %s", device.source.name, device.networks.models.description)
        started = time.monotonic()
        publisher = device.delivery.publisher
        progress.ready(f"looking at {device.source.name}")
        try:
            summary = device.service.run(stop)
        except LeukoError as error:
            publisher.set_state("degraded", as_reason(str(error)))
            publisher.flush(FLUSH_ON_EXIT_S)
            raise
        finally:
            progress.stopping("the daemon ends")
        if summary is not None:
            print_summary(summary, time.monotonic() - started, console)
        left = publisher.flush(FLUSH_ON_EXIT_S)
        if left:
            log.warning(
                "%d messages wait in %s for the next start (%s)",
                left,
                device.delivery.outbox.path,
                publisher.link.line,
            )
