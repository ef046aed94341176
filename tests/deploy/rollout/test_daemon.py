"""Whole rollouts of the daemon itself, with simulated devices and a real broker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploy.registry.store import Registry
from deploy.rollout import run
from edge_daemon.contract.messages import Desired, DesiredBundle
from tests.deploy.registry.fleet import NOW
from tests.deploy.rollout.fleet import (
    DAEMON_BACK,
    DAEMON_NEW,
    DAEMON_OLD,
    NEW,
    OLD,
    SimulatedFleet,
    wait_long,
)
from tests.deploy.rollout.process import roll_out
from tests.deploy.rollout.stage import Bundles, Staged, lot
from tests.mosquitto import Mosquitto
from tests.nursery import Child

NAMES = ["lab/scope-1", "lab/scope-2", "ward/scope-1"]


def bundle_order(name: str) -> Desired:
    """Somebody ordered a bundle, before."""
    site, device = name.split("/")
    wanted = DesiredBundle(name="paper", version=NEW)
    return Desired(site=site, device=device, ts=NOW, id="ab" * 16, bundle=wanted)


def test_a_good_daemon_goes_from_the_canary_to_all_and_back_when_it_is_undone(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        standing = here.start(here.daemon_rollout()).end()
        assert (standing.word, standing.ended and standing.ended.late) == ("done", ())
        assert fleet.daemons() == [DAEMON_NEW] * 3
        assert fleet.versions() == [OLD] * 3, "of bundles nothing was said"
        assert here.daemon_words() == dict.fromkeys(NAMES, DAEMON_NEW)
        assert here.words() == dict.fromkeys(NAMES)
        assert "daemon 1.0.0 -> daemon 1.1.0" in here.out.getvalue()

        assert here.go_on("undo").end().word == "undone"

        tried = [device.tried for device in fleet.devices.values()]
        assert tried == [[DAEMON_NEW, DAEMON_BACK]] * 3
        assert fleet.daemons() == [DAEMON_BACK] * 3
    assert here.daemon_words() == dict.fromkeys(NAMES, DAEMON_BACK)


@pytest.mark.parametrize(
    ("manner", "gate"),
    [("fails", "trial"), ("hot", "temperature"), ("slow", "throughput"), ("loses", "errors")],
)
def test_a_bad_daemon_stops_at_the_canary_and_is_taken_back(
    stage: Staged, broker: Mosquitto, bundles: Bundles, manner: str, gate: str
) -> None:
    here = stage(NAMES)
    manners = dict.fromkeys(NAMES, manner)
    with SimulatedFleet(broker.port, NAMES, bundles, manners=manners) as fleet:  # type: ignore[arg-type]
        standing = here.start(here.daemon_rollout()).end()
        assert standing.stopped is not None
        assert (standing.word, standing.stopped.gate) == ("undone", gate)
        canary, *others = lot(here)
        assert standing.stopped.device == canary
        assert fleet.daemons(*others) == [DAEMON_OLD] * 2
        assert not any(fleet.orders[name] for name in others)
        stays = manner == "fails"  # the device took it back itself
        assert fleet.daemons(canary) == [DAEMON_OLD if stays else DAEMON_BACK]
        last = fleet.orders[canary][-1].daemon
        assert (last and last.version) == (None if stays else DAEMON_BACK)
        assert ("did not answer within 120 s" in standing.stopped.why) == stays
    assert here.daemon_words()[canary] == (DAEMON_OLD if stays else DAEMON_BACK)


def test_what_was_ordered_of_a_bundle_is_ordered_still_and_not_carried_out_again(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    """One took it, and a person there went back; for one that was away it waits."""
    here = stage(NAMES)
    decided, away, _ = NAMES
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        fleet.leaves(away)
        for name in (decided, away):
            fleet.says(bundle_order(name))
        assert wait_long(lambda: fleet.versions(decided) == [NEW])
        assert wait_long(lambda: bool(fleet.orders[away]))
        fleet.goes_back(decided)
        rollout = here.daemon_rollout(
            devices={"all": True, "offline": "order"},
            waves=[{"share": 1.0, "soak_s": 0.2}],
            enough=0.6,
        )
        assert here.start(rollout).end().word == "done"
        carried = bundle_order(away).first(bundle_order(away).bundle)
        assert [order.bundle for order in fleet.orders[decided][1:]] == [carried]
        assert fleet.versions(decided) == [OLD], "what he decided stands"

        fleet.comes(away)

        assert wait_long(lambda: fleet.daemons(away) == [DAEMON_NEW])
        assert fleet.versions(away) == [NEW]
        assert here.go_on("undo").end().word == "undone"
        assert fleet.orders[away][-1].bundle == carried
        assert fleet.devices[away].ever == [NEW]


@pytest.mark.parametrize("entry", [1, 3])
def test_a_controller_that_was_killed_goes_on_with_a_daemon(
    stage: Staged, broker: Mosquitto, bundles: Bundles, entry: int
) -> None:
    """``kill -9`` when the canary was ordered, and when its wave was over."""
    here = stage(NAMES)
    rollout = here.daemon_rollout(waves=[{"count": 1, "soak_s": 0}, {"share": 1.0, "soak_s": 0}])
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        arguments: list[Any] = [here.folder, here.url, here.repository, rollout]
        first = Child(roll_out, *arguments, entry, False)
        first.process.join(60)
        assert first.process.exitcode == -9, here.kinds()
        assert Child(roll_out, *arguments, -1, False).hear() == "done"
        assert [device.tried for device in fleet.devices.values()] == [[DAEMON_NEW]] * 3
        assert all(len(orders) == 1 for orders in fleet.orders.values())


def test_a_device_whose_updater_brings_no_daemon_is_left_out(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    older = NAMES[2]
    fleet = SimulatedFleet(broker.port, NAMES, bundles)
    is_ = fleet.devices[older]
    fleet.devices[older] = replace(is_, standing=is_.standing.model_copy(update={"daemon": None}))
    with fleet, Registry(here.registry) as book:
        plan = run.planned(here.desk(book), here.daemon_rollout())
    assert set(plan.devices) == set(NAMES[:2])
    assert "its updater brings no daemon" in plan.left_out[older]
