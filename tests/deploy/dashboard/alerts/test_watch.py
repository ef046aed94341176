"""Alerts are raised once, become worse, are acknowledged, and are over; on both databases."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from deploy.dashboard.access import users
from deploy.dashboard.alerts import book, lease
from deploy.dashboard.alerts.errors import AlertError
from deploy.dashboard.alerts.message import AlertMessage
from deploy.dashboard.alerts.words import DEFAULT
from deploy.dashboard.changes import Change, Changes
from deploy.dashboard.database.tables import alert_events, audit, slides
from deploy.dashboard.review.anchor import verify_all
from tests.deploy.dashboard.alerts.conftest import QUICK, Fleet
from tests.deploy.dashboard.fleet_day import listens
from tests.deploy.dashboard.speakers import Speaker


@pytest.fixture
def user(fleet: Fleet) -> users.User:
    with fleet.database.writing() as connection:
        return users.add(connection, "rosa", "reviewer", "six words drawn by some dice")


def test_a_device_that_dies_is_told_once_and_is_over_when_it_is_back(
    fleet: Fleet, dies: Callable[[str], None]
) -> None:
    watch = fleet.watch()
    assert watch.round() == []
    dies("scope-1")
    fleet.pass_time(seconds=1)
    watch.round()
    watch.round()
    (one,) = fleet.open
    assert (one.kind, one.level, one.device) == ("device", "warning", "scope-1")

    fleet.pass_time(minutes=2)
    fleet.say(fleet.voices["scope-1"].status(fleet.now))
    watch.round()
    assert fleet.open == ()
    assert [(row.id, row.cleared_at) for row in fleet.past] == [(one.id, fleet.now)]
    assert fleet.events == [(one.id, "raised"), (one.id, "cleared")]


def test_a_device_that_only_flickers_is_one_alert(
    fleet: Fleet, dies: Callable[[str], None]
) -> None:
    watch = fleet.watch(limits=replace(QUICK, settle_s=20.0))
    for _ in range(3):
        dies("scope-1")
        watch.round()
        fleet.pass_time(seconds=5)
        fleet.say(fleet.voices["scope-1"].status(fleet.now))
        watch.round()
        fleet.pass_time(seconds=5)
    assert [event for _, event in fleet.events] == ["raised"]
    fleet.pass_time(seconds=30)
    watch.round()
    assert [event for _, event in fleet.events] == ["raised", "cleared"]


def test_silence_counts_only_while_somebody_listens(fleet: Fleet) -> None:
    watch = fleet.watch()
    fleet.pass_time(minutes=20, listened=False)
    watch.round()
    assert [one.kind for one in fleet.open] == ["ingest"]

    fleet.pass_time(minutes=1)
    watch.round()
    fleet.say(fleet.voices["scope-1"].health(fleet.now))
    watch.round()
    assert [(one.kind, one.device, one.level) for one in fleet.open] == [
        ("device", "scope-2", "urgent")
    ]


def test_a_listener_that_begins_anew_makes_nobody_well(fleet: Fleet) -> None:
    watch = fleet.watch()
    fleet.pass_time(minutes=20)
    watch.round()
    assert len(fleet.open) == 2
    fleet.now += timedelta(minutes=1)
    listens(fleet.database, fleet.now, since=fleet.now)
    watch.round()
    assert len(fleet.open) == 2


def test_what_becomes_worse_asks_again(
    fleet: Fleet, user: users.User, dies: Callable[[str], None]
) -> None:
    watch = fleet.watch()
    fleet.say(fleet.voices["scope-1"].status(fleet.now, "degraded", "the lamp flickers"))
    watch.round()
    (one,) = fleet.open
    with fleet.database.writing() as connection:
        book.acknowledge(connection, user, one.id, " on\x00 my way ", fleet.now, "10.0.0.9")
    assert fleet.open[0].acknowledged_by == "rosa"
    assert fleet.open[0].note == "on my way"

    fleet.say(Speaker("lab", "scope-1").summary())  # a slide is in progress
    dies("scope-1")
    watch.round()
    (worse,) = fleet.open
    assert worse.id == one.id
    assert worse.level == "urgent"
    assert worse.acknowledged_by is None
    assert [event for _, event in fleet.events] == ["raised", "acknowledged", "worse"]


def test_acknowledging_is_in_the_audit_and_once(fleet: Fleet, user: users.User) -> None:
    watch = fleet.watch()
    fleet.pass_time(minutes=20)
    watch.round()
    one, other = fleet.open
    with fleet.database.writing() as connection:
        book.acknowledge(connection, user, one.id, None, fleet.now)
        with pytest.raises(AlertError, match="rosa has acknowledged this before"):
            book.acknowledge(connection, user, one.id, None, fleet.now)
        with pytest.raises(AlertError, match="no alert 99"):
            book.acknowledge(connection, user, 99, None, fleet.now)
    fleet.say(*(voice.health(fleet.now) for voice in fleet.voices.values()))
    watch.round()
    with fleet.database.writing() as connection:
        with pytest.raises(AlertError, match="is over"):
            book.acknowledge(connection, user, other.id, None, fleet.now)
        verify_all(connection)
        document = json.loads(connection.scalar(select(audit.c.document)) or "{}")
    assert (document["user_name"], document["what"]) == ("rosa", "alert acknowledged")
    assert "is silent" in document["line"]


def test_a_positive_slide_is_over_when_a_person_signed(fleet: Fleet) -> None:
    watch = fleet.watch()
    speaker = Speaker("lab", "scope-1")
    fleet.say(speaker.summary("S-9", blasts=30, nucleated=40, disposition="positive"))
    watch.round()
    (one,) = fleet.open
    assert (one.kind, one.slide, one.level) == ("positive", "S-9", "urgent")
    fleet.say(speaker.summary("S-9", blasts=33, nucleated=44, disposition="positive"))
    watch.round()
    assert "of 44 nucleated" in fleet.open[0].line
    assert fleet.events == [(one.id, "raised")]  # more cells are no news

    with fleet.database.writing() as connection:
        connection.execute(update(slides).values(review="signed"))
    watch.round()
    assert fleet.open == ()


def test_an_old_slide_raises_nothing_and_what_was_raised_stays(fleet: Fleet) -> None:
    watch = fleet.watch()
    speaker = Speaker("lab", "scope-1")
    fleet.say(speaker.summary("S-1", blasts=30, nucleated=40, disposition="positive"))
    watch.round()
    fleet.pass_time(days=DEFAULT.positive_days + 1)
    watch.round()
    assert "positive" in {one.kind for one in fleet.open}
    other = fleet.watch()
    assert other.round() == []


def test_gaps_are_over_when_the_results_arrive(fleet: Fleet) -> None:
    watch = fleet.watch()
    speaker = Speaker("lab", "scope-1")
    first, late, last = speaker.frame(), speaker.frame(), speaker.frame()
    fleet.say(first, last)
    fleet.pass_time(seconds=5)
    watch.round()
    assert fleet.open == ()
    fleet.pass_time(seconds=30)
    watch.round()
    assert [(one.kind, one.level) for one in fleet.open] == [("gaps", "warning")]
    fleet.say(late)
    watch.round()
    assert fleet.open == ()


def test_controls_and_disks_are_told(fleet: Fleet) -> None:
    watch = fleet.watch()
    voice = fleet.voices["scope-2"]
    fleet.say(
        voice.control(fleet.now, 1, "failed", "not as expected"),
        voice.health(fleet.now, disk_free_bytes=400_000_000),
    )
    watch.round()
    assert {(one.kind, one.level) for one in fleet.open} == {
        ("control", "urgent"),
        ("disk", "urgent"),
    }
    fleet.say(
        voice.control(fleet.now, 2, "passed", "as expected"),
        voice.health(fleet.now, disk_free_bytes=900_000_000),
    )
    watch.round()
    assert [(one.kind, one.level) for one in fleet.open] == [("disk", "warning")]


def test_two_that_watch_at_once_raise_once(fleet: Fleet, dies: Callable[[str], None]) -> None:
    dies("scope-1")
    watches = [fleet.watch(name) for name in ("one", "two", "three")]
    barrier = threading.Barrier(3)

    def rounds(number: int) -> None:
        barrier.wait()
        for _ in range(5):
            watches[number].round()

    threads = [threading.Thread(target=rounds, args=(number,)) for number in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert Counter(event for _, event in fleet.events) == {"raised": 1}
    assert sum(one.leads for one in watches) == 1


def test_two_that_both_believe_they_watch_raise_once(
    fleet: Fleet, dies: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "take", lambda *_arguments: True)
    dies("scope-1")
    test_round = [fleet.watch(name).round for name in ("one", "two", "three", "four")]
    threads = [threading.Thread(target=one) for one in test_round]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert [event for _, event in fleet.events] == ["raised"]


def test_another_takes_over_when_one_is_gone(fleet: Fleet) -> None:
    one, two = fleet.watch("one"), fleet.watch("two")
    one.round()
    two.round()
    assert (one.leads, two.leads) == (True, False)
    fleet.pass_time(seconds=lease.LASTS_S + 1)
    fleet.watch("two").round()
    with fleet.database.reading() as connection:
        assert lease.holder(connection, fleet.now) == "two"


def test_a_round_that_changes_nothing_writes_nothing(fleet: Fleet) -> None:
    watch = fleet.watch()
    watch.round()
    with Changes(fleet.database) as changes:
        changes.wait(0.1)
        watch.round()
        assert changes.wait(0.3) == ()


def test_pages_are_told_of_each_change(fleet: Fleet, dies: Callable[[str], None]) -> None:
    watch = fleet.watch()
    watch.round()
    with Changes(fleet.database) as changes:
        dies("scope-1")
        watch.round()
        told: set[Change] = set()
        while not any(one.kind == "alert" for one in told):
            told |= set(changes.wait(30.0))
    assert Change("alert", fleet.open[0].id) in told


def test_channels_are_told_no_sentence_of_a_device_or_a_person(
    fleet: Fleet, user: users.User
) -> None:
    watch = fleet.watch()
    fleet.say(fleet.voices["scope-1"].status(fleet.now, "degraded", "patient-4711.mp4 is broken"))
    watch.round()
    with fleet.database.writing() as connection:
        book.acknowledge(connection, user, fleet.open[0].id, "call Mr Smith", fleet.now)
        documents = connection.scalars(select(alert_events.c.document)).all()
    assert len(documents) == 2
    said = [AlertMessage.model_validate_json(one) for one in documents]
    assert [one.state for one in said] == ["open", "acknowledged"]
    assert said[1].acknowledged_by == "rosa"
    assert not any("4711" in one or "Smith" in one for one in documents)
