"""Somebody has looked at a run of a control and says: so it should be."""

from __future__ import annotations

from edge_daemon.control.expectation import (
    Expectation,
    expectation_file,
    expectation_of,
    write_expectation,
)
from edge_daemon.control.history import ControlHistory
from edge_daemon.control_settings import ControlSettings
from edge_daemon.errors import ControlError


def accept_run(
    history: ControlHistory, settings: ControlSettings, number: int | None = None
) -> Expectation:
    """From now on a run is what is expected; the last one where ``number`` is None.

    It does not count as passed: the control is run again and held against it.

    Raises:
        ControlError: there is no such run, it cannot be expected, or it cannot be written.
    """
    if number is None:
        newest = history.runs(1)
        run = newest[0].run if newest else None
    else:
        run = history.run(number)
    if run is None:
        which = "no control" if number is None else f"no control run {number}"
        raise ControlError(f"{which} was kept on this device: run the control first")
    expectation = expectation_of(run, settings.tolerances)
    write_expectation(expectation_file(settings.expected, run.kind), expectation)
    return expectation
