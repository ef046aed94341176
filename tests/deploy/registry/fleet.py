"""What devices say, for tests of whoever listens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeVar

from deploy.registry.record import Enrolment
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.messages import ControlRun, Health, Message, SlideSummary, Status
from tests.edge_daemon.contract.samples import SAMPLES

A, B = "a" * 32, "b" * 32
"""Two starts of a daemon."""
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
"""Two bundles."""
NOW = utc_now()

Kind = TypeVar("Kind", bound=Message)


def enrolled(since: datetime = NOW - timedelta(days=30), **changes: Any) -> Enrolment:
    values = {"standing": "enrolled", "since": since, "until": NOW + timedelta(days=300)}
    return Enrolment(**(values | changes))


def status(device: str = "lab/scope-1", state: str = "online", **changes: Any) -> Status:
    reason = None if state == "online" else "a reason"
    return _said(Status, device, {"state": state, "reason": reason, "version": "1.0.0"} | changes)


def health(device: str = "lab/scope-1", **changes: Any) -> Health:
    return _said(Health, device, changes)


def control(device: str = "lab/scope-1", **changes: Any) -> ControlRun:
    return _said(ControlRun, device, changes)


def summary(device: str = "lab/scope-1", **changes: Any) -> SlideSummary:
    return _said(SlideSummary, device, changes)


def _said(kind: type[Kind], device: str, changes: dict[str, Any]) -> Kind:
    site, name = device.split("/")
    (sample,) = [one for one in SAMPLES if isinstance(one, kind)]
    envelope = {"site": site, "device": name, "ts": NOW, "boot_id": A, "seq": 1, "bundle": OLD}
    return sample.model_copy(update=envelope | changes)
