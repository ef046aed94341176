"""From a rollout file to bundles in use: real daemons, updaters, repository, broker, mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.rollout.settings import Rollout
from tests.deploy.rollout.fleet import wait_long
from tests.deploy.rollout.real import FIRST, RealDevice, offer
from tests.deploy.rollout.ward import PATIENCE_S, Ward, opened
from tests.deploy.trust.fleet import Fleet
from tests.soak import repeated

NAMES = [f"{site}/scope-{n}" for n in (1, 2) for site in ("lab", "ward")][: repeated(2, full=4)]
GOOD, BACK_1, BAD, BACK_2 = "0.2.0", "0.2.1", "0.3.0", "0.3.1"


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
def ward(mosquitto: Path, tmp_path: Path) -> Iterator[Ward[RealDevice]]:
    """Devices that run, and use the first bundle."""
    with opened(mosquitto, tmp_path, NAMES, RealDevice) as found:
        offer(found.fleet, FIRST)
        offer(found.fleet, BACK_1, content_of=FIRST)
        yield found


@pytest.mark.soak
def test_a_good_bundle_reaches_all_and_a_bad_one_stops_at_the_canary(
    ward: Ward[RealDevice],
) -> None:
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
    ward: Ward[RealDevice],
) -> None:
    """It proves itself against its golden set, and calls every cell a blast."""
    offer(ward.fleet, GOOD, calls_all_blasts=True)
    rollout = wanted(ward.fleet, GOOD, BACK_1, look_on=True, min_cells=5, off=())
    running = ward.begins(rollout)
    assert wait_long(lambda: ward.candidate() is not None, PATIENCE_S), ward.devices[0].log
    canary = ward.candidate()
    assert canary is not None

    canary.begins("S-1")

    assert wait_long(lambda: "stopped" in ward.kinds(rollout), PATIENCE_S), canary.log
    assert not wait_long(lambda: "ended" in ward.kinds(rollout), 1.5), "it looks on in its slide"
    canary.finishes()
    undone = running.end()
    assert ward.nobody_looks_on()
    assert undone.word == "undone"
    assert undone.ended is not None
    assert undone.ended.late == ()
    assert undone.stopped is not None
    assert undone.stopped.gate == "shadow"
    assert tuple(undone.given) == undone.plan.waves[0].devices, "nobody else was ordered anything"
    assert ward.labels == [f"tiny-{FIRST}"] * len(NAMES)
