"""Devices as a person or a program reads them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from deploy.registry.drift import DEFAULT, Limits, drift, is_listening, short
from deploy.registry.record import Aside, Device, Listened

_COLUMNS = (
    "device",
    "site",
    "standing",
    "state",
    "version",
    "desired_version",
    "bundle",
    "desired_bundle",
    "seen_at",
    "skew_s",
    "drift",
)
_HEAD = ("device", "state", "daemon", "bundle", "seen", "drift")


def lines(
    devices: Iterable[Device],
    aside: Iterable[Aside],
    listened: Listened | None,
    now: datetime,
    limits: Limits = DEFAULT,
) -> Iterator[str]:
    """A table, then what was kept aside, a line each."""
    if not is_listening(listened, now, limits):
        since = "ever" if listened is None else f"since {listened.until:%Y-%m-%d %H:%M:%S} UTC"
        yield f"nobody has listened {since}: `leuko-deploy devices watch`"
    rows = [_HEAD, *(_row(one, listened, now, limits) for one in devices)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        yield "  ".join(
            f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)
        ).rstrip()
    for one in aside:
        often = f"{one.count} times until {_when(one.last_at)}"
        yield f"kept aside: {one.name} {one.leaf}, {often}: {one.line}"


def details(
    device: Device, listened: Listened | None, now: datetime, limits: Limits = DEFAULT
) -> Iterator[str]:
    """All there is of one device."""
    record = as_record(device, listened, now, limits)
    yield f"{'device':<24} {device.name}"
    for part in ("enrolment", "desired", "reported"):
        for key, value in (record[part] or {}).items():
            if value not in (None, "", []):
                shown = ", ".join(map(str, value)) if isinstance(value, list) else value
                yield f"{f'{part}: {key}'.replace('_', ' '):<24} {shown}"
    for one in record["drift"]:
        yield f"{'drift: ' + one['point']:<24} {one['line']}"


def as_record(
    device: Device, listened: Listened | None, now: datetime, limits: Limits = DEFAULT
) -> dict[str, Any]:
    """One device for a program."""
    points = [asdict(one) for one in drift(device, listened, now, limits)]
    return {"site": device.site, **device.model_dump(mode="json"), "drift": points}


def as_json(
    devices: Iterable[Device],
    aside: Iterable[Aside],
    listened: Listened | None,
    now: datetime,
    limits: Limits = DEFAULT,
) -> str:
    """All of it for a program."""
    document = {
        "schema": "leukoedge.devices/1",
        "at": now.isoformat(),
        "listening": is_listening(listened, now, limits),
        "listened": None if listened is None else listened.model_dump(mode="json"),
        "devices": [as_record(one, listened, now, limits) for one in devices],
        "aside": [one.model_dump(mode="json") for one in aside],
    }
    return json.dumps(document, indent=2)


def as_csv(
    devices: Iterable[Device], listened: Listened | None, now: datetime, limits: Limits = DEFAULT
) -> str:
    """A line for each device, for a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in devices:
        wish, is_ = one.desired, one.reported
        points = " ".join(found.point for found in drift(one, listened, now, limits))
        writer.writerow(
            [
                one.name,
                one.site,
                one.enrolment.standing,
                is_.state,
                is_.version,
                None if wish is None else wish.version,
                is_.bundle,
                None if wish is None else wish.bundle,
                None if is_.seen_at is None else is_.seen_at.isoformat(),
                is_.skew_s,
                points,
            ]
        )
    return out.getvalue()


def _row(one: Device, listened: Listened | None, now: datetime, limits: Limits) -> tuple[str, ...]:
    is_ = one.reported
    points = ", ".join(found.line for found in drift(one, listened, now, limits))
    seen = "never" if is_.seen_at is None else _when(is_.seen_at)
    bundle = short(is_.bundle)
    return (one.name, is_.state or "-", is_.version or "-", bundle, seen, points or "-")


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
