"""A candidate that looks on: a rollout is undone when nobody looks on any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest

from deploy.rollout.listing import device_word
from tests.deploy.rollout.fleet import SimulatedFleet, wait_long
from tests.deploy.rollout.process import roll_out
from tests.deploy.rollout.stage import NAMES, Bundles, Stage, Staged, first
from tests.mosquitto import Mosquitto
from tests.nursery import Child

LookingOn: TypeAlias = tuple[Stage, SimulatedFleet, str]
"""A stage, its fleet, and the canary."""


@pytest.fixture
def looking_on(stage: Staged, broker: Mosquitto, bundles: Bundles) -> Iterator[LookingOn]:
    """The canary looks on, disagrees, and is in the midst of a slide when the rollout stops."""
    here = stage(NAMES)
    canary = first(here, broker, bundles)
    with SimulatedFleet(broker.port, NAMES, bundles, manners={canary: "disagrees"}) as fleet:
        fleet.devices[canary].slide = "S-1"
        yield here, fleet, canary


def is_withdrawn(stage: Stage) -> bool:
    return any(entry.get("purpose") == "withdraw" for entry in stage.entries())


def test_it_is_undone_only_when_who_looked_on_does_so_no_longer(looking_on: LookingOn) -> None:
    here, fleet, canary = looking_on
    running = here.start(here.rollout())
    assert wait_long(lambda: is_withdrawn(here))
    assert not wait_long(lambda: "ended" in here.kinds(), 1.0)
    fleet.ends_its_slide(canary)
    standing = running.end()
    assert (standing.word, standing.ended and standing.ended.late) == ("undone", ())
    assert here.kinds()[-2:] == ["answered", "ended"]


def test_so_it_is_after_a_kill_of_the_controller(looking_on: LookingOn) -> None:
    here, fleet, canary = looking_on
    arguments: list[Any] = [here.folder, here.url, here.repository, here.rollout()]
    first_one = Child(roll_out, *arguments, "ordered withdraw", False)
    first_one.process.join(60)
    assert first_one.process.exitcode == -9, here.kinds()
    second = Child(roll_out, *arguments, -1, False)
    assert wait_long(lambda: fleet.orders[canary][-1].bundle is None)
    assert not wait_long(lambda: "ended" in here.kinds(), 1.0)
    fleet.ends_its_slide(canary)
    assert second.hear() == "undone"


def test_who_looks_on_is_waited_for_while_it_is_there_and_no_longer_than_patience_lasts(
    looking_on: LookingOn,
) -> None:
    here, _, canary = looking_on
    standing = here.start(here.rollout(patience_s=2.0)).end()
    assert (standing.word, standing.ended and standing.ended.late) == ("undone", (canary,))
    assert device_word(standing, canary) == "ordered to keep what it has"


def test_who_looked_on_and_has_left_is_late(looking_on: LookingOn) -> None:
    here, fleet, canary = looking_on
    running = here.start(here.rollout())
    assert wait_long(lambda: is_withdrawn(here))
    fleet.leaves(canary)
    standing = running.end()
    assert (standing.word, standing.ended and standing.ended.late) == ("undone", (canary,))
