"""Whole rollouts with simulated devices and a real broker."""

from __future__ import annotations

import pytest

from deploy.rollout import run
from deploy.rollout.errors import RolloutError
from tests.deploy.rollout.fleet import BACK, NEW, OLD, Manner, SimulatedFleet, wait_long
from tests.deploy.rollout.stage import NAMES, Bundles, Staged, first, lot
from tests.mosquitto import Mosquitto


def test_a_good_bundle_goes_from_the_canary_to_all(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        standing = here.start(here.rollout()).end()
        assert (standing.word, standing.ended and standing.ended.late) == ("done", ())
        assert fleet.versions() == [NEW] * 4
        canary, *others = lot(here)
        roles = [order.bundle.role for order in fleet.orders[canary] if order.bundle]
        assert roles == ["candidate", "active"]
        assert all(len(fleet.orders[name]) == 1 for name in others)
    assert here.words() == dict.fromkeys(NAMES, bundles[NEW].digest)
    kinds = here.kinds()
    assert kinds[0] == "planned"
    assert kinds[-1] == "ended"
    assert kinds.index("looked_on") < kinds.index("passed")
    assert "wave 1 is over: 1 well" in here.out.getvalue()


@pytest.mark.parametrize(
    ("manner", "gate"),
    [
        ("fails", "trial"),
        ("disagrees", "shadow"),
        ("hot", "temperature"),
        ("slow", "throughput"),
        ("loses", "errors"),
    ],
)
def test_a_bad_bundle_stops_at_the_canary_and_is_taken_back(
    stage: Staged, broker: Mosquitto, bundles: Bundles, manner: str, gate: str
) -> None:
    here = stage(NAMES)
    manners = dict.fromkeys(NAMES, manner)
    with SimulatedFleet(broker.port, NAMES, bundles, manners=manners) as fleet:  # type: ignore[arg-type]
        standing = here.start(here.rollout()).end()
        assert (standing.word, standing.stopped and standing.stopped.gate) == ("undone", gate)
        canary, *others = lot(here)
        assert standing.stopped is not None
        assert standing.stopped.device == canary
        assert fleet.versions(*others) == [OLD] * 3
        assert not any(fleet.orders[name] for name in others)
        stays = manner in ("fails", "disagrees")
        assert fleet.versions(canary) == [OLD if stays else BACK]
        last = fleet.orders[canary][-1].bundle
        assert (last and last.version) == (None if stays else BACK)
    assert here.words()[canary] == bundles[OLD if stays else BACK].digest


def test_a_stop_in_the_second_wave_takes_back_those_of_the_first(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    canary = first(here, broker, bundles)
    bad = next(name for name in NAMES if name != canary)
    with SimulatedFleet(broker.port, NAMES, bundles, manners={bad: "fails"}) as fleet:
        standing = here.start(here.rollout()).end()
        assert standing.word == "undone"
        assert standing.stopped is not None
        assert (standing.stopped.device, standing.wave) == (bad, 1)
        assert fleet.versions(canary) == [BACK]
        assert fleet.devices[canary].ever == [NEW, BACK]
        assert fleet.versions(bad) == [OLD]
        assert NEW not in fleet.versions()
    assert "it fails its golden set" in here.out.getvalue()


def test_a_device_that_dies_with_the_bundle_stops_it_and_its_way_back_waits_for_it(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    manners = dict.fromkeys(NAMES, "dies")
    rollout = here.rollout(waves=[{"count": 1}, {"share": 1.0}], gates={"ready_within_s": 0.5})
    with SimulatedFleet(broker.port, NAMES, bundles, manners=manners) as fleet:  # type: ignore[arg-type]
        standing = here.start(rollout).end()
        canary = lot(here)[0]
        assert standing.word == "undone"
        assert standing.ended is not None
        assert standing.ended.late == (canary,)
        fleet.comes(canary)
        assert wait_long(lambda: fleet.versions(canary) == [BACK])


def test_by_hand_a_stop_stays_a_stop_and_nobody_who_is_away_takes_it_later(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    rollout = here.rollout(undo="by_hand", waves=[{"share": 1.0, "soak_s": 0.2}])
    bad, away = NAMES[0], NAMES[1]
    manners = {bad: "fails", away: "deaf"}
    with SimulatedFleet(broker.port, NAMES, bundles, manners=manners) as fleet:  # type: ignore[arg-type]
        standing = here.start(rollout).end()
        assert standing.word == "stopped"
        assert wait_long(lambda: fleet.orders[away][-1].bundle is None)
        del fleet.manners[away]
        fleet.comes(away)
        assert fleet.versions(bad, away) == [OLD, OLD]
        assert wait_long(lambda: fleet.versions(*NAMES[2:]) == [NEW, NEW])

        assert here.go_on("undo").end().word == "undone"

        assert fleet.versions(*NAMES[2:]) == [BACK, BACK]
        assert fleet.versions(bad, away) == [OLD, OLD]


def test_who_took_it_at_the_last_moment_goes_back_all_the_same(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    """By hand: its order was taken back while it was being carried out."""
    here = stage(NAMES)
    rollout = here.rollout(undo="by_hand", waves=[{"share": 1.0, "soak_s": 0.2}])
    bad, late = NAMES[0], NAMES[1]
    manners: dict[str, Manner] = {bad: "fails", late: "deaf"}
    with SimulatedFleet(broker.port, NAMES, bundles, manners=manners) as fleet:
        assert here.start(rollout).end().word == "stopped"
        assert wait_long(lambda: fleet.orders[late][-1].bundle is None)
        del fleet.manners[late]
        fleet.devices[late].order = fleet.orders[late][0]
        fleet.comes(late)
        assert fleet.versions(late) == [NEW]

        assert here.go_on("undo").end().word == "undone"

        assert fleet.versions(bad, late) == [OLD, BACK]


def test_by_hand_a_person_may_go_on_after_a_stop(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    rollout = here.rollout(undo="by_hand", waves=[{"share": 1.0, "soak_s": 0.2}])
    with SimulatedFleet(broker.port, NAMES, bundles, manners={NAMES[0]: "fails"}) as fleet:
        assert here.start(rollout).end().word == "stopped"
        fleet.manners.clear()  # whatever it was, it is mended

        assert here.go_on("resume").end().word == "done"

        assert fleet.versions() == [NEW] * 4


def test_paused_it_orders_nothing_and_resumed_it_goes_on(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    rollout = here.rollout(waves=[{"count": 1, "soak_s": 1.0}, {"share": 1.0, "soak_s": 0.2}])
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        running = here.start(rollout)
        assert wait_long(lambda: "ordered" in here.kinds())
        run.pause(here.rollout_folder)
        assert wait_long(lambda: "paused" in here.kinds())
        canary = lot(here)[0]
        assert wait_long(lambda: fleet.versions(canary) == [NEW])
        assert not wait_long(lambda: "passed" in here.kinds(), 2.5)
        here.go_on("resume")
        assert wait_long(lambda: "resumed" in here.kinds())
        assert wait_long(lambda: "ended" in here.kinds())
        assert running.end().word == "done"


def test_undone_from_another_shell_while_it_runs(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    rollout = here.rollout(waves=[{"share": 1.0, "soak_s": 600.0}])
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        running = here.start(rollout)
        assert wait_long(lambda: fleet.versions() == [NEW] * 4)
        here.go_on("undo")
        assert running.end().word == "undone"
        assert fleet.versions() == [BACK] * 4


def test_what_is_done_can_be_undone_later(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        assert here.start(here.rollout()).end().word == "done"
        assert here.go_on("undo").end().word == "undone"
        assert fleet.versions() == [BACK] * 4
    assert here.words() == dict.fromkeys(NAMES, bundles[BACK].digest)


def test_a_device_that_is_away_catches_up_by_itself(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    away = NAMES[3]
    rollout = here.rollout(
        devices={"all": True, "offline": "order"}, waves=[{"share": 1.0, "soak_s": 0.2}]
    )
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        fleet.leaves(away)
        standing = here.start(rollout).end()
        assert standing.word == "done"
        assert standing.ended is not None
        assert standing.ended.late == (away,)
        assert fleet.versions(*NAMES[:3]) == [NEW] * 3
        fleet.comes(away)
        assert wait_long(lambda: fleet.versions(away) == [NEW])


def test_with_too_few_answers_it_pauses_and_a_person_has_to_look(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    rollout = here.rollout(waves=[{"share": 1.0, "soak_s": 0.2}], patience_s=1.0, enough=0.75)
    manners = dict.fromkeys(NAMES[:2], "deaf")
    with SimulatedFleet(broker.port, NAMES, bundles, manners=manners) as fleet:  # type: ignore[arg-type]
        running = here.start(rollout)
        assert wait_long(lambda: "paused" in here.kinds())
        assert "2 of 4 devices of wave 1 are well" in here.entries()[-1]["why"]
        fleet.manners.clear()
        for name in NAMES[:2]:
            fleet.comes(name)
        here.go_on("resume")
        assert running.end().word == "done"


def test_in_the_last_wave_too_whoever_is_there_is_waited_for(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    """Three of four are enough and well at once; the fourth is there, takes its time, and fails."""
    here = stage(NAMES)
    rollout = here.rollout(waves=[{"share": 1.0, "soak_s": 0.0}])
    slow = NAMES[2]
    with SimulatedFleet(broker.port, NAMES, bundles, manners={slow: "deaf"}) as fleet:
        running = here.start(rollout)
        assert wait_long(lambda: fleet.versions().count(NEW) == 3)
        assert not wait_long(lambda: "ended" in here.kinds(), 1.0)
        fleet.manners[slow] = "fails"
        fleet.comes(slow)
        assert running.end().word == "undone"
        assert NEW not in fleet.versions()


def test_another_rollout_in_the_same_folder_is_refused(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    with SimulatedFleet(broker.port, NAMES, bundles):
        here.start(here.rollout(waves=[{"share": 1.0, "soak_s": 0.0}])).end()
        with pytest.raises(RolloutError, match="give a new rollout a name and a folder"):
            here.start(here.rollout(name="another")).end()


def test_where_no_rollout_is_a_line_says_so(stage: Staged) -> None:
    here = stage(NAMES)
    with pytest.raises(RolloutError, match="there is no rollout in"):
        run.pause(here.rollout_folder)
    with pytest.raises(RolloutError, match="there is no rollout in"):
        here.go_on("resume").end()
