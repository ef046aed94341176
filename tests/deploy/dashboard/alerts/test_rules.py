"""From what is so to what people have to know: each rule as a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from deploy.dashboard.alerts.facts import ChannelFacts, DeviceFacts, Facts, Series, SlideFacts
from deploy.dashboard.alerts.rules import (
    Open,
    central_disk,
    control,
    disk,
    drifts,
    findings,
    gaps,
    ingest,
    is_over,
    positive,
    standing,
    told,
)
from deploy.dashboard.alerts.words import DEFAULT
from deploy.dashboard.queries.fleet import Listening, Worker

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
HERE = Listening(NOW, (Worker("1", NOW - timedelta(days=1), NOW, True, None, 9),))
AWAY = Listening(
    NOW, (Worker("1", NOW - timedelta(days=1), NOW - timedelta(minutes=9), False, None, 9),)
)
SLIDE = SlideFacts(
    id=7, name="S-1", device_id=3, device="lab/scope-1", disposition="positive",
    review="preliminary", running=False, fraction=0.42, low=0.31, high=0.55, nucleated=120,
    newest_at=NOW,
)  # fmt: skip
DEVICE = DeviceFacts(3, "lab/scope-1", seen_at=NOW - timedelta(minutes=8))


def ago(**more: float) -> datetime:
    return NOW - timedelta(**more)


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({}, "urgent", "Slide S-1 of lab/scope-1 is positive: 42.0 % blasts, interval 31.0 % to"),
        ({"running": True}, "urgent", "is positive so far"),
        ({"review": "amended"}, "urgent", "not signed"),
        ({"review": "signed"}, None, ""),
        ({"disposition": "review"}, None, ""),
        ({"disposition": None}, None, ""),
    ],
)
def test_a_positive_slide_is_told_until_a_person_signs(
    change: dict[str, Any], level: str | None, said: str
) -> None:
    found = positive(replace(SLIDE, **change))
    assert (found and found.level) == level
    assert said in (found.line if found else "")


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"standing": "online"}, None, ""),
        ({"standing": "unknown"}, None, ""),
        ({"standing": "degraded"}, "warning", "is degraded: its page says why"),
        ({"standing": "degraded", "screening": "S-2"}, "warning", "is degraded: its page says why"),
        ({"standing": "offline", "state_at": ago(minutes=1)}, "warning", "is offline since 27 Nov"),
        ({"standing": "offline", "screening": "S-2"}, "urgent", "while slide S-2 was in progress"),
        ({"standing": "silent"}, "urgent", "is silent: last heard 27 Nov 11:52 UTC"),
        ({"standing": "silent", "seen_at": None}, "urgent", "was never heard itself"),
    ],
)
def test_a_device_that_is_not_well_is_told_worse_while_it_screens(
    change: dict[str, Any], level: str | None, said: str
) -> None:
    found = standing(replace(DEVICE, **change))
    assert (found and found.level) == level
    assert said in (found.line if found else "")


@pytest.mark.parametrize(
    ("missing", "since", "told_of"),
    [
        (0, None, False),
        (3, ago(seconds=DEFAULT.gap_after_s - 1), False),  # still on its way
        (3, ago(seconds=DEFAULT.gap_after_s), True),
        (1, ago(days=2), True),
    ],
)
def test_results_are_missing_when_they_should_have_arrived(
    missing: int, since: datetime | None, told_of: bool
) -> None:
    found = gaps(replace(DEVICE, missing=missing, missing_since=since), NOW, DEFAULT)
    assert (found is not None) == told_of


@pytest.mark.parametrize(
    ("verdict", "due", "level"),
    [
        (None, False, None),
        ("passed", False, None),
        ("passed", True, "warning"),
        (None, True, "warning"),
        ("failed", False, "urgent"),
        ("failed", True, "urgent"),
    ],
)
def test_a_control_that_failed_is_worse_than_one_that_is_due(
    verdict: str | None, due: bool, level: str | None
) -> None:
    found = control(replace(DEVICE, control_verdict=verdict, control_run=4, control_due=due))
    assert (found and found.level) == level


@pytest.mark.parametrize(
    ("free", "level"),
    [(None, None), (2_000_000_000, None), (1_999_999_999, "warning"), (499_999_999, "urgent")],
)
def test_a_disk_is_told_while_something_still_fits(free: int | None, level: str | None) -> None:
    found = disk(replace(DEVICE, disk_free_bytes=free), DEFAULT)
    central = central_disk(Facts(NOW, HERE, central_free_bytes=free), DEFAULT)
    assert (found and found.level) == level
    assert (central and central.level) == level


def test_silence_of_the_ingest_is_told_once_there_was_one() -> None:
    assert ingest(Facts(NOW, HERE)) is None
    assert ingest(Facts(NOW, Listening(NOW, ()))) is None
    found = ingest(Facts(NOW, AWAY))
    assert found is not None
    assert found.level == "urgent"
    assert "since 27 Nov 11:51 UTC" in found.line


@pytest.mark.parametrize(("tries", "told_of"), [(0, False), (4, False), (5, True)])
def test_a_channel_that_takes_nothing_is_an_alert_itself(tries: int, told_of: bool) -> None:
    assert (told(ChannelFacts("webhook x", tries, None), DEFAULT) is not None) == told_of


def test_a_line_holds_nothing_that_a_device_wrote_for_people() -> None:
    said = standing(replace(DEVICE, standing="degraded"))
    assert said is not None
    assert not hasattr(DEVICE, "reason")  # the facts do not even hold it


@pytest.mark.parametrize(
    ("shares", "kinds"),
    [
        ([0.1] * 12 + [0.1, 0.12] * 30, []),
        ([0.3, 0.33, 0.29] * 4 + [0.1, 0.12] * 30, ["scores"]),
        ([0.01] * 12 + [0.2, 0.22] * 30, ["scores"]),  # too few is as wrong
        ([0.3] * 12 + [0.1] * 10, []),  # too short a past
        ([0.3] * 11, []),
        ([0.13] * 12 + [0.1] * 60, []),  # certain, and no matter
        ([0.9, 0.0] * 6 + [0.1, 0.12] * 30, []),  # two unusual patients are no drift
    ],
)
def test_scores_drift_against_the_devices_own_past(shares: list[float], kinds: list[str]) -> None:
    found = list(drifts(DEVICE, Series(shares=tuple(shares)), DEFAULT))
    assert [one.kind for one in found] == kinds


def test_a_stain_drifts_and_the_line_says_if_the_models_changed() -> None:
    stains = (1.2, 1.1, 1.3) * 4 + (0.4, 0.5) * 30
    shares = (0.4,) * 12 + (0.1,) * 60
    found = list(drifts(DEVICE, Series(shares=shares, stains=stains, bundles=2), DEFAULT))
    assert [one.kind for one in found] == ["scores", "stain"]
    assert "the models changed meanwhile" in found[0].line
    assert "models" not in found[1].line


def alert(kind: Any, raised_at: datetime, **more: Any) -> Open:
    return Open(1, kind, "device 3", "urgent", "x", raised_at, **{"device_id": 3, **more})


@pytest.mark.parametrize(
    ("one", "facts", "over"),
    [
        # a listener that began anew has heard nothing: no sign of life
        (alert("device", ago(minutes=1)), Facts(NOW, HERE, {3: DEVICE}), False),
        (alert("device", ago(minutes=9)), Facts(NOW, HERE, {3: DEVICE}), True),
        (alert("device", ago(minutes=9)), Facts(NOW, AWAY, {3: DEVICE}), False),
        (alert("gaps", ago(minutes=9)), Facts(NOW, AWAY, {3: DEVICE}), False),
        (alert("gaps", ago(minutes=9)), Facts(NOW, HERE, {3: DEVICE}), True),
        (alert("scores", ago(days=1)), Facts(NOW, HERE, {3: DEVICE}), False),
        (alert("scores", ago(days=1)), Facts(NOW, HERE, {3: DEVICE}, series={3: Series()}), True),
        (alert("ingest", ago(days=1), device_id=None), Facts(NOW, HERE), True),
    ],
)
def test_what_nobody_can_know_is_not_over(one: Open, facts: Facts, over: bool) -> None:
    assert is_over(one, facts, DEFAULT) == over


@pytest.mark.parametrize(
    ("free", "over"), [(2_100_000_000, False), (2_400_000_000, True), (None, False)]
)
def test_a_disk_at_its_limit_does_not_flicker(free: int | None, over: bool) -> None:
    facts = Facts(NOW, HERE, {3: replace(DEVICE, disk_free_bytes=free)})
    assert is_over(alert("disk", ago(days=1)), facts, DEFAULT) == over


def test_while_nobody_listens_nothing_new_is_said_of_devices() -> None:
    ill = replace(DEVICE, standing="offline", missing=3, missing_since=ago(days=1))
    of_then = Facts(NOW, AWAY, {3: ill}, {7: SLIDE})
    assert {one.kind for one in findings(of_then, DEFAULT)} == {"ingest", "positive"}
    now = replace(of_then, heard=HERE)
    assert {one.kind for one in findings(now, DEFAULT)} == {"device", "gaps", "positive"}
