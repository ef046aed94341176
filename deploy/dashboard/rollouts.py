"""Rollouts as their journals tell them: read, never written, and shown with what does not hold.

A folder of a rollout holds ``journal.jsonl``: an entry a line, ``{"n", "at", "before", "entry",
"sum"}``, where ``sum`` is the SHA-256 of the line up to it and ``before`` that of the line before.
This is the one module of the dashboard that knows the format; entries of a kind that it does not
know are passed over.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

JOURNAL = "journal.jsonl"
_LINE = re.compile(rb'(\{.*),"sum":"([0-9a-f]{64})"\}', re.DOTALL)
_MOST_BYTES = 64 * 1024 * 1024
_MOST_SHOWN = 50


@dataclass(frozen=True)
class Wave:
    """Devices that are ordered together."""

    title: str
    devices: tuple[tuple[str, str], ...]
    """Name, and how it stands in a word."""
    state: str
    """``over``, ``under way`` or ``to come``."""
    soak_s: float

    @property
    def words(self) -> tuple[tuple[str, int], ...]:
        """How many stand how."""
        return tuple(sorted(Counter(word for _, word in self.devices).items()))


@dataclass(frozen=True)
class Step:
    """An entry, in words."""

    at: datetime
    line: str


@dataclass(frozen=True)
class Rollout:
    """Where a rollout stands."""

    folder: str
    name: str
    target: str
    back: str | None
    state: str
    """``running``, ``paused``, ``stopped``, ``undoing``, ``done``, ``undone`` or ``unreadable``."""
    line: str | None
    """Why it stands so: the gate that stopped it, who paused it."""
    waves: tuple[Wave, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    """The newest first."""
    changed_at: datetime | None = None


def rollouts(folder: Path) -> tuple[Rollout, ...]:
    """Every rollout below a folder, or the one in it, the newest first; none where none is."""
    try:
        inside = [folder, *sorted(one for one in folder.iterdir() if one.is_dir())]
        found = [_read(one) for one in inside if (one / JOURNAL).is_file()]
    except OSError as error:
        return (_unreadable(folder.name, f"{folder.name}: {error.strerror}"),)
    newest = sorted(found, key=lambda one: one.changed_at.timestamp() if one.changed_at else 0.0)
    return tuple(reversed(newest))


def _unreadable(name: str, line: str) -> Rollout:
    return Rollout(name, name, "", None, "unreadable", line)


def _read(folder: Path) -> Rollout:
    try:
        if (folder / JOURNAL).stat().st_size > _MOST_BYTES:
            return _unreadable(folder.name, "the journal is larger than one can be")
        entries = _entries((folder / JOURNAL).read_bytes())
        if not entries or entries[0][1].get("kind") != "planned":
            return _unreadable(folder.name, "the journal does not begin with a plan")
        return _standing(folder.name, entries)
    except OSError as error:
        return _unreadable(folder.name, f"the journal cannot be read: {error.strerror}")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return _unreadable(folder.name, "the journal is damaged, or of another version")


def _entries(content: bytes) -> list[tuple[datetime, dict[str, Any]]]:
    """All whole lines; what was cut off at the end was never acted upon."""
    found, before = [], "0" * 64
    for number, text in enumerate(content.split(b"\n")[:-1]):
        parts = _LINE.fullmatch(text)
        if parts is None or hashlib.sha256(parts[1]).hexdigest().encode() != parts[2]:
            raise ValueError(f"entry {number}")
        said = json.loads(parts[1] + b"}")
        if said["n"] != number or said["before"] != before:
            raise ValueError(f"entry {number}")
        before = hashlib.sha256(text).hexdigest()
        found.append((datetime.fromisoformat(said["at"]), said["entry"]))
    return found


@dataclass
class _Given:
    purpose: str
    good: bool = False
    failed: str | None = None
    may_look_on: bool = False
    """Taken back from a candidate, and nothing was heard of that yet."""

    @property
    def word(self) -> str:
        if self.failed is not None:
            return "failed"
        done = {"candidate": "looked on", "active": "well", "back": "back"}
        if self.good or (self.purpose == "withdraw" and not self.may_look_on):
            return done.get(self.purpose, "kept what it had")
        return "ordered"


@dataclass
class _So:
    wave: int = 0
    given: dict[str, _Given] = field(default_factory=dict)
    stopped: str | None = None
    paused: str | None = None
    undoing: str | None = None
    ended: str | None = None

    def take(self, said: Mapping[str, Any]) -> str | None:
        """Take an entry in; what it says, in words."""
        match said["kind"]:
            case "ordered":
                for name in said["orders"]:
                    before, purpose = self.given.get(name), said["purpose"]
                    looks_on = before is not None and before.purpose == "candidate"
                    may_look_on = looks_on and purpose == "withdraw"
                    self.given[name] = _Given(purpose, may_look_on=may_look_on)
                return f"wave {said['wave'] + 1}: {_devices(said['orders'])} ordered"
            case "answered":
                for name in said.get("good", ()):
                    self.given[name].good = True
                for name, why in said.get("failed", {}).items():
                    self.given[name].failed = why
                failed = len(said.get("failed", {}))
                more = f", {failed} failed" if failed else ""
                return f"{_devices(said.get('good', ()))} well{more}"
            case "looked_on":
                return f"wave {said['wave'] + 1}: the candidate judged closely enough"
            case "passed":
                self.wave = said["wave"] + 1
                return f"wave {said['wave'] + 1} is over"
            case "stopped":
                self.stopped = f"gate {said['gate']} at {said['device']}: {said['why']}"
                return f"stopped by {self.stopped}"
            case "undoing":
                self.undoing, self.ended, self.paused = said["why"], None, None
                return f"going back: {said['why']}"
            case "paused":
                self.paused = said["why"]
                return f"paused: {said['why']}"
            case "resumed":
                self.paused = self.stopped = None
                return f"{said['by']} goes on"
            case "ended":
                self.ended = said["how"]
                return str(said["how"])
        return None

    @property
    def word(self) -> str:
        if self.ended is not None:
            return self.ended
        if self.undoing is not None:
            return "undoing"
        if self.stopped is not None:
            return "stopped"
        return "running" if self.paused is None else "paused"


def _standing(folder: str, entries: list[tuple[datetime, dict[str, Any]]]) -> Rollout:
    first = entries[0][1]
    plan, so = first["plan"], _So()
    steps = [Step(entries[0][0], f"{first.get('by', 'somebody')} began it")]
    for at, said in entries[1:]:
        line = so.take(said)
        if line is not None:
            steps.append(Step(at, line))
    waves = []
    for number, wave in enumerate(plan["waves"]):
        state = "to come"
        if so.ended == "done" or number < so.wave:
            state = "over"
        elif number == so.wave and so.ended is None:
            state = "under way"
        devices = tuple(
            (name, so.given[name].word if name in so.given else "not ordered yet")
            for name in wave["devices"]
        )
        waves.append(Wave(wave["title"], devices, state, float(wave.get("soak_s", 0))))
    return Rollout(
        folder=folder,
        name=first["rollout"]["name"],
        target=_label(plan["target"]) or "",
        back=_label(plan.get("back")),
        state=so.word,
        line=so.undoing or so.stopped or so.paused,
        waves=tuple(waves),
        failed=tuple((n, g.failed) for n, g in so.given.items() if g.failed is not None),
        left_out=tuple(sorted(plan.get("left_out", {}).items())),
        steps=tuple(reversed(steps))[:_MOST_SHOWN],
        changed_at=entries[-1][0],
    )


def _label(target: Mapping[str, Any] | None) -> str | None:
    if target is None:
        return None
    return f"{target['name']}-{target['version']}"


def _devices(names: Any) -> str:
    return "1 device" if len(names) == 1 else f"{len(names)} devices"
