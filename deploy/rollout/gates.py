"""The gates: from what a device was and what it is to ok, wait or stop, with a reason. Pure.

``wait`` is no good news: a wave goes on only with devices of which every gate says ok.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from deploy.rollout.record import Before, Seen
from deploy.rollout.settings import GateName, Gates
from deploy.rollout.targets import Target
from edge_daemon.contract.update import BundleRoleOrdered, ReleaseStanding, UpdateStanding

Says: TypeAlias = Literal["ok", "wait", "stop"]


@dataclass(frozen=True)
class Verdict:
    """What a gate says."""

    says: Says
    why: str


@dataclass(frozen=True)
class After:
    """A device that was ordered something, as it is now."""

    seen: Seen
    order: str
    """Id of its order."""
    target: Target
    """What it shall have."""
    role: BundleRoleOrdered = "active"
    since_order_s: float = 0.0
    """For how long somebody listened since it was ordered."""
    away_s: float = 0.0
    """For how long it has not been online."""
    had_it: bool = False
    """It was seen to keep it before."""

    @property
    def label(self) -> str:
        """Of what it shall have."""
        return self.target.label

    @property
    def has_it(self) -> bool:
        """It reports it as what is in use."""
        return self.target.is_used(self.seen.reported)

    @property
    def keeps_it(self) -> bool:
        """And it is on trial no longer: of a bundle a device reports only what was proven."""
        answer = self.answer
        is_kept = answer is not None and answer.step == "committed"
        return self.has_it and (self.target.kind == "bundle" or is_kept)

    @property
    def answer(self) -> UpdateStanding | ReleaseStanding | None:
        """What its updater says of this order; None where it speaks of another one."""
        standing = self.seen.update
        said = standing if self.target.kind == "bundle" else standing and standing.daemon
        return said if said is not None and said.order == self.order else None

    @property
    def looks_on_no_longer(self) -> bool:
        """Its updater has looked at this order, which names no bundle, and waits for nothing.

        That it follows the order it says before it has had the candidate put aside.
        """
        said = self.answer
        has_looked = isinstance(said, UpdateStanding) and said.looked_at is not None
        return has_looked and said is not None and said.waits_for is None


Gate: TypeAlias = Callable[[Before, After, Gates], Verdict]


def ready(before: Before, after: After, limits: Gates) -> Verdict:
    """It is online with what was ordered."""
    answer, state = after.answer, after.seen.reported.state
    if after.role == "candidate":
        if answer is not None and answer.step in ("candidate", "active"):
            return Verdict("ok", f"{after.label} looks on")
        return Verdict("wait", f"{after.label} does not look on yet")
    if not after.has_it:
        if after.had_it:
            other = f"another {after.target.kind}"
            return Verdict("stop", f"it had {after.label} and uses {other} again")
        late = after.since_order_s > limits.ready_within_s
        long = f" in {after.since_order_s:.0f} s" if late else " yet"
        return Verdict("wait", f"it has not taken {after.label}{long}")
    if not after.keeps_it:
        return Verdict("wait", f"it has {after.label}, which is on trial")
    if state == "online" or (state == "degraded" and before.state == "degraded"):
        return Verdict("ok", f"{state} with {after.label}")
    if after.away_s > limits.ready_within_s:
        return Verdict("stop", f"{state} for {after.away_s:.0f} s since it has {after.label}")
    return Verdict("wait", f"{state} since it has {after.label}")


def trial(_before: Before, after: After, _limits: Gates) -> Verdict:
    """It did not fail its trial: a bundle's golden set, a daemon's answers."""
    answer = after.answer
    if answer is None:
        return Verdict("ok", "not tried yet")
    if answer.step == "failed":
        return Verdict("stop", _plain(answer.refused or f"{after.label} failed its trial"))
    if answer.refused is not None:
        return Verdict("wait", _plain(answer.refused))
    return Verdict("ok", "nothing was refused")


def shadow(_before: Before, after: After, limits: Gates) -> Verdict:
    """As a candidate it judges as the bundle in use does, on enough cells."""
    if after.role != "candidate":
        return Verdict("ok", "it does not look on")
    slides = [one for one in after.seen.looked.values() if one.candidate == after.target.digest]
    cells = sum(one.cells for one in slides)
    differ = sum(one.disagreements for one in slides)
    if any(one.fault is not None for one in slides):
        return Verdict("stop", f"{after.label} was put aside while it looked on")
    if cells < limits.min_cells:
        return Verdict("wait", f"it judged {cells} of {limits.min_cells} cells as a candidate")
    share = differ / cells
    line = f"{differ} of {cells} cells judged otherwise ({share:.1%})"
    if share > limits.most_disagreement:
        return Verdict("stop", f"{line}, allowed are {limits.most_disagreement:.1%}")
    return Verdict("ok", line)


def errors(_before: Before, after: After, limits: Gates) -> Verdict:
    """Few frames fail or are dropped."""
    seen = after.seen
    if (short := _too_few_frames(after, limits)) is not None:
        return short
    share = seen.errors / seen.frames if seen.frames else 0.0
    line = f"{seen.errors} of {seen.frames} frames failed or were dropped ({share:.1%})"
    if share > limits.most_errors:
        return Verdict("stop", f"{line}, allowed are {limits.most_errors:.1%}")
    return Verdict("ok", line)


def throughput(before: Before, after: After, limits: Gates) -> Verdict:
    """It is about as fast as before."""
    if (short := _too_few_frames(after, limits)) is not None:
        return short
    if before.fps is None or after.seen.best_fps is None:
        return Verdict("ok", "there is no speed from before and after to compare")
    share = after.seen.best_fps / before.fps
    line = f"{after.seen.best_fps:.1f} frames/s, {before.fps:.1f} before"
    if share < limits.least_throughput:
        return Verdict("stop", f"{line}: less than {limits.least_throughput:.0%}")
    return Verdict("ok", line)


def temperature(before: Before, after: After, limits: Gates) -> Verdict:
    """It does not run hot that did not before."""
    now = after.seen.reported.hottest_c
    if not after.has_it or now is None:
        return Verdict("ok", "no temperature is known")
    line = f"{now:.0f} degrees"
    was_hot = before.hottest_c is not None and before.hottest_c > limits.hottest_c
    if now > limits.hottest_c and not was_hot:
        return Verdict("stop", f"{line}, allowed are {limits.hottest_c:.0f}")
    return Verdict("ok", line)


def control(before: Before, after: After, limits: Gates) -> Verdict:
    """A control that was run since did not fail."""
    is_ = after.seen.reported
    if not after.has_it:
        return Verdict("ok", "no control was due yet")
    if is_.control_run > before.control_run and is_.control is not None:
        says: Says = "ok" if is_.control == "passed" else "stop"
        return Verdict(says, f"its control {is_.control}")
    if limits.control == "required":
        return Verdict("wait", "no control was run since")
    return Verdict("ok", "no control was run since")


GATES: dict[GateName, Gate] = {
    "ready": ready,
    "trial": trial,
    "shadow": shadow,
    "errors": errors,
    "throughput": throughput,
    "temperature": temperature,
    "control": control,
}


def judged(before: Before, after: After, limits: Gates) -> tuple[GateName, Verdict]:
    """The worst that any gate says of a device; the first of equals."""
    every = list(_asked(before, after, limits))
    for says in ("stop", "wait"):
        for name, verdict in every:
            if verdict.says == says:
                return name, verdict
    return every[0] if every else ("ready", Verdict("ok", "no gate is asked"))


def _asked(before: Before, after: After, limits: Gates) -> Iterator[tuple[GateName, Verdict]]:
    for name, gate in GATES.items():
        if name not in limits.off:
            yield name, gate(before, after, limits)


def _too_few_frames(after: After, limits: Gates) -> Verdict | None:
    if after.role == "candidate" or not after.has_it:
        return Verdict("ok", "it does not use it yet")
    if after.seen.frames < limits.min_frames:
        line = f"{after.seen.frames} of {limits.min_frames} frames screened with {after.label}"
        return Verdict("wait", line)
    return None


def _plain(line: str) -> str:
    """Nothing in it moves a terminal's cursor."""
    return "".join(one for one in line if one.isprintable())[:300]
