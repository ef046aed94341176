"""``leuko-edge control``: run, accept and look back, while the daemon does not run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from edge_daemon.commands.calibration import open_calibration
from edge_daemon.commands.models import open_models
from edge_daemon.config import Config, load_config
from edge_daemon.contract.control import ControlFigures, ControlKind, ControlRun
from edge_daemon.control.accept import accept_run
from edge_daemon.control.expectation import expectation_file, read_expectation
from edge_daemon.control.history import ControlHistory
from edge_daemon.control_settings import ControlTolerances
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.errors import ControlError, OutboxError
from edge_daemon.service.bundle_store import BundleStore
from edge_daemon.service.device_control import DeviceControl, Used

_HALF_CHART = 10
"""Marks on each side of what is expected; half of them are the tolerance."""


def run(path: Path, console: Console) -> bool:
    """Run the stored control as the daemon would; True when it passed.

    Raises:
        ControlError: none is configured, or the daemon runs.
        LeukoError: bundle, engine or calibration cannot be used.
    """
    config = load_config(path)
    chosen, device = config.models, config.device
    if config.control.source is None:
        raise ControlError(f"{path}: no stored control is configured: [control] source names one")
    with (
        _history(config) as kept,
        open_models(chosen.bundle or BundleStore(chosen.store).active(), chosen.options) as models,
    ):
        origin = Origin(device.site, device.name, uuid.uuid4().hex, models.bundle.digest)
        used = Used(config, models, open_calibration(config), origin)
        done = DeviceControl(kept, lambda: used).run_stored()
    _show(done, console)
    if done.expectation is None and done.found is not None:
        console.print(f"if this is right: leuko-edge control accept {path}", highlight=False)
    return done.verdict == "passed"


def accept(path: Path, number: int | None, console: Console) -> None:
    """What a run found is expected from now on.

    Raises:
        ControlError: there is no such run, or nothing can be expected from it.
    """
    config = load_config(path)
    with _history(config) as kept:
        accepted = accept_run(kept, config.control, number)
    figures = _figures(accepted.figures)
    file = expectation_file(config.control.expected, accepted.kind)
    console.print(f"expected    {figures}\n{file}: run {accepted.run}", highlight=False)


def history(path: Path, last: int, console: Console) -> None:
    """A line a run, oldest first: when, with which bundle, what was found, how far it was off.

    Raises:
        ControlError: the daemon runs.
    """
    config = load_config(path)
    with _history(config) as kept:
        runs = [one.run for one in kept.runs(last)][::-1]
    if not runs:
        console.print("no control was run on this device yet", highlight=False)
    for one in runs:
        console.print(history_line(one, config.control.tolerances), highlight=False, markup=False)


def describe_control(config: Config) -> str:
    """For ``leuko-edge check``: which controls there are, and whether anything is expected of them.

    Raises:
        ControlError: an expected result cannot be read, or was accepted under other tolerances.
    """
    control = config.control
    kinds: dict[ControlKind, str | None] = {"stored": control.source, "slide": control.slide}
    said = []
    for kind, what in kinds.items():
        if what is None:
            continue
        file = expectation_file(control.expected, kind)
        expected = read_expectation(file)
        if expected is None:
            said.append(f"{kind} {what}: nothing expected yet")
            continue
        if expected.tolerances != control.tolerances:
            raise ControlError(
                f"{file} was accepted under other tolerances than [control.tolerances] has now: "
                "accept a run again, or put them back"
            )
        said.append(f"{kind} {what}: expected since {expected.accepted_at:%Y-%m-%d}")
    if not said:
        return "none configured"
    return f"{'; '.join(said)}; {'' if control.required else 'not '}required"


def history_line(run: ControlRun, tolerances: ControlTolerances) -> str:
    """One run: the mark on the line is the blast fraction, ``:`` its tolerance, ``|`` expected."""
    bundle = "no bundle" if run.bundle is None else run.bundle.removeprefix("sha256:")[:8]
    head = f"{run.run:>4} {run.ended_at:%Y-%m-%d %H:%M} {run.kind:<6} {bundle} {run.verdict:<6}"
    found = run.found
    if found is None:
        return f"{head} {run.reasons[0]}"
    chart = " " * (2 * _HALF_CHART + 1)
    if found.blast_fraction is not None and run.expected is not None:
        expected = run.expected.blast_fraction
        if expected is not None:
            off = found.blast_fraction.estimate - expected.estimate
            chart = chart_of(off, tolerances.blast_fraction)
    why = "" if run.verdict == "passed" else f" {run.reasons[0]}"
    return f"{head} [{chart}] {_figures(found)}{why}"


def chart_of(off: float, tolerance: float) -> str:
    """A deviation as a mark on a line; beyond twice the tolerance it is an arrow at its end."""
    line = ["·"] * (2 * _HALF_CHART + 1)
    line[_HALF_CHART] = "|"
    line[_HALF_CHART // 2] = line[-1 - _HALF_CHART // 2] = ":"
    place = round(off / max(tolerance, 1e-9) * _HALF_CHART / 2)
    if abs(place) > _HALF_CHART:
        line[0 if place < 0 else -1] = "<" if place < 0 else ">"
    else:
        line[_HALF_CHART + place] = "o"
    return "".join(line)


@contextmanager
def _history(config: Config) -> Iterator[ControlHistory]:
    """The runs of this device, which the daemon keeps to itself while it runs."""
    try:
        outbox = Outbox(config.outbox.path, budget_bytes=config.outbox.budget_mb << 20)
    except OutboxError as error:
        if "in use" in str(error):
            raise ControlError(
                "the daemon is running: ask it (commands control-run and control-accept), or stop "
                "it first"
            ) from None
        raise
    with outbox:
        yield ControlHistory(outbox)


def _show(run: ControlRun, console: Console) -> None:
    for name, figures in (("expected", run.expected), ("found", run.found)):
        if figures is not None:
            console.print(f"{name:<11} {_figures(figures)}", highlight=False)
    console.print(f"{run.verdict:<11} {' '.join(run.reasons)}", highlight=False, markup=False)


def _figures(figures: ControlFigures) -> str:
    cells = figures.nucleated_cells
    parts = [f"{cells} nucleated cells in {figures.frames.analysed} frames"]
    if figures.blast_fraction is not None:
        parts.append(f"{100 * figures.blast_fraction.estimate:.1f} % blasts")
        parts.append(f"{100 * figures.uncertain / cells:.1f} % uncertain")
    measures = {"focus": figures.focus, "brightness": figures.exposure}
    measures |= {"stain shift": figures.stain_shift, "um/px": figures.um_per_px}
    parts += [f"{name} {value:.3g}" for name, value in measures.items() if value is not None]
    return ", ".join(parts)
