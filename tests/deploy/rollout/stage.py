"""A laboratory's central side for tests: a registry, a repository, a rollout, its controller."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.registry.record import Enrolment
from deploy.registry.store import Registry
from deploy.rollout import run
from deploy.rollout.entries import Standing
from deploy.rollout.journal import JOURNAL, read_chain
from deploy.rollout.run import Desk
from deploy.rollout.settings import Rollout
from deploy.rollout.targets import Target
from deploy.rollout.wishes import What
from edge_daemon.delivery.settings import BrokerSettings
from tests.deploy.registry.fleet import enrolled
from tests.deploy.rollout.fleet import BACK, DAEMON_BACK, DAEMON_NEW, NEW, SimulatedFleet
from tests.mosquitto import Mosquitto

QUICK_GATES = {
    "ready_within_s": 20.0,
    "min_cells": 30,
    "most_disagreement": 0.05,
}


class Stage:
    """Everything a rollout needs, in one folder."""

    def __init__(self, folder: Path, url: str, repository: Path, names: Iterable[str]) -> None:
        self.folder, self.url = folder, url
        self.repository = repository
        self.rollout_folder = folder / "rollout"
        self.registry = folder / "registry.db"
        self.out = io.StringIO()
        self.safe_after_s = 0.2
        with Registry(self.registry) as book:
            book.enrol({name: enrolled() for name in names})

    def enrol(self, **enrolments: Enrolment) -> None:
        with Registry(self.registry) as book:
            book.enrol({name.replace("__", "/"): one for name, one in enrolments.items()})

    def rollout(self, **changes: Any) -> Rollout:
        values: dict[str, Any] = {
            "name": "paper-0.2.0",
            "repository": str(self.repository),
            "bundle": {"name": "paper", "version": NEW, "back_to": BACK},
            "devices": {"all": True},
            "waves": [
                {"count": 1, "look_on": True, "soak_s": 0.2},
                {"share": 1.0, "soak_s": 0.2},
            ],
            "gates": QUICK_GATES,
        }
        return Rollout.model_validate(values | changes)

    def daemon_rollout(self, **changes: Any) -> Rollout:
        values = {
            "name": "daemon-1.1.0",
            "bundle": None,
            "daemon": {"version": DAEMON_NEW, "back_to": DAEMON_BACK},
            "waves": [{"count": 1, "soak_s": 0.2}, {"share": 1.0, "soak_s": 0.2}],
        }
        return self.rollout(**(values | changes))

    def desk(self, book: Registry, *, hear_s: float = 0.5) -> Desk:
        settings = BrokerSettings(url=self.url, reconnect_min_s=0.05, reconnect_max_s=0.2)
        console = Console(file=self.out, width=200)
        return Desk(
            self.rollout_folder,
            book,
            settings,
            console,
            hear_s=hear_s,
            listen_first_s=0.2,
            safe_after_s=self.safe_after_s,
        )

    def start(self, rollout: Rollout) -> Running:
        return Running(self, lambda desk: run.begin(desk, rollout, lambda: True))

    def go_on(self, wish: What) -> Running:
        return Running(self, lambda desk: run.go_on(desk, wish))

    def entries(self) -> list[dict[str, Any]]:
        return [line.entry for line in read_chain(self.rollout_folder / JOURNAL).lines]

    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in self.entries()]

    def words(self) -> dict[str, Any]:
        """What is desired of each device, by the registry."""
        with Registry(self.registry) as book:
            return {one.name: one.desired and one.desired.bundle for one in book.devices()}

    def daemon_words(self) -> dict[str, Any]:
        """Likewise of the daemon."""
        with Registry(self.registry) as book:
            return {one.name: one.desired and one.desired.version for one in book.devices()}


class Running:
    """A controller in a thread of its own."""

    def __init__(self, stage: Stage, what: Callable[[Desk], Standing | None]) -> None:
        self._stage, self._what = stage, what
        self.standing: Standing | None = None
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with Registry(self._stage.registry) as book:
                self.standing = self._what(self._stage.desk(book))
        except BaseException as error:  # noqa: BLE001 - raised again by `end`
            self.failure = error

    def end(self, seconds: float = 60.0) -> Standing:
        self._thread.join(seconds)
        if self.failure is not None:
            raise self.failure
        assert not self._thread.is_alive(), self._stage.kinds()
        assert self.standing is not None
        return self.standing


Staged = Callable[[list[str]], Stage]
Bundles = dict[str, Target]
NAMES = [f"{site}/scope-{number}" for site in ("lab", "ward") for number in (1, 2)]


def canary_of(entries: list[dict[str, object]]) -> str:
    plan = entries[0]["plan"]
    assert isinstance(plan, dict)
    (name,) = plan["waves"][0]["devices"]
    return str(name)


def lot(stage: Stage) -> list[str]:
    """Devices in the order of their waves."""
    plan = stage.entries()[0]["plan"]
    return [name for wave in plan["waves"] for name in wave["devices"]]


def first(stage: Stage, broker: Mosquitto, bundles: Bundles) -> str:
    """The device that will be the canary."""
    with (
        SimulatedFleet(broker.port, NAMES, bundles),
        Registry(stage.registry) as book,
    ):
        return run.planned(stage.desk(book), stage.rollout()).waves[0].devices[0]
