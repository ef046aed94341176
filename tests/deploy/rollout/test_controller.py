"""Whole rollouts with simulated devices and a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from deploy.broker.mosquitto import SAVED_EVERY_S
from deploy.registry.record import Desired as Wished
from deploy.registry.store import Registry
from deploy.rollout import run, watching
from deploy.rollout.errors import RolloutError
from deploy.rollout.hearing import Hearing
from deploy.rollout.listing import device_word
from deploy.rollout.targets import Target
from deploy.rollout.wire import SAFE_AFTER_S
from edge_daemon.contract.messages import Desired, DesiredBundle
from edge_daemon.delivery.link import open_link
from edge_daemon.delivery.settings import BrokerSettings
from tests.deploy.registry.fleet import NOW, health
from tests.deploy.rollout.fleet import BACK, NEW, OLD, Manner, SimulatedFleet, wait_long
from tests.deploy.rollout.process import roll_out
from tests.deploy.rollout.stage import Stage
from tests.mosquitto import Mosquitto
from tests.nursery import Child

NAMES = [f"{site}/scope-{number}" for site in ("lab", "ward") for number in (1, 2)]
Staged = Callable[[list[str]], Stage]
Bundles = dict[str, Target]
CLOCK_S = 4
LookingOn: TypeAlias = tuple[Stage, SimulatedFleet, str]
"""A stage, its fleet, and the canary."""


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


def test_what_was_ordered_of_the_daemon_is_ordered_still(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    """One retained document orders both."""
    here = stage(NAMES)
    daemon = DesiredBundle(name="leukoedge", version="1.9.0")
    site, device = NAMES[0].split("/")
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        fleet.says(Desired(site=site, device=device, ts=NOW, id="ab" * 16, daemon=daemon))
        assert wait_long(lambda: fleet.orders[NAMES[0]])
        assert here.start(here.rollout()).end().word == "done"
        assert fleet.versions() == [NEW] * 4
        given, *ours = fleet.orders[NAMES[0]]
        carried = given.first(daemon)
        assert ours
        assert all(order.daemon == carried for order in ours)
        assert not any(order.daemon for name in NAMES[1:] for order in fleet.orders[name])
        assert here.go_on("undo").end().word == "undone"
        assert fleet.orders[NAMES[0]][-1].daemon == carried
        assert fleet.devices[NAMES[0]].tried == ["1.9.0"], "once"


def test_begun_again_after_a_stop_nothing_is_decided_before_the_fleet_was_heard(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    rollout = here.rollout(undo="by_hand", waves=[{"share": 1.0, "soak_s": 0.2}])
    with SimulatedFleet(broker.port, NAMES, bundles, manners={NAMES[0]: "fails"}) as fleet:
        stopped = here.start(rollout).end()
        assert stopped.word == "stopped"
        assert wait_long(lambda: fleet.versions().count(NEW) == 3)
        given = {name: one.order.id for name, one in stopped.given.items()}
        assert wait_long(lambda: {n: fleet.orders[n][-1].id for n in NAMES} == given)
        before = {name: list(orders) for name, orders in fleet.orders.items()}
        assert here.start(rollout).end().word == "stopped"
        kept = {name: orders[-1] for name, orders in fleet.orders.items()}
        assert kept == {name: orders[-1] for name, orders in before.items()}


def test_who_was_not_heard_of_yet_is_not_taken_for_one_that_does_not_have_it(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    """A broker that is busy says nothing for a while, in the midst of what it keeps."""
    here = stage(NAMES)
    rollout = here.rollout(undo="by_hand", waves=[{"share": 1.0, "soak_s": 0.0}])
    manners: dict[str, Manner] = {NAMES[0]: "fails"}
    with SimulatedFleet(broker.port, NAMES, bundles, manners=manners, every_s=None) as fleet:
        stopped = here.start(rollout).end()
        assert stopped.word == "stopped"
        taken = next(name for name, given in stopped.given.items() if given.purpose == "active")
        fleet.forgotten(taken)
        again = here.start(rollout)
        assert not wait_long(lambda: again.standing is not None, 1.5)
        fleet.says_how_it_is(taken)
        standing = again.end()
    assert (standing.word, standing.given[taken].purpose) == ("stopped", "active")


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


def test_an_order_that_waits_for_somebody_outlives_a_broker_that_saves_by_the_clock(
    stage: Staged, mosquitto: Path, bundles: Bundles, tmp_path: Path
) -> None:
    """As where devices wait for receipts. Killed after the rollout, nobody says the order again."""
    saving = f"autosave_on_changes false\nautosave_interval {CLOCK_S}\npersistence true\n"
    place = tmp_path / "by-the-clock"
    extra = f"{saving}persistence_location {place}/"
    with Mosquitto(mosquitto, place, persistent=False, extra=extra) as clocked:
        here = Stage(tmp_path, clocked.url, stage([]).repository, NAMES)
        here.safe_after_s = CLOCK_S + 2.0
        rollout = here.rollout(
            devices={"all": True, "offline": "order"}, waves=[{"share": 1.0, "soak_s": 0.0}]
        )
        with SimulatedFleet(clocked.port, NAMES, bundles) as fleet:
            fleet.leaves(NAMES[3])
            assert here.start(rollout).end().word == "done"
            clocked.kill()
            clocked.start()
        kept = Hearing({})
        link = open_link(BrokerSettings.from_url(clocked.url), "newcomer", on_arrival=kept.take)
        link.subscribe("leukoedge/v1/+/+/desired")
        assert wait_long(lambda: link.pump(0.1) and NAMES[3] in kept.orders)
        link.close()
    assert kept.orders[NAMES[3]].bundle == DesiredBundle(name="paper", version=NEW)


def test_the_broker_as_we_write_it_has_saved_by_then() -> None:
    assert SAFE_AFTER_S > SAVED_EVERY_S + 2.0


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


def test_a_broker_that_forgot_everything_is_told_again(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    manners = dict.fromkeys(NAMES, "deaf")
    with SimulatedFleet(broker.port, NAMES, bundles, manners=manners) as fleet:  # type: ignore[arg-type]
        rollout = here.rollout(waves=[{"share": 1.0, "soak_s": 0.2}])
        running = here.start(rollout)
        assert wait_long(lambda: all(fleet.orders[name] for name in NAMES))
        broker.kill()
        for file in broker.folder.glob("*.db"):
            file.unlink()
        before = dict(fleet.orders)
        fleet.manners.clear()
        broker.start()
        assert running.end().word == "done"
        assert fleet.versions() == [NEW] * 4
        assert fleet.orders == before, "the same orders, not others"


def test_what_others_say_in_the_name_of_a_device_changes_nothing(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    """A topic that is not the message's, a device that is not enrolled, and no message at all."""
    here = stage(NAMES)
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        rollout = here.rollout(waves=[{"share": 1.0, "soak_s": 1.0}])
        running = here.start(rollout)
        assert wait_long(lambda: fleet.versions() == [NEW] * 4)
        hot = health(NAMES[1], temperatures_c={"gpu": 120.0}, bundle=bundles[NEW].digest, seq=9999)
        fleet.says(hot, f"leukoedge/v1/{NAMES[0]}/health")
        fleet.says(health("lab/stranger", temperatures_c={"gpu": 120.0}))
        fleet._client.publish(f"leukoedge/v1/{NAMES[0]}/health", b"{").wait_for_publish(30)
        assert running.end().word == "done"


def test_what_the_broker_keeps_already_is_not_said_again(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    """A thousand orders that change nothing are a minute's work for a broker."""
    here = stage(NAMES)
    rollout = here.rollout(waves=[{"share": 1.0, "soak_s": 0.0}])
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        assert here.start(rollout).end().word == "done"
        fleet.forgets_its_order(NAMES[1])
        heard = fleet.orders_heard
        assert here.start(rollout).end().word == "done"
        assert wait_long(lambda: fleet.orders_heard > heard)
        assert not wait_long(lambda: fleet.orders_heard > heard + 1, 0.5)


def test_who_is_ordered_something_else_meanwhile_is_left_to_that(
    stage: Staged, broker: Mosquitto, bundles: Bundles
) -> None:
    here = stage(NAMES)
    rollout = here.rollout(waves=[{"share": 1.0, "soak_s": 1.5}])
    with SimulatedFleet(broker.port, NAMES, bundles, manners={NAMES[3]: "fails"}) as fleet:
        fleet.manners[NAMES[3]] = "deaf"
        running = here.start(rollout)
        assert wait_long(lambda: fleet.versions(*NAMES[:3]) == [NEW] * 3)
        site, device = NAMES[3].split("/")
        other = Desired(
            site=site,
            device=device,
            id="c" * 32,
            bundle=DesiredBundle(name="paper", version=BACK),
        )
        fleet.says(other)
        assert running.end().word == "done"
        assert fleet.orders[NAMES[3]][-1] == other


def test_begun_again_a_rollout_that_is_done_says_nothing_over_a_later_order(
    stage: Staged, broker: Mosquitto, bundles: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what was heard is judged only later."""
    here = stage(NAMES)
    rollout = here.rollout(waves=[{"share": 1.0, "soak_s": 0.0}])
    with SimulatedFleet(broker.port, NAMES, bundles) as fleet:
        here.start(rollout).end()
        site, device = NAMES[0].split("/")
        bundle = DesiredBundle(name="paper", version=BACK)
        fleet.says(Desired(site=site, device=device, id="c" * 32, bundle=bundle))
        assert wait_long(lambda: fleet.versions(NAMES[0]) == [BACK])
        with Registry(here.registry) as book:
            wish = Wished(bundle=bundles[BACK].digest, at=NOW, by="somebody")
            book.desire({NAMES[0]: wish})
        monkeypatch.setattr(watching, "JUDGE_EVERY_S", 1.0)

        assert here.start(rollout).end().word == "done"

        assert [order.id for order in fleet.orders[NAMES[0]]][-1] == "c" * 32
        assert fleet.versions(NAMES[0]) == [BACK]
    assert here.words()[NAMES[0]] == bundles[BACK].digest


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
