"""Does a control count now? If not: why, and what to do, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from edge_daemon.contract.control import ControlKind
from edge_daemon.control.compare import Identity
from edge_daemon.control.expectation import Expectation
from edge_daemon.control.history import Kept
from edge_daemon.control.validity import Moment, why_too_old
from edge_daemon.control_settings import ControlSettings

NAMES: dict[ControlKind, str] = {"stored": "the stored control", "slide": "the control slide"}


@dataclass(frozen=True)
class ControlStanding:
    """Why the controls do not count, in one line for the operator; None while they do."""

    line: str | None = None
    failed: bool = False
    """One was run and failed, and is not only due."""


def why_not(
    kind: ControlKind,
    settings: ControlSettings,
    expected: Expectation | None,
    newest: Kept | None,
    by: Identity,
    now: Moment,
) -> ControlStanding | None:
    """Why a control does not count, and what to do; None while it does.

    Args:
        kind: of the control.
        settings: of the device.
        expected: what was accepted; None where nothing was.
        newest: its last run.
        by: what slides are screened with now.
        now: the time.
    """
    name = NAMES[kind]
    run_it = (
        "run it: command control-run"
        if kind == "stored"
        else f"put it under the microscope and start it: slide-start {settings.slide}"
    )
    if expected is None:
        if newest is None or newest.run.found is None:
            return ControlStanding(f"{name} has no expected result yet: {run_it}")
        return ControlStanding(
            f"{name} has no expected result yet: if run {newest.run.run} is right, accept it: "
            "leuko-edge control accept"
        )
    due = _why_due(newest, expected, by, now, timedelta(hours=settings.every_h))
    if due is not None:
        return ControlStanding(f"{name} is due: {due}: {run_it}")
    if newest is not None and newest.run.verdict == "failed":
        first = newest.run.reasons[0].rstrip(".")
        return ControlStanding(
            f"{name} failed: {first}; when the cause is found, {run_it}", failed=True
        )
    return None


def _why_due(
    newest: Kept | None, expected: Expectation, by: Identity, now: Moment, every: timedelta
) -> str | None:
    """Why the last run says nothing of now; None where it does, passed or failed."""
    if newest is None:
        return "it was never run"
    run = newest.run
    if run.bundle != by.bundle:
        return "the bundle is another than when it was run"
    if (run.engines, run.setup) != (by.engines, by.setup):
        return "engine, configuration, calibration or version are others than when it was run"
    if run.expectation != expected.digest:
        return "what is expected of it was changed since it was run"
    if run.verdict == "failed":
        return None
    return why_too_old(newest.ended, now, every)
