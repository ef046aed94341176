"""The controller: from where a rollout stands and what devices say to the next entry, and its deed.

Every step is written down, then done; what is done can be done twice. So a controller that was
killed anywhere is followed by one that reads the journal, says all orders again and goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from deploy.registry.store import Registry
from deploy.rollout import wishes
from deploy.rollout.entries import (
    Ended,
    Entry,
    LookedOn,
    Ordered,
    Passed,
    Paused,
    Purpose,
    Resumed,
    Standing,
    Stopped,
    Undoing,
)
from deploy.rollout.hearing import Hearing
from deploy.rollout.journal import Journal
from deploy.rollout.orders import Orders
from deploy.rollout.plan import PlannedWave
from deploy.rollout.watching import JUDGE_EVERY_S, Watching
from deploy.rollout.wire import SAFE_AFTER_S, Wire
from edge_daemon.contract.envelope import utc_now

UNHEARD_WITHIN_S = 10.0
"""So long after a connection devices of which the broker has said nothing yet are waited for."""


class Controller:
    """One rollout. ``step`` is called again and again, until ``over``; all of it in one thread."""

    def __init__(
        self,
        standing: Standing,
        journal: Journal,
        wire: Wire,
        hearing: Hearing,
        registry: Registry,
        on_entry: Callable[[Entry], object] = lambda _entry: None,
        safe_after_s: float = SAFE_AFTER_S,
    ) -> None:
        """Nothing is done yet.

        ``on_entry`` hears of everything that is written down; ``safe_after_s``: so long after it
        took an order a broker that is killed may forget it.
        """
        self.standing = standing
        self._journal, self._wire, self._hearing = journal, wire, hearing
        self._orders, self._registry = Orders(standing, hearing), registry
        self._on_entry = on_entry
        self._safe_after_s = safe_after_s
        self._asked_s = float("-inf")
        self._entered = False
        self._fleet_heard = False
        self.watching = Watching(standing, hearing)

    @property
    def folder(self) -> Path:
        """Of the journal, and of wishes."""
        return self._journal.file.parent

    @property
    def over(self) -> bool:
        """Nothing more happens by itself, and the broker has every order.

        Where a device does not follow its order yet, on its disk too: nobody says it again, and a
        broker that forgot it would give the one before to who comes back.
        """
        at_rest = self.standing.ended is not None or (
            self.standing.stopped is not None
            and self.standing.undoing is None
            and not self._undoes_by_itself
            and not self._not_taken()
        )
        if not (at_rest and self._entered and self._wire.idle):
            return False
        return self._wire.is_safe(self._safe_after_s) or not self.watching.unanswered()

    @property
    def _undoes_by_itself(self) -> bool:
        return self.standing.rollout.undo == "by_itself" and self.standing.plan.back is not None

    def begin(self) -> None:
        """Before the connection: say again what was ordered, where the broker does not keep it."""
        for name, given in self.standing.given.items():
            self._wire.say(self._orders.message(name, given.order, given.purpose))

    def step(self) -> None:
        """Hear and say for a moment, then what is next.

        Raises:
            JournalError: it cannot be written; nothing was done that is not written down.
            RolloutError: the broker does not take orders.
            RegistryError: the registry cannot be written.
        """
        if not self._wire.idle:  # before anything is said: what others ordered later stays
            for name in self.watching.foreign():
                self._wire.unsay(name)
        self._wire.step()
        if time.monotonic() - self._asked_s >= JUDGE_EVERY_S:
            self._asked_s = time.monotonic()
            self._grant_wishes()
        judged = self.watching.tick(connected=self._wire.connected)
        if not (judged and self._wire.heard_out and self._is_fleet_heard()):
            return
        standing = self.standing
        foreign = set(self.watching.foreign())
        if not self._entered and self._wire.idle:  # the one before may have been killed before it
            kept = [name for name in standing.given if name not in foreign]
            self._orders.enter(self._registry, kept, utc_now())
            self._entered = True
        if standing.ended is not None:
            return
        if standing.undoing is not None:
            self._undo()
            return
        self._write_down_answers()
        if standing.stopped is None and (stop := self.watching.stop()) is not None:
            self._write(stop)
        if standing.stopped is not None:
            self._stop(standing.stopped)
        elif standing.current is None:
            self._write(Ended(how="done", late=self.watching.late()))
        elif standing.paused is None:
            self._go_on(standing.current)

    def _is_fleet_heard(self) -> bool:
        """Of each of its devices the broker has said what it keeps, or has had the time to.

        A broker that is busy may be silent in the midst of it: who was not heard yet must not be
        taken for one that does not have what it was ordered.
        """
        if not self._fleet_heard:
            seen, devices = self._hearing.seen, self.standing.plan.devices
            self._fleet_heard = all(seen[name].reported.state is not None for name in devices)
        return self._fleet_heard or self._wire.has_heard(UNHEARD_WITHIN_S)

    def _go_on(self, wave: PlannedWave) -> None:
        standing = self.standing
        looks_on = wave.look_on and not standing.looked_on
        if looks_on:
            missing = [n for n in wave.devices if self._purpose(n) not in ("candidate", "active")]
            purpose: Purpose = "candidate"
        else:
            waves = standing.plan.waves[: standing.wave + 1]
            missing = [n for one in waves for n in one.devices if self._purpose(n) != "active"]
            purpose = "active"
        missing = [name for name in missing if not self.watching.is_foreign(name)]
        if missing:
            self._order(missing, purpose)
            return
        soak_s = 0.0 if looks_on else wave.soak_s
        good = self.watching.good(wave.devices, soak_s)
        if len(good) >= math.ceil(standing.rollout.enough * len(wave.devices) - 1e-9):
            if self._others_are_awaited(wave, soak_s):
                return
            if looks_on:
                self._write(LookedOn(wave=standing.wave))
                return
            late = tuple(name for name in wave.devices if name not in set(good))
            self._write(Passed(wave=standing.wave, good=len(good), late=late))
        elif self.watching.waited_s(wave.devices) > standing.rollout.patience_s:
            self._write(
                Paused(
                    why=f"{len(good)} of {len(wave.devices)} devices of wave {standing.wave + 1} "
                    f"are well after {standing.rollout.patience_s:.0f} s: look at the others, "
                    "then resume or undo"
                )
            )

    def _others_are_awaited(self, wave: PlannedWave, soak_s: float) -> bool:
        """Enough are well; whoever else is there gets the time to say how it fares."""
        within_s = self.standing.rollout.gates.ready_within_s + soak_s
        return self.watching.waited_s(wave.devices) < within_s and any(
            self.watching.is_awaited(name, soak_s) for name in wave.devices
        )

    def _stop(self, stopped: Stopped) -> None:
        if self._undoes_by_itself:
            self._write(Undoing(why=f"{stopped.device}: {stopped.why}"))
            self._undo()
        elif not_taken := self._not_taken():  # who is away must not take it when he is back
            self._order(not_taken, "withdraw")

    def _not_taken(self) -> list[str]:
        return [
            name
            for name, given in self.standing.given.items()
            if given.purpose in ("candidate", "active")
            and not self.watching.has_it(name)
            and not self.watching.is_foreign(name)
        ]

    def _undo(self) -> None:
        """Whoever has what is new, or may yet take it, is ordered the old content."""
        back: list[str] = []
        withdrawn: list[str] = []
        for name, given in self.standing.given.items():
            has_it = self.watching.has_it(name)
            is_over = given.purpose == "back" or (given.purpose == "withdraw" and not has_it)
            if is_over or self.watching.is_foreign(name):
                continue
            stays = given.purpose == "candidate" or (given.failed is not None and not has_it)
            (withdrawn if stays else back).append(name)
        if back:
            self._order(back, "back")
        if withdrawn:
            self._order(withdrawn, "withdraw")
        if not back and not withdrawn and self._wire.idle:
            self._write_down_answers()
            pending = self.watching.not_back()
            present = [name for name in pending if not self.watching.is_away(name)]
            if not present or self.watching.waited_s(present) > self.standing.rollout.patience_s:
                self._write(Ended(how="undone", late=tuple(pending)))

    def _write_down_answers(self) -> None:
        for answered in self.watching.news():
            self._write(answered)

    def _order(self, names: Iterable[str], purpose: Purpose) -> None:
        orders = self._orders.made(names, utc_now())
        self._write(Ordered(wave=self.standing.wave, purpose=purpose, orders=orders))
        for name, order in orders.items():
            self._wire.say(self._orders.message(name, order, purpose))
        self._orders.enter(self._registry, orders, utc_now())

    def _purpose(self, name: str) -> Purpose | None:
        given = self.standing.given.get(name)
        return None if given is None else given.purpose

    def _grant_wishes(self) -> None:
        for file, wish in wishes.waiting(self.folder):
            grant(self.standing, wish, self._write)
            file.unlink(missing_ok=True)

    def _write(self, entry: Entry) -> None:
        self._journal.append(entry.model_dump(mode="json"), utc_now())
        self.standing.apply(entry)
        if isinstance(entry, Resumed | Undoing):
            self.watching.be_patient()
        self._on_entry(entry)


def grant(standing: Standing, wish: wishes.Wish, write: Callable[[Entry], None]) -> None:
    """What a person wishes, where it makes a difference."""
    over = standing.ended is not None
    if wish.what == "pause" and not over and standing.undoing is None and standing.paused is None:
        write(Paused(why=f"{wish.by} paused it"))
    held = standing.paused is not None or standing.stopped is not None
    if wish.what == "resume" and not over and standing.undoing is None and held:
        write(Resumed(by=wish.by))
    if wish.what == "undo" and standing.undoing is None and standing.plan.back is not None:
        write(Undoing(why=f"{wish.by} asked for it"))
