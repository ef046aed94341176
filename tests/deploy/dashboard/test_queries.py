"""What pages ask: worst first, every row on one page and on no other, silence only where heard."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pytest

from deploy.dashboard.database.opening import Database
from deploy.dashboard.errors import DatabaseError
from deploy.dashboard.ingest.arrived import read
from deploy.dashboard.ingest.entering import Entering
from deploy.dashboard.queries.cells import cells_of, how_many
from deploy.dashboard.queries.device import answers, newest_health, said, starts
from deploy.dashboard.queries.fleet import device_id, device_list, standing, versions
from deploy.dashboard.queries.models import models, side_by_side
from deploy.dashboard.queries.slide import coverage, frame_message, slide, slide_id
from deploy.dashboard.queries.worklist import Filters, counts, worklist
from edge_daemon.contract.envelope import FromDevice, utc_now
from edge_daemon.contract.findings import FramePlace
from tests.deploy.dashboard.speakers import BEGAN, BUNDLE, Speaker, arrival

NOW = utc_now()


def enter(database: Database, *messages: FromDevice) -> None:
    batch = [read(arrival(one), utc_now()) for one in messages]
    Entering(database).enter([one for one in batch if one is not None], utc_now())


def test_the_worklist_is_worst_first_and_no_page_repeats_another(database: Database) -> None:
    chance = Random(2)
    dispositions = ("positive", "review", "insufficient", "negative")
    for device in range(3):
        speaker = Speaker(f"site-{device % 2}", f"scope-{device}")
        enter(database, *(
            speaker.summary(
                f"slide-{number}",
                blasts=chance.randrange(11),
                disposition=chance.choice(dispositions),
            )
            for number in range(20)
        ))  # fmt: skip

    with database.reading() as connection:
        pages, after = [], None
        while True:
            page = worklist(connection, Filters(), after, limit=7)
            pages.append(page)
            if page.after is None:
                break
            after = page.after
        of_a_site = worklist(connection, Filters(site="site-1"))
        positive = worklist(connection, Filters(disposition="positive"))
        head = counts(connection)
    rows = [row for page in pages for row in page.rows]
    worst = [(dispositions.index(row.disposition or ""), -(row.fraction or 0)) for row in rows]
    assert len({row.id for row in rows}) == len(rows) == 60
    assert worst == sorted(worst)
    assert {row.site for row in of_a_site.rows} == {"site-1"}
    assert {row.disposition for row in positive.rows} == {"positive"}
    assert (head.slides, head.unsigned, head.sites) == (60, 60, ("site-0", "site-1"))


def test_the_gallery_goes_by_class_then_by_probability(database: Database) -> None:
    speaker = Speaker("lab", "scope-1", Random(4))
    enter(database, *(speaker.frame(cells=6) for _ in range(15)))

    with database.reading() as connection:
        number = slide_id(connection, "lab", "scope-1", "slide-1") or 0
        cells, after = [], None
        while True:
            page = cells_of(connection, number, after=after, limit=11)
            cells += page.rows
            if (after := page.after) is None:
                break
        blasts = cells_of(connection, number, label="blast", limit=500).rows
        labels = how_many(connection, number)
    order = [(["blast", "uncertain", "normal"].index(one.label), -one.p_blast) for one in cells]
    assert order == sorted(order)
    assert len({one.unique_id for one in cells}) == len(cells) == sum(labels.values())
    assert list(blasts) == [one for one in cells if one.label == "blast"]


@pytest.mark.parametrize("after", ["", "x", "W10=", "WyJhIiwgImIiLCAiYyJd", "\u00e4"])
def test_a_page_that_nobody_gave_is_refused(database: Database, after: str) -> None:
    with database.reading() as connection, pytest.raises(DatabaseError, match="first one"):
        worklist(connection, Filters(), after)


def test_a_slide_with_all_that_its_page_shows(database: Database) -> None:
    speaker = Speaker("lab", "scope-1", Random(1))
    place = FramePlace(piece=0, x=1.0, y=2.0, tie="first")
    first, lost = speaker.frame(place=place), speaker.frame()
    enter(database, first, speaker.rejected(), speaker.summary(blasts=1), speaker.summary(blasts=2))

    with database.reading() as connection:
        number = slide_id(connection, "lab", "scope-1", "slide-1") or 0
        found = slide(connection, number)
        map_of = coverage(connection, number)
        message = frame_message(connection, number, first.frame)
    assert found is not None
    assert found.missing_frames == ((lost.frame, lost.frame),)
    assert (found.quality.analysed, found.quality.rejected) == (1, 1)
    assert found.quality.reasons == (("out of focus", 1),)
    assert [point.fraction for point in found.points] == [0.1, 0.2]
    assert found.differential.blast + found.differential.uncertain == found.row.positives
    assert found.summary is not None
    assert found.summary["blasts"] == 2
    assert [one.x for one in map_of] == [1.0, None]
    assert b'"frame":0' in (message or b"")


def test_a_device_with_all_that_its_page_shows(database: Database) -> None:
    speaker = Speaker("lab", "scope-1")
    enter(database, speaker.status(), speaker.health(), speaker.reply(), speaker.frame())

    with database.reading() as connection:
        number = device_id(connection, "lab", "scope-1") or 0
        (row,) = device_list(connection, utc_now())
        health = newest_health(connection, number)
        assert health is not None
        assert health[1]["outbox"]["messages"] == 3
        assert [one.state for one in said(connection, number)] == ["online"]
        assert [one.arrived for one in starts(connection, number)] == [2]
        assert [one.ok for one in answers(connection, number)] == [True]
        assert [one.devices for one in versions(connection)] == [1]
        assert [(one.digest, one.devices) for one in models(connection)] == [(BUNDLE, 1)]
        assert side_by_side(connection) == ()
    assert (row.standing, row.waiting, row.missing) == ("online", 3, 0)


def moment(ago_s: float | None) -> datetime | None:
    return None if ago_s is None else NOW - timedelta(seconds=ago_s)


@pytest.mark.parametrize(
    ("state", "seen_ago_s", "said_ago_s", "heard_for_s", "stands"),
    [
        (None, None, None, 1000, "unknown"),
        ("online", 10, 1000, 1000, "online"),
        ("degraded", 10, 1000, 1000, "degraded"),
        ("online", 400, 1000, 1000, "silent"),
        ("online", 400, 1000, None, "online"),  # nobody listened, so it says nothing
        ("online", 4000, 9000, 60, "online"),  # somebody listens since a minute ago
        ("offline", 400, 300, 1000, "offline"),
        ("offline", 5, 300, 1000, "online"),  # it spoke after its will
    ],
)
def test_a_device_is_silent_only_while_somebody_listens(
    state: str | None,
    seen_ago_s: float | None,
    said_ago_s: float | None,
    heard_for_s: float | None,
    stands: str,
) -> None:
    seen, said_at, since = moment(seen_ago_s), moment(said_ago_s), moment(heard_for_s)

    assert standing(state, seen, said_at, NOW, since) == stands


def test_two_slides_of_one_name_are_told(database: Database) -> None:
    """A device was replaced, and its successor begins with the same names."""
    enter(database, Speaker("lab", "scope-1").summary())
    later = BEGAN + timedelta(days=1)
    enter(database, Speaker("lab", "scope-1").summary(started_at=later))

    with database.reading() as connection:
        (row,) = worklist(connection, Filters()).rows
    assert row.doubled
