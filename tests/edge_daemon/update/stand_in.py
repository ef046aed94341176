"""A daemon as the updater sees it, without one: it answers, dies, and counts what it was asked."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Literal

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.messages import Desired, DesiredBundle
from edge_daemon.contract.target import Machine
from edge_daemon.errors import ServiceError
from edge_daemon.update.daemon import DaemonState
from edge_daemon.update.trust import TrustedRepository
from edge_daemon.update.updater import Updater
from tests.deploy.trust.fleet import Fleet
from tests.edge_daemon.contract.samples import MOMENT

GOOD = tuple(f"0.{number}.0" for number in (2, 4, 6))
BAD = tuple(f"0.{number}.0" for number in (3, 5))
DEADLY = "0.7.0"
FIRST = "0.1.0"


class KilledError(BaseException):
    """``kill -9``: nothing of the updater runs on, and no handler of its own sees it."""


@cache
def fleet() -> Fleet:
    """A repository with all of these bundles, for as long as the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="leukoedge-fleet-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    found = Fleet.founded(folder)
    found.offer(FIRST, *GOOD, *BAD, DEADLY)
    return found


@dataclass
class StandInDaemon:
    """What the daemon does with the two commands (decision 21), without networks.

    Its store and its answers outlive it, as they do on a disk.
    """

    active: str = FIRST
    boots: int = 1
    alive: bool = True
    slide: str | None = None
    fault: str | None = None
    staged: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str | None] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    shadow: str | None = None
    shadow_fault: str | None = None
    slide_in_between: str | None = None
    """Begins between the question for a slide and the command."""
    killed_after: int | None = None
    """So many questions, and the updater is killed before it hears the answer."""

    def state(self) -> DaemonState:
        self._is_there()
        source = load_bundle(fleet().source(self.active))
        heard = DaemonState(
            f"{self.boots:032x}",
            "paper",
            self.active,
            source.digest,
            self.fault,
            self.slide,
            shadow=self.shadow,
            shadow_fault=self.shadow_fault,
        )
        self._answered()
        return heard

    def stage(self, folder: Path) -> None:
        self._is_there()
        bundle = load_bundle(folder)
        self.staged[bundle.label] = bundle.manifest.version
        self._answered()

    def activate(self, label: str, command: str) -> str | None:
        self._is_there()
        self.slide, self.slide_in_between = self.slide or self.slide_in_between, None
        if command not in self.answers:
            self.answers[command] = self._activated(label)
        self._answered()
        return self.answers[command]

    def look_on(self, label: str | None, command: str) -> str | None:
        self._is_there()
        self.slide, self.slide_in_between = self.slide or self.slide_in_between, None
        if command not in self.answers:
            self.answers[command] = self._looks_on(label)
        self._answered()
        return self.answers[command]

    def _looks_on(self, label: str | None) -> str | None:
        if self.slide is not None:
            return f"slide {self.slide} is under way"
        if label is not None and self.staged.get(label) in BAD:
            self.shadow_fault = f"{label}: it fails its golden set"
            return "it fails its golden set"
        self.shadow, self.shadow_fault = label, None
        return None

    def _activated(self, label: str) -> str | None:
        if self.slide is not None:
            return f"slide {self.slide} is under way"
        if label not in self.staged:
            return f"bundle {label} is not staged here"
        version = self.staged[label]
        self.tried.append(version)
        if version == DEADLY:
            self.fault = f"{label}: the daemon ended while it was being tried"
            self.boots += 1
            raise ServiceError("the daemon went away before it answered")
        if version in BAD:
            self.fault = f"{label}: it fails its golden set"
            return "it fails its golden set"
        self.active, self.fault = version, None
        if self.shadow == label:
            self.shadow = None
        return None

    def _is_there(self) -> None:
        if not self.alive:
            raise ServiceError("no daemon is running here")

    def _answered(self) -> None:
        if self.killed_after is not None:
            self.killed_after -= 1
            if self.killed_after < 0:
                self.killed_after = None
                raise KilledError


def write_order(
    folder: Path, version: str | None, number: int, role: Literal["active", "candidate"] = "active"
) -> None:
    bundle = None
    if version is not None:
        bundle = DesiredBundle(name="paper", version=version, role=role)
    order = Desired(
        site="lab",
        device="scope-1",
        ts=MOMENT + timedelta(seconds=number),
        id=f"{number:032x}",
        bundle=bundle,
    )
    (folder / "order.json").write_bytes(order.to_json())


def updater_of(folder: Path, daemon: StandInDaemon) -> Updater:
    """A process of its own: it knows what is on the disk, and nothing else."""
    return Updater(
        folder / "update",
        (folder / "order.json",),
        TrustedRepository(folder / "update", str(fleet().repository.folder)),
        daemon,
        site="lab",
        device="scope-1",
        machine=lambda: Machine("1.0.0"),
    )
