"""Keeping the registry while somebody looks on: a line whenever a device is not as before."""

from __future__ import annotations

import json as text
import time
from collections.abc import Callable
from pathlib import Path

from deploy.registry.drift import Limits, drift, short
from deploy.registry.errors import RegistryAwayError
from deploy.registry.listening import Listener
from deploy.registry.listing import as_record
from deploy.registry.record import Device, Listened
from deploy.registry.store import Registry
from edge_daemon.contract.envelope import utc_now
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.signals import stop_on_signals

_LOOK_AT_ALL_EVERY_S = 5.0


def watch(
    registry: Registry,
    settings: BrokerSettings,
    pki: Path | None,
    limits: Limits,
    say: Callable[[str], object],
    *,
    seconds: float | None = None,
    json: bool = False,
) -> None:
    """Listen until SIGINT or SIGTERM, or for so many seconds.

    Raises:
        BrokerError: there is no broker now; one that goes later is waited for.
        RegistryError: the registry cannot be written; a server that goes later is waited for.
    """
    told: dict[str, tuple[object, ...]] = {}
    news: set[str] = set()
    until_s = None if seconds is None else time.monotonic() + seconds
    looked_s = float("-inf")
    with stop_on_signals() as stopping, Listener(settings, registry, pki, news.add) as listener:
        listener.connect()
        while not stopping.is_set() and (until_s is None or time.monotonic() < until_s):
            listener.step()
            now_s = time.monotonic()
            at_all = now_s - looked_s >= _LOOK_AT_ALL_EVERY_S  # silence makes no noise
            if listener.registry_away or not (at_all or news):
                continue
            try:
                if at_all:
                    listener.read_journal_again()
                found = registry.devices() if at_all else registry.named(news)
                listened = registry.listened
            except RegistryAwayError as error:
                listener.wait_for_registry(error)
                continue
            news.clear()
            looked_s = now_s if at_all else looked_s
            for device in found:
                _tell(device, listened, limits, told, say, json=json)


def _tell(
    device: Device,
    listened: Listened | None,
    limits: Limits,
    told: dict[str, tuple[object, ...]],
    say: Callable[[str], object],
    *,
    json: bool,
) -> None:
    now = utc_now()
    points = drift(device, listened, now, limits)
    is_ = device.reported
    standing = (is_.state, is_.version, is_.bundle, *(one.point for one in points))
    if told.get(device.name) == standing:
        return
    told[device.name] = standing
    if json:
        record = {"at": now.isoformat(), **as_record(device, listened, now, limits)}
        say(text.dumps(record))
        return
    runs = f"daemon {is_.version or '-'}, bundle {short(is_.bundle)}"
    more = "".join(f"; {one.line}" for one in points)
    say(f"{now:%H:%M:%S} {device.name} {is_.state or 'not heard yet'}, {runs}{more}")
