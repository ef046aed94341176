"""``leuko-edge check``: will this device work? One plain line per thing it needs."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from rich.console import Console

from edge_daemon.commands.calibration import describe_calibration, open_calibration
from edge_daemon.commands.control import describe_control
from edge_daemon.commands.models import open_models, opened_second
from edge_daemon.config import Config, load_config
from edge_daemon.delivery.link import check_broker
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.errors import CalibrationError, LeukoError, SourceError
from edge_daemon.sources.base import Frame, Pixels, description_of
from edge_daemon.sources.open import open_source
from edge_daemon.vision.quality import Quality, assess

LOW_DISK_MB = 500
"""Below this the outbox of one slide may not fit beside logs and engines."""
_FIRST_FRAME_WITHIN_S = 10.0


def check(path: Path, console: Console) -> bool:
    """Check everything a configuration names; True when all of it works."""
    try:
        config = load_config(path)
    except LeukoError as error:
        console.print(f"FAIL  config   {error}", highlight=False, soft_wrap=True)
        return False
    console.print(f"ok    config   {path}", highlight=False, soft_wrap=True)
    checks: dict[str, Callable[[Config], str]] = {
        "source": _source,
        "optics": describe_calibration,
        "bundle": _bundle,
        "control": describe_control,
        "broker": lambda c: check_broker(c.broker, c.broker.connect_timeout_s),
        "disk": _disk,
    }
    passed = True
    for name, examine in checks.items():
        try:
            line, verdict = examine(config), "ok  "
        except LeukoError as error:
            line, verdict, passed = str(error), "FAIL", False
        console.print(f"{verdict}  {name:<8} {line}", highlight=False, soft_wrap=True)
    return passed


def _source(config: Config) -> str:
    settings = config.source
    started = time.monotonic()
    # A live source waits for as long as it takes: for a camera to come back, for a file to come.
    stop = threading.Event()
    patience = threading.Timer(_FIRST_FRAME_WITHIN_S, stop.set)
    with (
        ExitStack() as ends,
        open_source(
            settings.url, scan=settings.scan, um_per_px=settings.um_per_px, stop=stop
        ) as source,
    ):
        ends.callback(patience.cancel)
        patience.start()
        for captured in source:
            if isinstance(captured, Frame):
                height, width = captured.pixels.shape[:2]
                reason = _first_look(captured.pixels, config).reason
                quality = "good to judge" if reason is None else reason
                return f"{description_of(source)}: {width}x{height}, first frame {quality}"
            if time.monotonic() - started > _FIRST_FRAME_WITHIN_S:
                break
        trouble = getattr(source, "trouble", None)
        if trouble:
            raise SourceError(trouble)
        raise SourceError(f"{source.name} gives no readable frame; check camera, cable and path")


def _first_look(pixels: Pixels, config: Config) -> Quality:
    """As the daemon would judge it; a calibration that cannot be read has a line of its own."""
    with suppress(CalibrationError):
        calibrated = open_calibration(config)
        if calibrated is not None and calibrated.fits(pixels):
            needs = calibrated.thresholds(config.quality)
            return assess(calibrated.correct(pixels), needs, calibrated.stain)
    return assess(pixels, config.quality)


def _bundle(config: Config) -> str:
    chosen = config.models
    with (
        open_models(chosen.bundle, chosen.options) as models,
        opened_second(models.bundle, chosen.options, wanted=chosen.second_opinion) as second,
    ):
        more = "" if second is None else ", with a second opinion"
        return f"{models.description}{more}, golden set passed"


def _disk(config: Config) -> str:
    path = config.outbox.path
    with Outbox(path, budget_bytes=config.outbox.budget_mb << 20) as outbox:
        waiting = outbox.depth().messages
    free_mb = shutil.disk_usage(path.parent).free >> 20
    line = f"outbox {path} holds {waiting} undelivered messages, {free_mb} MB free"
    if free_mb < max(LOW_DISK_MB, config.outbox.budget_mb):
        raise LeukoError(f"{line}: free some space or move outbox.path to a larger disk")
    return line
