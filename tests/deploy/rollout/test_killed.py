"""``kill -9`` of the controller at every entry of its journal: who goes on ends the same.

In CI after the first entry of each kind; in a soak after every one, and before every one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.rollout.plan import _lot
from deploy.rollout.settings import Rollout
from deploy.rollout.targets import Target
from tests.deploy.rollout.fleet import BACK, NEW, OLD, Manner, SimulatedFleet
from tests.deploy.rollout.process import roll_out, word
from tests.deploy.rollout.stage import Stage
from tests.mosquitto import Mosquitto
from tests.nursery import Child
from tests.soak import SOAKING

NAMES = ["lab/scope-1", "lab/scope-2", "lab/scope-3"]
GOOD: Sequence[int | str] = range(14)
BAD: Sequence[int | str] = range(12)
"""Entries of a rollout that is done, and of one that is undone."""
if not SOAKING:
    GOOD = ("planned", "ordered candidate", "looked_on", "ordered active", "passed", "ended")
    BAD = ("stopped", "undoing", "ordered back", "ordered withdraw", "answered back", "ended")
MOMENTS = [False] if not SOAKING else [False, True]
"""After the entry, and before it: that is as after the one before, but for what was done of it."""


def quick(stage: Stage) -> Rollout:
    return stage.rollout(
        waves=[
            {"count": 1, "look_on": True, "soak_s": 0.0},
            {"count": 1, "soak_s": 0.0},
            {"share": 1.0, "soak_s": 0.0},
        ]
    )


def killed_and_gone_on_with(
    stage: Stage, rollout: Rollout, entry: int | str, *, before: bool
) -> list[str]:
    """Kinds of entry of a rollout that was killed there once."""
    arguments: list[Any] = [stage.folder, stage.url, stage.repository, rollout]
    first = Child(roll_out, *arguments, entry, before)
    first.process.join(60)
    assert first.process.exitcode == -9, stage.kinds()
    if isinstance(entry, int):
        assert len(stage.entries()) == entry + (0 if before else 1)
    else:
        assert word(stage.entries()[-1]) == entry
    second = Child(roll_out, *arguments, -1, False)
    assert second.hear() in ("done", "undone")
    return stage.kinds()


@pytest.mark.soak
@pytest.mark.parametrize("before", MOMENTS)
@pytest.mark.parametrize("entry", GOOD)
def test_a_good_rollout_ends_the_same(
    stage: Callable[[list[str]], Stage],
    broker: Mosquitto,
    bundles: dict[str, Target],
    entry: int | str,
    before: bool,
) -> None:
    here = stage(NAMES)
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        kinds = killed_and_gone_on_with(here, quick(here), entry, before=before)
        assert fleet.versions() == [NEW] * 3
        assert [device.ever for device in fleet.devices.values()] == [[NEW]] * 3
        assert kinds.count("passed") == 3
        assert kinds[-1] == "ended"
        orders = [order for found in fleet.orders.values() for order in found]
        assert len(orders) == len({order.id for order in orders}) == 4, "each given once"
    assert here.words() == dict.fromkeys(NAMES, bundles[NEW].digest)


@pytest.mark.soak
@pytest.mark.parametrize("before", MOMENTS)
@pytest.mark.parametrize("entry", BAD)
def test_a_rollout_that_is_undone_ends_the_same(
    stage: Callable[[list[str]], Stage],
    broker: Mosquitto,
    bundles: dict[str, Target],
    entry: int | str,
    before: bool,
) -> None:
    here = stage(NAMES)
    rollout = quick(here).model_copy(update={"waves": quick(here).waves[1:]})
    canary, bad, _ = sorted(NAMES, key=lambda name: _lot(rollout.name, name))
    manners: dict[str, Manner] = {bad: "fails"}
    with SimulatedFleet(broker.port, NAMES, bundles, manners=manners) as fleet:
        kinds = killed_and_gone_on_with(here, rollout, entry, before=before)
        assert (kinds.count("stopped"), kinds.count("undoing"), kinds[-1]) == (1, 1, "ended")
        assert fleet.devices[canary].ever == [NEW, BACK]
        assert fleet.versions(bad) == [OLD]
        assert NEW not in fleet.versions()


def test_a_journal_that_was_cut_off_in_a_line_is_gone_on_with(
    stage: Callable[[list[str]], Stage], broker: Mosquitto, bundles: dict[str, Target]
) -> None:
    here = stage(NAMES)
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        arguments: list[Any] = [here.folder, here.url, here.repository, quick(here)]
        Child(roll_out, *arguments, 3, False).process.join(60)
        journal = here.rollout_folder / "journal.jsonl"
        with journal.open("ab") as file:
            file.write(journal.read_bytes().splitlines()[-1][:40])
        assert here.start(quick(here)).end().word == "done"
        assert fleet.versions() == [NEW] * 3
    assert "cut off after 40 bytes" in here.out.getvalue()


def test_a_journal_that_was_altered_is_not_gone_on_with(
    stage: Callable[[list[str]], Stage], broker: Mosquitto, bundles: dict[str, Target]
) -> None:
    here = stage(NAMES)
    with SimulatedFleet(broker.port, NAMES, bundles):
        here.start(quick(here)).end()
        journal: Path = here.rollout_folder / "journal.jsonl"
        journal.write_bytes(journal.read_bytes().replace(b'"wave":1', b'"wave":2', 1))
        from deploy.rollout.errors import JournalError

        with pytest.raises(JournalError, match=r"entry \d+ is not what was written"):
            here.start(quick(here)).end()
