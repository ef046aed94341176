"""Every device that was ordered something, held to the gates; since when it is well, or away.

Time counts only while there is a connection: a device is not well because nobody listened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from deploy.rollout.entries import Answered, Given, Purpose, Standing, Stopped
from deploy.rollout.gates import After, Verdict, judged
from deploy.rollout.hearing import Hearing
from deploy.rollout.record import Seen
from deploy.rollout.settings import GateName

JUDGE_EVERY_S = 0.2
_REST = 4.0
"""So many times as long as judging all of a large fleet takes, nobody is judged."""


class Watching:
    """In memory only: who comes after a kill watches anew, and each soak begins again."""

    def __init__(
        self, standing: Standing, hearing: Hearing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock``: seconds, monotonic."""
        self._standing, self._hearing, self._clock = standing, hearing, clock
        self.verdicts: dict[str, tuple[GateName, Verdict]] = {}
        """The worst that any gate says of a device now."""
        self._last_s = clock()
        self._judged_s = float("-inf")
        self._heard_s = self._patient_from_s = 0.0
        self._judged_of: dict[str, Seen] = {}
        self._order_of: dict[str, str] = {}
        self._ordered_s: dict[str, float] = {}
        self._well_s: dict[str, float] = {}
        self._away_s: dict[str, float] = {}
        self._had_it: set[str] = set()

    def tick(self, *, connected: bool) -> bool:
        """Judge all again, if it is time; whether it was."""
        now_s = self._clock()
        if connected:
            self._heard_s += now_s - self._last_s
        self._last_s = now_s
        if not connected or now_s - self._judged_s < JUDGE_EVERY_S:
            return False
        for name, given in self._standing.given.items():
            if not self._is_as_before(name, given):
                self._judge(name, given)
        took_s = self._clock() - now_s
        self._judged_s = now_s + _REST * took_s  # hearing comes first
        return True

    def _is_as_before(self, name: str, given: Given) -> bool:
        """It was well, and has said nothing since: only who is not well may be late by now."""
        return (
            name in self._well_s
            and self._order_of.get(name) == given.order.id
            and self._judged_of.get(name) is self._hearing.seen[name]
            and not self.is_foreign(name)
        )

    def _judge(self, name: str, given: Given) -> None:
        if self._order_of.get(name) != given.order.id:
            self._order_of[name] = given.order.id
            self._ordered_s[name] = self._heard_s
            self._had_it.discard(name)
            self._well_s.pop(name, None)
            self._away_s.pop(name, None)
            self.verdicts.pop(name, None)
        if given.purpose not in ("candidate", "active"):
            return
        if self.is_foreign(name):
            line = "another order is on the broker for it, which is not of this rollout"
            self.verdicts[name] = ("ready", Verdict("wait", line))
            self._well_s.pop(name, None)
            return
        plan, seen = self._standing.plan, self._hearing.seen[name]
        self._judged_of[name] = seen
        if seen.reported.state == "online":
            self._away_s.pop(name, None)
        away_s = self._heard_s - self._away_s.setdefault(name, self._heard_s)
        after = After(
            seen,
            given.order.id,
            plan.target,
            "candidate" if given.purpose == "candidate" else "active",
            since_order_s=self._heard_s - self._ordered_s[name],
            away_s=away_s,
            had_it=name in self._had_it,
        )
        if after.keeps_it:
            self._had_it.add(name)
        verdict = judged(given.order.before, after, self._standing.rollout.gates)
        self.verdicts[name] = verdict
        if verdict[1].says == "ok":
            self._well_s.setdefault(name, self._heard_s)
        else:
            self._well_s.pop(name, None)

    def stop(self) -> Stopped | None:
        """The first device that a gate stops the rollout for."""
        for name, (gate, verdict) in self.verdicts.items():
            given = self._standing.given[name]
            judged_now = self._order_of.get(name) == given.order.id
            if verdict.says == "stop" and judged_now and name not in self._standing.waived:
                return Stopped(device=name, gate=gate, why=verdict.why)
        return None

    def good(self, names: Iterable[str], soak_s: float) -> list[str]:
        """Those that have been well for so long, or that a person went on in spite of."""
        return [
            name
            for name in names
            if name in self._standing.waived
            or (name in self._well_s and self._heard_s - self._well_s[name] >= soak_s)
        ]

    def is_awaited(self, name: str, soak_s: float) -> bool:
        """It is there, and may yet turn out well, or not."""
        well = bool(self.good((name,), soak_s))
        return not (well or self.is_foreign(name) or (self.is_away(name) and not self.has_it(name)))

    def soaked_s(self, name: str) -> float | None:
        """For how long it has been well; None where it is not."""
        return self._heard_s - self._well_s[name] if name in self._well_s else None

    def waited_s(self, names: Iterable[str]) -> float:
        """For how long somebody listened since the last of them was ordered, or it was resumed."""
        ordered_s = max(self._ordered_s.get(name, self._heard_s) for name in names)
        return self._heard_s - max(ordered_s, self._patient_from_s)

    def be_patient(self) -> None:
        """A person looked, and goes on: they are waited for anew."""
        self._patient_from_s = self._heard_s

    def news(self) -> Iterator[Answered]:
        """Devices that are well or failed, and of which that is not written down."""
        good: dict[Purpose, list[str]] = {}
        failed: dict[Purpose, dict[str, str]] = {}
        for name, given in self._standing.given.items():
            if given.good or given.failed is not None or self._order_of.get(name) is None:
                continue
            target = self._standing.plan.target
            answer = After(self._hearing.seen[name], given.order.id, target).answer
            if answer is not None and answer.step == "failed":
                why = self.verdicts.get(name, ("trial", Verdict("stop", "it failed its trial")))
                failed.setdefault(given.purpose, {})[name] = why[1].why
            elif name in self._well_s or self._is_back(name, given):
                good.setdefault(given.purpose, []).append(name)
        for purpose in sorted({*good, *failed}):
            yield Answered(
                purpose=purpose,
                good=tuple(good.get(purpose, ())),
                failed=failed.get(purpose, {}),
            )

    def has_it(self, name: str) -> bool:
        """It reports what is new, perhaps on trial."""
        return self._standing.plan.target.is_used(self._hearing.seen[name].reported)

    def is_away(self, name: str) -> bool:
        """It is not there now."""
        return self._hearing.seen[name].reported.state in (None, "offline")

    def is_foreign(self, name: str) -> bool:
        """Somebody else gave it a later order: that one counts."""
        found, given = self._hearing.orders.get(name), self._standing.given.get(name)
        if found is None or given is None:
            return False
        return found.id not in self._standing.ids and found.ts > given.order.ts

    def foreign(self) -> list[str]:
        """All of these."""
        return [name for name in self._standing.given if self.is_foreign(name)]

    def late(self) -> tuple[str, ...]:
        """Devices that were ordered it and do not have it; their orders wait for them."""
        return tuple(
            name
            for name, given in self._standing.given.items()
            if given.purpose == "active" and not self.has_it(name)
        )

    def not_back(self) -> list[str]:
        """Devices that were ordered to go back, or to look on no longer, and have not.

        Not those that said that they will not.
        """
        return [
            name
            for name, given in self._standing.given.items()
            if (given.purpose == "back" or given.may_look_on)
            and given.failed is None
            and not self._is_back(name, given)
            and not self.is_foreign(name)
        ]

    def unanswered(self) -> list[str]:
        """Devices that have not said that they follow their last order: it waits for them."""
        seen, target = self._hearing.seen, self._standing.plan.target
        return [
            name
            for name, given in self._standing.given.items()
            if After(seen[name], given.order.id, target).answer is None
            and not self.is_foreign(name)
        ]

    def _is_back(self, name: str, given: Given) -> bool:
        plan, seen = self._standing.plan, self._hearing.seen[name]
        if given.may_look_on:
            return given.good or After(seen, given.order.id, plan.target).looks_on_no_longer
        if given.purpose != "back" or plan.back is None:
            return False
        return After(seen, given.order.id, plan.back).keeps_it
