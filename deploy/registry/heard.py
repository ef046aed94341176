"""From what was known of a device and one message of it to what is known now. Pure.

Which message is the newer one? A status: the one that arrives last, for the broker keeps their
order and sends the will only when the device is gone. Of one start of the daemon: the higher
``seq``. A control: the higher run. What waited for a connection, or had been kept by the broker,
tells nothing of now.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from deploy.registry.record import MOST_BOOTS, Reported
from edge_daemon.contract.messages import ControlRun, Health, Message, SlideSummary, Status


def taken(
    known: Reported, message: Message, at: datetime, *, retained: bool, historical: bool
) -> Reported:
    """What is known with this message; ``known`` itself where it says nothing new."""
    if isinstance(message, Status):
        return _status(known, message, at, retained)
    if isinstance(message, ControlRun):
        return _control(known, message, at, live=not retained)
    if retained or not isinstance(message, Health | SlideSummary):
        return known
    if historical:  # it speaks now, of then
        return known.model_copy(update={"seen_at": at})
    if isinstance(message, SlideSummary):
        news = {"seen_at": at, "screened_at": at}
        return known.model_copy(update=news)
    return _health(known, message, at)


def _status(known: Reported, said: Status, at: datetime, retained: bool) -> Reported:
    news: dict[str, Any] = {"state": said.state, "version": plain(said.version)}
    if said.state == "offline":  # of a will nobody can tell when it was written
        if said.boot_id in known.boots[1:]:
            return known  # of an earlier start: the present one is online
        return known.model_copy(update={"state": "offline"})
    news |= _boot(known, said.boot_id, at, live=not retained)
    if said.boot_id not in known.boots[:1] or said.seq >= known.seq:
        news |= {"bundle": said.bundle, "seq": said.seq, "said_at": said.ts}
    if not retained:
        news["seen_at"] = at
    return known.model_copy(update=news)


def _health(known: Reported, said: Health, at: datetime) -> Reported:
    if said.boot_id in known.boots[:1] and said.seq <= known.seq:
        return known
    temperatures = said.temperatures_c.values()
    news: dict[str, Any] = {
        "bundle": said.bundle,
        "said_at": said.ts,
        "seen_at": at,
        "seq": said.seq,
        "skew_s": round((said.ts - at).total_seconds(), 3),
        "clock_synchronised": said.clock.synchronised,
        "clock_max_error_ms": said.clock.max_error_ms,
        "uptime_s": said.uptime_s,
        "fps": said.fps,
        "hottest_c": max(temperatures, default=None),
        "disk_free_bytes": said.disk_free_bytes,
        "memory_bytes": said.memory_bytes,
        "waiting": said.outbox.messages,
        "refused": said.outbox.refused,
        "evicted": said.outbox.evicted,
        "throttled": bool(said.throttled),
        "control_due": said.control is not None,
    }
    return known.model_copy(update=news | _boot(known, said.boot_id, at, live=True))


def _control(known: Reported, said: ControlRun, at: datetime, *, live: bool) -> Reported:
    news: dict[str, Any] = {"seen_at": at} if live else {}
    if said.run > known.control_run:
        news |= {"control": said.verdict, "control_run": said.run, "control_at": said.ended_at}
    return known.model_copy(update=news) if news else known


def plain(version: str) -> str:
    """Nothing in it moves a terminal's cursor."""
    return "".join(one for one in version if one.isprintable())[:64]


def _boot(known: Reported, boot_id: str, at: datetime, *, live: bool) -> dict[str, Any]:
    """A start that is over cannot speak; if one does, two daemons bear one name."""
    if boot_id in known.boots[:1]:
        return {}
    others = tuple(one for one in known.boots if one != boot_id)
    news: dict[str, Any] = {"boots": (boot_id, *others)[:MOST_BOOTS]}
    if live and boot_id in known.boots:
        news["doubled_at"] = at
    return news
