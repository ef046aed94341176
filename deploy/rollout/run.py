"""A rollout from the command line: planned, shown, begun, gone on with, paused, undone."""

from __future__ import annotations

import json as text
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from deploy.registry.store import Registry
from deploy.rollout import wishes
from deploy.rollout.controller import Controller, grant
from deploy.rollout.entries import Entry, Planned, Standing, as_standing
from deploy.rollout.errors import RolloutError
from deploy.rollout.hearing import Hearing
from deploy.rollout.journal import JOURNAL, Chain, Journal, read_chain
from deploy.rollout.listing import as_plan, entry_line, live_table, plan_lines
from deploy.rollout.plan import Known, Plan, make_plan
from deploy.rollout.settings import Rollout
from deploy.rollout.targets import Kind, targets_of
from deploy.rollout.wire import LISTEN_FIRST_S, SAFE_AFTER_S, Wire
from deploy.trust.inspect import offered, root_to_pin
from edge_daemon.contract.envelope import utc_now
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.locks import FileLock
from edge_daemon.signals import stop_on_signals

HEAR_S = 5.0
"""So long the fleet is listened to before a plan is made: the broker keeps what each said last."""
_SHOW_EVERY_S = 0.5


@dataclass(frozen=True)
class Desk:
    """Where a rollout is run from."""

    folder: Path
    """Of its journal."""
    registry: Registry
    broker: BrokerSettings
    console: Console
    json: bool = False
    hear_s: float = HEAR_S
    listen_first_s: float = LISTEN_FIRST_S
    safe_after_s: float = SAFE_AFTER_S


def planned(desk: Desk, rollout: Rollout) -> Plan:
    """Listen to the fleet, read the repository, and say what would happen; nothing is done.

    Raises:
        LeukoError: the file, the repository, the registry or the broker.
    """
    now = utc_now()
    root = root_to_pin(rollout.repository, rollout.root)
    kind: Kind = "bundle" if rollout.daemon is None else "daemon"
    targets = targets_of(offered(rollout.repository, root, utc_now), kind)
    fleet = {device.name: device for device in desk.registry.devices()}
    hearing = Hearing({name: device.reported for name, device in fleet.items()})
    strangers = {one.name for one in desk.registry.aside() if one.why == "unknown device"}
    wire = Wire(desk.broker, hearing.take)
    wire.connect()
    try:
        while not (wire.connected and wire.has_heard(desk.hear_s)):
            wire.step()
    finally:
        wire.close()
    known = Known(
        fleet,
        hearing.seen,
        (strangers | hearing.strangers) - set(fleet),
        desk.registry.listened,
        now,
    )
    return make_plan(rollout, targets, known)


def show_plan(desk: Desk, rollout: Rollout, plan: Plan) -> None:
    """Print it."""
    if desk.json:
        print(text.dumps(as_plan(rollout, plan)), flush=True)
        return
    for line in plan_lines(rollout, plan):
        desk.console.print(line, markup=False, highlight=False, soft_wrap=True)


def begin(desk: Desk, rollout: Rollout, agreed: Callable[[], bool]) -> Standing | None:
    """Plan, show, ask, and run; or go on, where the journal is that of this file.

    Returns:
        How it ended, None where nothing was to be done or nobody agreed.

    Raises:
        LeukoError: as :func:`planned`, or another rollout has its journal there.
    """
    with _alone(desk.folder):
        standing = as_standing(line.entry for line in read_chain(desk.folder / JOURNAL).lines)
        if standing is None:
            plan = planned(desk, rollout)
            show_plan(desk, rollout, plan)
            if not plan.waves or not agreed():
                return None
            first = Planned(rollout=rollout, plan=plan, by=wishes.somebody())
            journal = Journal(desk.folder / JOURNAL)
            journal.append(first.model_dump(mode="json"), utc_now())
            journal.close()
            _tell(desk, first)
        elif standing.rollout != rollout:
            raise RolloutError(
                f"{desk.folder} holds the journal of rollout {standing.rollout.name}, and the file "
                "says something else: give a new rollout a name and a folder of its own"
            )
        return _run(desk)


def go_on(desk: Desk, wish: wishes.What) -> Standing | None:
    """Go on with what is in the journal, or undo it; by the controller that runs, if one does.

    Returns:
        How it ended; None where the running controller was asked.
    """
    if not read_chain(desk.folder / JOURNAL).lines:
        raise RolloutError(f"there is no rollout in {desk.folder}: name its folder with --folder")
    try:
        with _alone(desk.folder):
            return _run(desk, wish)
    except _BusyError:
        wishes.leave(desk.folder, wish)
        return None


def pause(folder: Path) -> None:
    """Have nothing more ordered, whether a controller runs or not.

    Raises:
        RolloutError: there is no rollout.
    """
    if not read_chain(folder / JOURNAL).lines:
        raise RolloutError(f"there is no rollout in {folder}: name its folder with --folder")
    try:
        with _alone(folder):
            journal = Journal(folder / JOURNAL)
            standing = _standing(journal)
            _grant(standing, wishes.Wish("pause", wishes.somebody()), journal)
            journal.close()
    except _BusyError:
        wishes.leave(folder, "pause")


def look(folder: Path) -> tuple[Standing, Chain]:
    """Where a rollout stands, from its journal, which is verified.

    Raises:
        RolloutError: there is none, or it does not hold.
    """
    chain = read_chain(folder / JOURNAL)
    standing = as_standing(line.entry for line in chain.lines)
    if standing is None:
        raise RolloutError(f"there is no rollout in {folder}: name its folder with --folder")
    return standing, chain


def _run(desk: Desk, wish: wishes.What | None = None) -> Standing:
    with ExitStack() as stack:
        journal = Journal(desk.folder / JOURNAL)
        stack.callback(journal.close)
        if journal.remark is not None:
            desk.console.print(journal.remark, markup=False, soft_wrap=True)
        standing = _standing(journal)
        if wish is not None:
            _grant(standing, wishes.Wish(wish, wishes.somebody()), journal)
        known = {device.name: device.reported for device in desk.registry.devices()}
        gone = [name for name in standing.plan.devices if name not in known]
        if gone:
            raise RolloutError(
                f"{gone[0]} and {len(gone) - 1} more are not in the registry any more"
                if len(gone) > 1
                else f"{gone[0]} is not in the registry any more"
            )
        hearing = Hearing(known)
        wire = Wire(desk.broker, hearing.take, desk.listen_first_s)
        stack.callback(wire.close)
        controller = Controller(
            standing,
            journal,
            wire,
            hearing,
            desk.registry,
            lambda entry: _tell(desk, entry),
            desk.safe_after_s,
        )
        controller.begin()
        wire.connect()
        stopping = stack.enter_context(stop_on_signals())
        live = not desk.json and desk.console.is_terminal
        shown = Live(console=desk.console, auto_refresh=False) if live else nullcontext()
        with shown as table:
            shown_s = float("-inf")
            while not controller.over and not stopping.is_set():
                controller.step()
                if table is not None and time.monotonic() - shown_s > _SHOW_EVERY_S:
                    shown_s = time.monotonic()
                    table.update(live_table(controller), refresh=True)
        return standing


def _standing(journal: Journal) -> Standing:
    standing = as_standing(line.entry for line in journal.lines)
    if standing is None:
        raise RolloutError(f"there is no rollout in {journal.file.parent}")
    return standing


def _grant(standing: Standing, wish: wishes.Wish, journal: Journal) -> None:
    def write(entry: Entry) -> None:
        journal.append(entry.model_dump(mode="json"), utc_now())
        standing.apply(entry)

    grant(standing, wish, write)


def _tell(desk: Desk, entry: Entry) -> None:
    now = utc_now()
    if desk.json:
        record: dict[str, Any] = {"at": now.isoformat(), "line": entry_line(entry)}
        if not isinstance(entry, Planned):
            record["entry"] = entry.model_dump(mode="json")
        print(text.dumps(record), flush=True)
        return
    line = f"{now:%H:%M:%S} {entry_line(entry)}"
    desk.console.print(line, markup=False, highlight=False, soft_wrap=True)


class _BusyError(RolloutError):
    """Another process runs this rollout."""


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
    except BlockingIOError:
        raise _BusyError(f"another process runs the rollout in {folder}; let it be") from None
    except OSError as error:
        raise RolloutError(f"cannot use {folder}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
