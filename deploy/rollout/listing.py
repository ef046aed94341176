"""A plan and a rollout as a person or a program reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from deploy.rollout.controller import Controller
from deploy.rollout.entries import (
    Answered,
    Ended,
    Entry,
    LookedOn,
    Ordered,
    Passed,
    Paused,
    Planned,
    Purpose,
    Resumed,
    Standing,
    Stopped,
    Undoing,
)
from deploy.rollout.plan import Plan
from deploy.rollout.settings import Rollout

MOST_ROWS = 40
_SHALL: dict[Purpose, str] = {
    "candidate": "look on",
    "active": "use it",
    "back": "go back",
    "withdraw": "keep what it has",
}


def plan_lines(rollout: Rollout, plan: Plan) -> Iterator[str]:
    """What would happen, in sentences."""
    count = len(plan.devices)
    yield f"rollout {rollout.name}: {plan.target.label} on {devices(count)}"
    for number, wave in enumerate(plan.waves, start=1):
        first = ", first as a candidate that looks on" if wave.look_on else ""
        soak = f"; each well for {span(wave.soak_s)} before the next"
        yield f"wave {number} of {len(plan.waves)}, {wave.title}{first}{soak}"
        for name in wave.devices:
            yield f"  {name}: {plan.runs[name]} -> {plan.target.label}"
    for name, why in sorted(plan.left_out.items()):
        yield f"left out: {name}: {why}"
    if not plan.waves:
        yield "nothing would change"
        return
    yield f"a wave is over when {rollout.enough:.0%} of it are well"
    if plan.back is None:
        yield "no way back: devices that have it keep it, whatever the gates say"
    elif rollout.undo == "by_itself":
        yield f"on a stop, every device that has it or may take it goes back to {plan.back.label}"
    else:
        yield f"on a stop, a person decides; `rollout undo` goes back to {plan.back.label}"
    if plan.back is not None and plan.back.kind == "daemon":
        yield f"that {plan.back.label} was built from the old source cannot be checked here"


def as_plan(rollout: Rollout, plan: Plan) -> dict[str, Any]:
    """The plan for a program."""
    return {
        "schema": "leukoedge.rollout-plan/1",
        "rollout": rollout.name,
        **plan.model_dump(mode="json"),
    }


def status_lines(standing: Standing, head: str) -> Iterator[str]:
    """Where a rollout stands, from its journal alone."""
    plan, waves = standing.plan, len(standing.plan.waves)
    where = f", wave {standing.wave + 1} of {waves}" if standing.current is not None else ""
    yield f"rollout {standing.rollout.name}: {plan.target.label}, {standing.word}{where}"
    if standing.stopped is not None:
        one = standing.stopped
        yield f"stopped by {one.device}, gate {one.gate}: {one.why}"
    if standing.undoing is not None:
        yield f"undone because {standing.undoing}"
    if standing.paused is not None:
        yield f"paused: {standing.paused}"
    for number, wave in enumerate(plan.waves):
        counts = Counter(device_word(standing, name) for name in wave.devices)
        told = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        yield f"wave {number + 1}, {wave.title}: {told}"
    for name, given in standing.given.items():
        if given.failed is not None:
            yield f"failed: {name}: {given.failed}"
    if standing.ended is not None and standing.ended.late:
        names = ", ".join(standing.ended.late)
        yield f"not answered, and their order waits for them: {names}"
    yield f"last entry {head}"


def as_status(standing: Standing, head: str) -> dict[str, Any]:
    """The same for a program."""
    plan = standing.plan
    return {
        "schema": "leukoedge.rollout/1",
        "rollout": standing.rollout.name,
        "target": plan.target.label,
        "back": None if plan.back is None else plan.back.label,
        "state": standing.word,
        "wave": standing.wave + 1 if standing.current is not None else None,
        "stopped": None if standing.stopped is None else standing.stopped.model_dump(),
        "paused": standing.paused,
        "undoing": standing.undoing,
        "waves": [
            {
                "title": wave.title,
                "devices": {name: device_word(standing, name) for name in wave.devices},
            }
            for wave in plan.waves
        ],
        "failed": {
            name: given.failed for name, given in standing.given.items() if given.failed is not None
        },
        "late": [] if standing.ended is None else list(standing.ended.late),
        "left_out": plan.left_out,
        "head": head,
    }


def device_word(standing: Standing, name: str) -> str:
    """How one device stands, from the journal alone."""
    given = standing.given.get(name)
    if given is None:
        return "not ordered yet"
    if given.failed is not None:
        return "failed"
    done = {
        "candidate": "looked on",
        "active": "well",
        "back": "back",
        "withdraw": "kept what it had",
    }
    if given.good or not given.is_answer_awaited:
        return done[given.purpose]
    return f"ordered to {_SHALL[given.purpose]}"


def entry_line(entry: Entry) -> str:
    """One step, in a sentence."""
    match entry:
        case Planned():
            return f"{entry.by} began it: {devices(len(entry.plan.devices))}"
        case Ordered():
            shall = _SHALL[entry.purpose]
            return f"wave {entry.wave + 1}: {devices(len(entry.orders))} ordered to {shall}"
        case Answered():
            failed = "".join(f"; {name}: {why}" for name, why in entry.failed.items())
            return f"{devices(len(entry.good))} {_DID[entry.purpose]}{failed}"
        case LookedOn():
            return f"wave {entry.wave + 1}: it judged closely enough, and may be used"
        case Passed():
            late = f", {len(entry.late)} late" if entry.late else ""
            return f"wave {entry.wave + 1} is over: {entry.good} well{late}"
        case Stopped():
            return f"stopped by {entry.device}, gate {entry.gate}: {entry.why}"
        case Undoing():
            return f"going back: {entry.why}"
        case Paused():
            return f"paused: {entry.why}"
        case Resumed():
            return f"{entry.by} goes on"
        case Ended():
            late = f"; {devices(len(entry.late))} late" if entry.late else ""
            return f"{entry.how}{late}"


_DID: dict[Purpose, str] = {
    "candidate": "looked on",
    "active": "took it and are well",
    "back": "went back",
    "withdraw": "kept what they had",
}


def live_table(controller: Controller) -> Table:
    """All of it, as it is now: waves, and the devices that need a look first."""
    standing, watching = controller.standing, controller.watching
    table = Table(title=f"{standing.rollout.name}: {standing.plan.target.label}, {standing.word}")
    for column in ("wave", "device", "ordered to", "gate", "says"):
        table.add_column(column, overflow="fold")
    rows = []
    for number, wave in enumerate(standing.plan.waves, start=1):
        counts = Counter(device_word(standing, name) for name in wave.devices)
        told = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        table.add_row(f"{number}", f"[bold]{wave.title}[/]", "", "", told)
        for name in wave.devices:
            given = standing.given.get(name)
            gate, verdict = watching.verdicts.get(name, ("", None))
            if given is None or verdict is None:
                continue
            soaked_s = watching.soaked_s(name)
            says = verdict.why if soaked_s is None else f"well for {span(soaked_s)}"
            rank = {"stop": 0, "wait": 1, "ok": 2}[verdict.says]
            rows.append((rank, number, name, _SHALL[given.purpose], str(gate), says))
    rows.sort()
    for _rank, number, name, shall, gate, says in rows[:MOST_ROWS]:
        table.add_row(f"{number}", name, shall, gate, _unmarked(says))
    if len(rows) > MOST_ROWS:
        table.add_row("", f"and {len(rows) - MOST_ROWS} more", "", "", "")
    return table


def devices(count: int) -> str:
    """So many."""
    return f"{count} device" + ("" if count == 1 else "s")


def span(seconds: float) -> str:
    """A time, for people."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return (
                f"{seconds / size:g} {unit}"
                if seconds % size == 0
                else (f"{seconds / size:.1f} {unit}")
            )
    return f"{seconds:.0f} s"


def _unmarked(text: str) -> str:
    return text.replace("[", "\\[")
