"""From a rollout file to bundles in use: real daemons, updaters, repository, broker, mutual TLS."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from deploy.registry.store import Registry
from deploy.rollout import run
from deploy.rollout.entries import Standing
from deploy.rollout.journal import JOURNAL, read_chain
from deploy.rollout.run import Desk
from deploy.rollout.settings import Rollout
from tests.deploy.laboratory import HardenedMosquitto, Laboratory
from tests.deploy.rollout.fleet import wait_long
from tests.deploy.rollout.real import FIRST, RealDevice, enrol_all, offer
from tests.deploy.trust.fleet import Fleet
from tests.soak import repeated

PATIENCE_S = 90.0
NAMES = [f"{site}/scope-{n}" for n in (1, 2) for site in ("lab", "ward")][: repeated(2, full=4)]
GOOD, BACK_1, BAD, BACK_2 = "0.2.0", "0.2.1", "0.3.0", "0.3.1"


@dataclass(frozen=True)
class Ward:
    """Devices, and from where bundles are rolled out to them."""

    folder: Path
    laboratory: Laboratory
    controller: Path
    fleet: Fleet
    devices: list[RealDevice]

    @property
    def labels(self) -> list[str | None]:
        return [device.label for device in self.devices]

    def nobody_looks_on(self) -> bool:
        states = [device.state() for device in self.devices]
        return all(state is not None and state.shadow is None for state in states)

    def candidate(self) -> RealDevice | None:
        """The device on which one looks on."""
        states = ((device, device.state()) for device in self.devices)
        return next((device for device, is_ in states if is_ is not None and is_.shadow), None)

    def kinds(self, rollout: Rollout) -> list[str]:
        """Of the entries in its journal."""
        lines = read_chain(self.folder / rollout.name / JOURNAL).lines
        return [line.entry["kind"] for line in lines]

    def rolled_out(self, rollout: Rollout) -> Standing:
        said = io.StringIO()
        with Registry(self.folder / "registry.db") as book:
            desk = Desk(
                self.folder / rollout.name,
                book,
                self.laboratory.settings(self.controller),
                Console(file=said, width=200),
                hear_s=1.0,
                listen_first_s=0.5,
            )
            standing = run.begin(desk, rollout, lambda: True)
        assert standing is not None, said.getvalue()
        return standing


def wanted(
    fleet: Fleet,
    version: str,
    back_to: str,
    *,
    look_on: bool = False,
    min_cells: int = 200,
    off: tuple[str, ...] = ("shadow",),
) -> Rollout:
    return Rollout.model_validate(
        {
            "name": f"tiny-{version}",
            "repository": str(fleet.repository.folder),
            "bundle": {"name": "tiny", "version": version, "back_to": back_to},
            "devices": {"all": True},
            "waves": [
                {"count": 1, "soak_s": 0.5, "look_on": look_on},
                {"share": 1.0, "soak_s": 0.5},
            ],
            "gates": {"min_frames": 0, "min_cells": min_cells, "off": list(off)},
        }
    )


@pytest.fixture
def ward(mosquitto: Path, tmp_path: Path) -> Iterator[Ward]:
    """Devices that are enrolled, run, and use the first bundle."""
    laboratory = Laboratory(tmp_path / "laboratory")
    fleet = Fleet.founded(tmp_path)
    controller = laboratory.enrol("controller:central")
    devices = [
        RealDevice(tmp_path / name.replace("/", "-"), name, laboratory, fleet) for name in NAMES
    ]
    laboratory.write_broker(laboratory.enrol("server:broker"))
    enrol_all(tmp_path / "registry.db", laboratory)
    offer(fleet, FIRST)
    offer(fleet, BACK_1, content_of=FIRST)
    with HardenedMosquitto(mosquitto, laboratory):
        try:
            for device in devices:
                device.start()
            assert wait_long(
                lambda: all(one.journal.runs == f"tiny-{FIRST}" for one in devices), PATIENCE_S
            ), devices[0].log
            yield Ward(tmp_path, laboratory, controller, fleet, devices)
        finally:
            for device in devices:
                device.kill()


@pytest.mark.soak
def test_a_good_bundle_reaches_all_and_a_bad_one_stops_at_the_canary(ward: Ward) -> None:
    offer(ward.fleet, GOOD)

    done = ward.rolled_out(wanted(ward.fleet, GOOD, BACK_1, look_on=True))

    assert done.word == "done", ward.devices[0].log
    assert ward.labels == [f"tiny-{GOOD}"] * len(NAMES)
    assert ward.nobody_looks_on()

    offer(ward.fleet, BAD, bad=True)
    offer(ward.fleet, BACK_2, content_of=GOOD)
    undone = ward.rolled_out(wanted(ward.fleet, BAD, BACK_2))

    assert undone.word == "undone"
    assert undone.stopped is not None
    assert undone.stopped.gate == "trial"
    assert "fails its golden set" in undone.stopped.why
    assert tuple(undone.given) == undone.plan.waves[0].devices, "nobody else was ordered anything"
    assert ward.labels == [f"tiny-{GOOD}"] * len(NAMES)


@pytest.mark.soak
def test_a_bundle_that_disagrees_in_shadow_stops_at_the_canary_and_is_never_used(
    ward: Ward,
) -> None:
    """It proves itself against its golden set, and calls every cell a blast."""
    offer(ward.fleet, GOOD, calls_all_blasts=True)
    rollout = wanted(ward.fleet, GOOD, BACK_1, look_on=True, min_cells=5, off=())
    ended: list[Standing] = []
    running = threading.Thread(target=lambda: ended.append(ward.rolled_out(rollout)), daemon=True)
    running.start()
    assert wait_long(lambda: ward.candidate() is not None, PATIENCE_S), ward.devices[0].log
    canary = ward.candidate()
    assert canary is not None

    canary.begins("S-1")

    assert wait_long(lambda: "stopped" in ward.kinds(rollout), PATIENCE_S), canary.log
    assert not wait_long(lambda: "ended" in ward.kinds(rollout), 1.5), "it looks on in its slide"
    canary.finishes()
    running.join(PATIENCE_S)
    (undone,) = ended
    assert ward.nobody_looks_on()
    assert undone.word == "undone"
    assert undone.ended is not None
    assert undone.ended.late == ()
    assert undone.stopped is not None
    assert undone.stopped.gate == "shadow"
    assert tuple(undone.given) == undone.plan.waves[0].devices, "nobody else was ordered anything"
    assert ward.labels == [f"tiny-{FIRST}"] * len(NAMES)
