"""Drift: what is desired against what is reported, silence, clocks, names borne twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from deploy.registry.drift import Limits, drift, is_listening
from deploy.registry.record import Desired, Device, Listened, Reported
from tests.deploy.registry.fleet import NEW, NOW, OLD, enrolled

LISTENED = Listened(since=NOW - timedelta(hours=1), until=NOW)
WELL = Reported(state="online", version="1.0.0", bundle=OLD, seen_at=NOW, skew_s=0.1)


def points(listened: Listened | None = LISTENED, **changes: Any) -> dict[str, str]:
    reported = WELL.model_copy(update=changes.pop("reported", {}))
    values = {"name": "lab/scope-1", "enrolment": enrolled(), "reported": reported}
    device = Device(**(values | changes))
    return {one.point: one.line for one in drift(device, listened, NOW, Limits())}


def ago(**span: float) -> dict[str, Any]:
    return {"seen_at": NOW - timedelta(**span)}


def desired(**wish: str) -> Desired:
    return Desired(**{"at": NOW, "by": "rollout 7", **wish})


def test_a_device_as_it_should_be_has_none() -> None:
    assert points(desired=desired(bundle=OLD, version="1.0.0")) == {}
    assert points() == {}


def test_another_bundle_or_daemon_than_desired() -> None:
    found = points(desired=desired(bundle=NEW, version="1.1.0"))
    assert found == {
        "bundle": "shall run bundle 222222222222, reports 111111111111",
        "version": "shall run daemon 1.1.0, reports 1.0.0",
    }


def test_a_device_that_was_never_heard_has_not_what_is_desired() -> None:
    found = points(desired=desired(bundle=NEW), reported={"bundle": None, "seen_at": None})
    assert found["bundle"].endswith("reports none")
    assert found["silent"] == "was never heard, in 60 min of listening"


@pytest.mark.parametrize(
    ("seen", "line"),
    [({"minutes": 4}, None), ({"minutes": 40}, "40 min"), ({"days": 3}, "3 d")],
)
def test_silence(seen: dict[str, float], line: str | None) -> None:
    expected = {} if line is None else {"silent": f"is silent for {line}"}
    assert points(reported=ago(**seen)) == expected


def test_where_nobody_listened_a_silence_says_nothing() -> None:
    assert points(None, reported=ago(days=3)) == {}
    just_begun = Listened(since=NOW - timedelta(seconds=9), until=NOW)
    assert points(just_begun, reported=ago(days=3)) == {}
    ended = Listened(since=NOW - timedelta(hours=2), until=NOW - timedelta(hours=1))
    assert points(ended, reported=ago(hours=1)) == {}
    assert "silent" in points(ended, reported=ago(hours=1, minutes=6))
    assert is_listening(LISTENED, NOW)
    assert not is_listening(ended, NOW)
    assert not is_listening(None, NOW)


def test_a_device_enrolled_a_moment_ago_is_not_silent_yet() -> None:
    new = enrolled(since=NOW - timedelta(seconds=60))
    assert points(enrolment=new, reported={"seen_at": None}) == {}


@pytest.mark.parametrize(
    ("reported", "line"),
    [
        ({"skew_s": -7200.0}, "its clock is 2 h behind"),
        ({"skew_s": 6.0}, "its clock is 6 s ahead"),
        ({"clock_synchronised": False}, "no time server sets its clock"),
    ],
)
def test_clocks(reported: dict[str, Any], line: str) -> None:
    assert points(reported=reported) == {"clock": line}


def test_a_name_borne_twice_is_spoken_of_for_a_day() -> None:
    assert "duplicate" in points(reported={"doubled_at": NOW - timedelta(hours=23)})
    assert points(reported={"doubled_at": NOW - timedelta(hours=25)}) == {}


def test_offline_and_a_certificate_that_does_not_count() -> None:
    found = points(enrolment=enrolled(standing="revoked"), reported={"state": "offline"})
    assert found == {"certificate": "its certificate is revoked", "offline": "is offline"}
