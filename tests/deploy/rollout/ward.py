"""A laboratory with real devices, and the central side that rolls things out to them."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console

from deploy.registry.record import Reported
from deploy.registry.store import Registry
from deploy.rollout import run
from deploy.rollout.entries import Standing
from deploy.rollout.hearing import Hearing
from deploy.rollout.journal import JOURNAL, read_chain
from deploy.rollout.run import Desk
from deploy.rollout.settings import Rollout
from deploy.rollout.wire import Wire
from deploy.rollout.wishes import What
from tests.deploy.laboratory import HardenedMosquitto, Laboratory
from tests.deploy.rollout.fleet import wait_long
from tests.deploy.rollout.real import FIRST, RealDevice, enrol_all
from tests.deploy.trust.fleet import Fleet

PATIENCE_S = 90.0
D = TypeVar("D", bound=RealDevice)


@dataclass(frozen=True)
class Ward(Generic[D]):
    """Devices, and from where bundles are rolled out to them."""

    folder: Path
    laboratory: Laboratory
    controller: Path
    fleet: Fleet
    devices: list[D]

    @property
    def labels(self) -> list[str | None]:
        return [device.label for device in self.devices]

    def nobody_looks_on(self) -> bool:
        states = [device.state() for device in self.devices]
        return all(state is not None and state.shadow is None for state in states)

    def candidate(self) -> D | None:
        """The device on which one looks on."""
        states = ((device, device.state()) for device in self.devices)
        return next((device for device, is_ in states if is_ is not None and is_.shadow), None)

    def kinds(self, rollout: Rollout) -> list[str]:
        """Of the entries in its journal."""
        lines = read_chain(self.folder / rollout.name / JOURNAL).lines
        return [line.entry["kind"] for line in lines]

    def begins(self, rollout: Rollout) -> Running:
        """The same, beside what is done meanwhile."""
        return Running(lambda: self.rolled_out(rollout))

    def rolled_out(self, rollout: Rollout, wish: What | None = None) -> Standing:
        """Begin it, or go on with it as somebody wishes, until it is over."""
        said = io.StringIO()
        with Registry(self.folder / "registry.db") as book:
            desk = Desk(
                self.folder / rollout.name,
                book,
                self.laboratory.settings(self.controller),
                Console(file=said, width=200),
                hear_s=1.0,
                listen_first_s=0.5,
                safe_after_s=0.5,
            )
            if wish is None:
                standing = run.begin(desk, rollout, lambda: True)
            else:
                standing = run.go_on(desk, wish)
        assert standing is not None, said.getvalue()
        return standing

    def reported(self) -> list[str | None]:
        """Versions of the daemon, as the devices say."""
        hearing = Hearing({device.name: Reported() for device in self.devices})
        wire = Wire(self.laboratory.settings(self.controller), hearing.take)
        wire.connect()
        while not wire.has_heard(0.5):
            wire.step()
        wire.close()
        return [hearing.seen[device.name].reported.version for device in self.devices]


class Running:
    """A controller in a thread of its own."""

    def __init__(self, what: Callable[[], Standing]) -> None:
        self._ended: list[Standing] = []
        self._thread = threading.Thread(target=lambda: self._ended.append(what()), daemon=True)
        self._thread.start()

    def end(self) -> Standing:
        """Wait for it."""
        self._thread.join(PATIENCE_S)
        (standing,) = self._ended
        return standing


@contextmanager
def opened(
    mosquitto: Path,
    folder: Path,
    names: Iterable[str],
    make: Callable[[Path, str, Laboratory, Fleet], D],
) -> Iterator[Ward[D]]:
    """Devices that are enrolled and run, each with the first bundle."""
    laboratory = Laboratory(folder / "laboratory")
    fleet = Fleet.founded(folder)
    controller = laboratory.enrol("controller:central")
    devices = [make(folder / name.replace("/", "-"), name, laboratory, fleet) for name in names]
    laboratory.write_broker(laboratory.enrol("server:broker"))
    enrol_all(folder / "registry.db", laboratory)
    fleet.publish()
    with HardenedMosquitto(mosquitto, laboratory):
        try:
            for device in devices:
                device.start()
            assert wait_long(
                lambda: all(one.journal.runs == f"tiny-{FIRST}" for one in devices), PATIENCE_S
            ), devices[0].log
            yield Ward(folder, laboratory, controller, fleet, devices)
        finally:
            for device in devices:
                device.kill()
