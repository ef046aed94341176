"""The plan: who would change, from what to what, in which wave, and why others are left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deploy.registry.record import Device, Enrolment, Listened, Reported
from deploy.rollout.errors import RolloutError
from deploy.rollout.listing import plan_lines
from deploy.rollout.plan import Known, Plan, make_plan
from deploy.rollout.record import Seen
from deploy.rollout.settings import Rollout
from deploy.rollout.targets import Target, targets_of
from deploy.trust.inspect import Offered
from edge_daemon.contract.target import Compatibility, TargetAbout
from edge_daemon.contract.update import ReleaseStanding
from tests.deploy.registry.fleet import NOW, enrolled
from tests.deploy.rollout.fleet import BACK, BUNDLES, NEW, OLD
from tests.deploy.rollout.test_gates import standing

ALL = tuple(BUNDLES.values())


def rollout(**changes: Any) -> Rollout:
    values: dict[str, Any] = {
        "name": "paper-0.2.0",
        "repository": "fleet-repo",
        "bundle": {"name": "paper", "version": NEW, "back_to": BACK},
        "devices": {"all": True},
    }
    return Rollout.model_validate(values | changes)


def known(
    *names: str,
    reported: dict[str, dict[str, Any]] | None = None,
    enrolments: dict[str, Enrolment] | None = None,
    silent: tuple[str, ...] = (),
    without_updater: tuple[str, ...] = (),
    strangers: tuple[str, ...] = (),
) -> Known:
    fleet, seen = {}, {}
    for name in names:
        is_: dict[str, Any] = {
            "state": "online",
            "version": "1.0.0",
            "bundle": BUNDLES[OLD].digest,
            "seen_at": NOW - timedelta(hours=2 if name in silent else 0),
        }
        is_ |= (reported or {}).get(name, {})
        one = Reported(**is_)
        enrolment = (enrolments or {}).get(name, enrolled())
        fleet[name] = Device(name=name, enrolment=enrolment, reported=one)
        update = None if name in without_updater else standing()
        seen[name] = Seen(reported=one, update=update)
    listened = Listened(since=NOW - timedelta(hours=9), until=NOW)
    return Known(fleet, seen, strangers, listened, NOW)


def planned(of: Known, bundles: tuple[Target, ...] = ALL, **changes: Any) -> Plan:
    return make_plan(rollout(**changes), bundles, of)


FLEET = [f"{site}/scope-{n}" for site in ("haematology", "ward") for n in range(1, 5)]


def test_a_dry_run_says_all_of_it() -> None:
    wanted = rollout(
        devices={"all": True, "exclude": ["ward/scope-4"]},
        waves=[
            {"devices": ["haematology/scope-1"], "look_on": True, "soak_s": 86400},
            {"by_site": True, "soak_s": 3600},
        ],
    )
    of = known(
        *FLEET,
        "ward/scope-9",
        reported={
            "haematology/scope-3": {"bundle": BUNDLES[NEW].digest},
            "haematology/scope-4": {"state": "offline"},
            "ward/scope-2": {"state": None},
        },
        enrolments={"ward/scope-9": enrolled(standing="revoked")},
        silent=("ward/scope-3",),
        strangers=("ward/scope-7",),
    )
    assert list(plan_lines(wanted, make_plan(wanted, ALL, of))) == [
        "rollout paper-0.2.0: paper-0.2.0 on 3 devices",
        (
            "wave 1 of 3, named devices, first as a candidate that looks on; "
            "each well for 1 d before the next"
        ),
        "  haematology/scope-1: paper-0.1.0 -> paper-0.2.0",
        "wave 2 of 3, site haematology; each well for 1 h before the next",
        "  haematology/scope-2: paper-0.1.0 -> paper-0.2.0",
        "wave 3 of 3, site ward; each well for 1 h before the next",
        "  ward/scope-1: paper-0.1.0 -> paper-0.2.0",
        "left out: haematology/scope-3: it uses paper-0.2.0 already",
        "left out: haematology/scope-4: it is offline",
        "left out: ward/scope-2: it was never heard",
        "left out: ward/scope-3: it is silent for 2 h",
        "left out: ward/scope-4: excluded by the file",
        "left out: ward/scope-7: it speaks and is not enrolled",
        "left out: ward/scope-9: its certificate is revoked",
        "a wave is over when 75% of it are well",
        "on a stop, every device that has it or may take it goes back to paper-0.2.1",
    ]


ONE = "ward/scope-1"


def left_out(of: Known, bundles: tuple[Target, ...] = ALL, **changes: Any) -> str:
    return planned(of, bundles, **changes).left_out[ONE]


def test_who_cannot_be_brought_back_is_left_out() -> None:
    foreign = known(ONE, reported={ONE: {"bundle": "sha256:" + "9" * 64}})
    assert "bundle 999999999999, which the repository does not have" in left_out(foreign)
    older = Target(name="paper", version="0.0.9", digest="sha256:" + "8" * 64)
    before = known(ONE, reported={ONE: {"bundle": older.digest}})
    assert left_out(before, (*ALL, older)) == (
        "it uses paper-0.0.9, and paper-0.2.1 holds the content of paper-0.1.0"
    )


def test_where_nobody_wants_a_way_back_none_is_asked_for() -> None:
    foreign = known(ONE, reported={ONE: {"bundle": "sha256:" + "9" * 64}})
    plan = planned(foreign, bundle={"name": "paper", "version": NEW, "back_to": "none"})
    assert plan.devices == (ONE,)
    assert any("no way back" in line for line in plan_lines(rollout(), plan))


def test_a_content_that_was_brought_back_before_is_the_same_content() -> None:
    again = Target(name="paper", version="0.1.5", digest="sha256:" + "7" * 64, reissue_of=OLD)
    plan = planned(known(ONE, reported={ONE: {"bundle": again.digest}}), (*ALL, again))
    assert plan.runs == {ONE: "paper-0.1.5"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"reported": {ONE: {"bundle": BUNDLES[BACK].digest}}}, "paper-0.2.1, which is newer"),
        ({"without_updater": (ONE,)}, "no updater of it was heard"),
        ({"enrolments": {ONE: enrolled(standing="expired")}}, "its certificate is expired"),
    ],
)
def test_reasons(changes: dict[str, Any], why: str) -> None:
    assert why in left_out(known(ONE, **changes))


def test_what_does_not_fit_is_left_out() -> None:
    demanding = BUNDLES[NEW].model_copy(update={"compatibility": Compatibility(min_daemon="2.0.0")})
    bundles = (BUNDLES[OLD], demanding, BUNDLES[BACK])
    assert left_out(known(ONE), bundles) == (
        "it does not fit: it needs daemon 2.0.0 or newer, and this one is 1.0.0"
    )


def test_those_who_are_away_may_be_ordered_too() -> None:
    of = known(ONE, reported={ONE: {"state": "offline"}})
    assert planned(of, devices={"all": True, "offline": "order"}).devices == (ONE,)


def test_sites_and_names_are_chosen_and_the_rest_is_not_spoken_of() -> None:
    plan = planned(known(*FLEET), devices={"sites": ["ward"], "names": ["haematology/scope-2"]})
    assert set(plan.devices) == {*FLEET[4:], "haematology/scope-2"}
    assert plan.left_out == {}


def test_shares_count_what_went_before_and_the_lot_is_the_same_each_time() -> None:
    names = [f"ward/scope-{n}" for n in range(100)]
    waves = [{"count": 1}, {"share": 0.1}, {"share": 0.5}, {"share": 1.0}]
    plan = planned(known(*names), waves=waves)
    assert [len(wave.devices) for wave in plan.waves] == [1, 9, 40, 50]
    assert sorted(plan.devices) == sorted(names)
    assert plan == planned(known(*reversed(names)), waves=waves)
    assert plan.waves[1].title == "up to 10% of all"


def test_who_is_in_no_wave_is_said() -> None:
    plan = planned(known(*FLEET), waves=[{"count": 1}, {"share": 0.5}])
    assert len(plan.devices) == 4
    assert set(plan.left_out.values()) == {"it is in no wave: end with share = 1"}


def test_where_nothing_would_change_it_says_so() -> None:
    of = known(ONE, reported={ONE: {"bundle": BUNDLES[NEW].digest}})
    assert "nothing would change" in list(plan_lines(rollout(), planned(of)))


RELEASES = tuple(
    Target(kind="daemon", name="leukoedge", version=version)
    for version in ("1.0.0", "1.1", "1.1.1")
)


def planned_daemon(
    of: Known, releases: tuple[Target, ...] = RELEASES, **daemon: Any
) -> tuple[Rollout, Plan]:
    wanted = Rollout.model_validate(
        {
            "name": "daemon-1.1",
            "repository": "fleet-repo",
            "daemon": {"version": "1.1", "back_to": "1.1.1"} | daemon,
            "devices": {"all": True},
            "waves": [{"count": 1, "soak_s": 3600}, {"share": 1.0, "soak_s": 0}],
        }
    )
    return wanted, make_plan(wanted, releases, of)


def with_versions(of: Known, *but: str, current: str | None = "1.0.0") -> Known:
    """Their updaters bring versions of the daemon, but those of ``but``."""
    told = ReleaseStanding(
        order=None, step=None, desired=None, runs=current, waits_for=None, refused=None
    )
    seen = {
        name: one if name in but else replace(one, update=standing(daemon=told))
        for name, one in of.seen.items()
    }
    return replace(of, seen=seen)


def test_a_dry_run_of_a_daemon_says_from_which_version_to_which() -> None:
    names = [f"ward/scope-{n}" for n in range(1, 6)]
    reported = {
        names[1]: {"version": "1.1.0"},
        names[2]: {"version": "1.2.0"},
        names[3]: {"version": "0.9.0"},
    }
    of = with_versions(known(*names, reported=reported), names[4])
    lines = list(plan_lines(*planned_daemon(of)))
    assert lines[0] == "rollout daemon-1.1: daemon 1.1 on 2 devices"
    assert {line for line in lines if "->" in line} == {
        "  ward/scope-1: daemon 1.0.0 -> daemon 1.1",
        "  ward/scope-4: daemon 0.9.0 -> daemon 1.1",
    }
    assert lines[-6:] == [
        "left out: ward/scope-2: it runs daemon 1.1 already",
        "left out: ward/scope-3: it runs daemon 1.2.0, which is newer",
        "left out: ward/scope-5: its updater brings no daemon: set [update] versions there",
        "a wave is over when 75% of it are well",
        "on a stop, every device that has it or may take it goes back to daemon 1.1.1",
        "that daemon 1.1.1 was built from the old source cannot be checked here",
    ]


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (known(ONE, without_updater=(ONE,)), "no updater of it was heard"),
        (with_versions(known(ONE), current=None), "its updater finds no version in use"),
        (
            with_versions(known(ONE, reported={ONE: {"version": None}})),
            "there is no way back to that",
        ),
    ],
)
def test_who_is_left_out_of_a_daemon_is_said(of: Known, why: str) -> None:
    assert why in planned_daemon(of)[1].left_out[ONE]


def test_a_daemon_that_cannot_follow_the_one_that_runs_is_left_out() -> None:
    demanding = RELEASES[1].model_copy(update={"compatibility": Compatibility(min_daemon="1.0.5")})
    plan = planned_daemon(with_versions(known(ONE)), (demanding, RELEASES[2]))[1]
    assert "it needs daemon 1.0.5 or newer, and this one is 1.0.0" in plan.left_out[ONE]


def test_a_way_back_that_cannot_follow_is_none() -> None:
    later = RELEASES[2].model_copy(update={"compatibility": Compatibility(min_daemon="1.1.5")})
    with pytest.raises(RolloutError, match=r"back_to daemon 1.1.1 cannot follow daemon 1.1: it"):
        planned_daemon(with_versions(known(ONE)), (RELEASES[1], later))
    plan = planned_daemon(with_versions(known(ONE)), back_to="none")[1]
    assert plan.back is None


def test_of_a_daemon_only_what_brings_all_that_it_needs_can_be_ordered() -> None:
    """Several archives of a version are for several kinds of machine."""

    def offer(file: str, version: str, **fits: Any) -> Offered:
        about = TargetAbout(
            kind="daemon", name="leukoedge", version=version, compatibility=Compatibility(**fits)
        )
        return Offered(f"daemon/{file}", about)

    found = targets_of(
        [
            offer("leukoedge-1.10-py3-none-any.whl", "1.10"),
            offer("leukoedge-1.9-cp310-aarch64.tar", "1.9", platform="linux_aarch64"),
            offer("leukoedge-1.8-cp310-aarch64.tar", "1.8", min_daemon="1.6"),
            offer("leukoedge-1.8-cp312-x86_64.tar", "1.8", min_daemon="1.7"),
        ],
        "daemon",
    )
    fits = [(one.version, one.compatibility) for one in found]
    assert fits == [("1.8", Compatibility(min_daemon="1.6")), ("1.9", Compatibility())]
    with pytest.raises(RolloutError, match=r"no daemon 1.1: add it with --wheelhouse and publish"):
        planned_daemon(known(ONE), found)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bundle": {"name": "paper", "version": "0.9.0", "back_to": "0.9.1"}}, "no paper-0.9.0"),
        ({"bundle": {"name": "paper", "version": OLD, "back_to": NEW}}, "holds no older content"),
        ({"devices": {"names": ["ward/scope-99"]}}, "device ward/scope-99 is not in the registry"),
        ({"devices": {"sites": ["wrad"]}}, "no device of site wrad is in the registry"),
        (
            {"devices": {"all": True, "exclude": ["ward/scop-1"]}},
            "device ward/scop-1 is not in the registry",
        ),
    ],
)
def test_what_is_not_there_is_refused_in_a_line_each(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RolloutError, match=told) as refused:
        planned(known(*FLEET), **changes)
    assert len(str(refused.value).splitlines()) == 1
