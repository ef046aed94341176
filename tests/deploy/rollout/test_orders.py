"""What devices are ordered, beside a broker that forgets and others who order something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.broker.mosquitto import SAVED_EVERY_S
from deploy.registry.record import Desired as Wished
from deploy.registry.store import Registry
from deploy.rollout import watching
from deploy.rollout.hearing import Hearing
from deploy.rollout.wire import SAFE_AFTER_S
from edge_daemon.contract.messages import Desired, DesiredBundle
from edge_daemon.delivery.link import open_link
from edge_daemon.delivery.settings import BrokerSettings
from tests.deploy.registry.fleet import NOW, health
from tests.deploy.rollout.fleet import BACK, NEW, Manner, SimulatedFleet, wait_long
from tests.deploy.rollout.stage import NAMES, Bundles, Stage, Staged
from tests.mosquitto import Mosquitto

CLOCK_S = 4


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
