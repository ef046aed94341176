"""What lies beside the database: a registry of devices, and the journal of a rollout."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from deploy.registry.record import Desired, Enrolment, Listened, Reported
from deploy.registry.store import Registry
from tests.deploy.dashboard.filled import BUNDLE, OLDER_BUNDLE

BEGAN = datetime(2026, 11, 26, 9, tzinfo=timezone.utc)


def make_registry(file: Path, now: datetime) -> None:
    """Two devices as they should be, one with an older bundle, one that was never heard."""
    enrolled = Enrolment(
        standing="enrolled", since=now - timedelta(days=90), until=now + timedelta(days=300)
    )
    names = ("north/scope-1", "north/scope-2", "south/scope-3", "south/scope-6")
    wish = Desired(bundle=BUNDLE, version="1.0.0", at=BEGAN, by="rollout leukoedge-0.8")
    with Registry(file) as registry:
        registry.enrol(dict.fromkeys(names, enrolled))
        registry.desire(dict.fromkeys(names, wish))
        with registry.batch():
            registry.report(
                {
                    name: Reported(
                        state="online",
                        version="1.0.0",
                        bundle=OLDER_BUNDLE if name == "south/scope-3" else BUNDLE,
                        seen_at=now,
                        clock_synchronised=True,
                    )
                    for name in names[:3]
                }
            )
            registry.listened_to(Listened(since=now - timedelta(days=3), until=now))


def plan() -> dict[str, Any]:
    """Three waves."""
    titles = {
        "canary": ["north/scope-1"],
        "north": ["north/scope-2"],
        "south": ["south/scope-3", "south/scope-4"],
    }
    return {
        "target": {"name": "leukoedge", "version": "0.8.0", "digest": BUNDLE},
        "back": {"name": "leukoedge", "version": "0.7.0", "digest": OLDER_BUNDLE},
        "waves": [
            {"title": title, "devices": names, "look_on": title == "canary", "soak_s": 3600.0}
            for title, names in titles.items()
        ],
        "runs": {},
        "left_out": {"south/scope-5": "it is offline"},
    }


def entries() -> list[dict[str, Any]]:
    """A rollout whose second wave was stopped by a gate."""

    def ordered(wave: int, *names: str) -> dict[str, Any]:
        orders: dict[str, Any] = {name: {"id": "a" * 32} for name in names}
        return {"kind": "ordered", "wave": wave, "purpose": "active", "orders": orders}

    why = "errors are 4.1 % of frames, at most 1 % are allowed"
    return [
        {"kind": "planned", "rollout": {"name": "leukoedge-0.8"}, "plan": plan(), "by": "lena"},
        ordered(0, "north/scope-1"),
        {"kind": "answered", "purpose": "active", "good": ["north/scope-1"], "failed": {}},
        {"kind": "passed", "wave": 0, "good": 1, "late": []},
        ordered(1, "north/scope-2"),
        {"kind": "stopped", "device": "north/scope-2", "gate": "errors", "why": why},
    ]


def make_rollout(folder: Path, said: list[dict[str, Any]] | None = None) -> Path:
    """Write the journal, as the controller chains it."""
    folder.mkdir(parents=True)
    before, text = "0" * 64, b""
    for number, entry in enumerate(entries() if said is None else said):
        at = (BEGAN + timedelta(minutes=20 * number)).isoformat()
        place = {"n": number, "at": at, "before": before, "entry": entry}
        body = json.dumps(place, separators=(",", ":")).encode()[:-1]
        line = body + b',"sum":"' + hashlib.sha256(body).hexdigest().encode() + b'"}'
        before = hashlib.sha256(line).hexdigest()
        text += line + b"\n"
    (folder / "journal.jsonl").write_bytes(text)
    return folder / "journal.jsonl"
