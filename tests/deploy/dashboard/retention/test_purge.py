"""What is old goes, what was decided stays, and the audit says what is gone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text, update

from deploy.dashboard.access import users
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import (
    audit,
    cells,
    crops,
    frames,
    health,
    reviews,
    slides,
)
from deploy.dashboard.exports.errors import ExportError
from deploy.dashboard.exports.record import record_of
from deploy.dashboard.retention.certificate import certificate
from deploy.dashboard.retention.limits import Limits, read_limits
from deploy.dashboard.retention.purge import purge
from deploy.dashboard.review import signing
from deploy.dashboard.review.anchor import verify_all
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.filled import fill
from tests.deploy.dashboard.web.browser import PASSWORD
from tests.deploy.dashboard.web.conftest import SMALL_DAY

NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
THEN = datetime(2025, 3, 10, 12, tzinfo=timezone.utc)


@pytest.fixture
def old(database: Database) -> Database:
    """Two slides of long ago, one of them signed; one of today; health of then and of now."""
    for number, at in ((0, THEN), (3, THEN), (1, NOW)):
        fill(database, at, (replace(SMALL_DAY[number], fields=8),))
    with database.writing() as connection:
        users.add(connection, "lena", "lead", PASSWORD)
        users.add(connection, "vera", "viewer", PASSWORD)
        sign(database, connection, 1)
        for at in (THEN, NOW):
            values = {"fps": 1.0, "waiting": 0, "evicted": 0, "dropped": 0}
            connection.execute(insert(health).values(device_id=1, at=at, **values))
    return database


def sign(database: Database, connection: object, number: int) -> None:
    row = connection.execute(select(slides).where(slides.c.id == number)).one()  # type: ignore[attr-defined]
    lena = users.find(connection, "lena")  # type: ignore[arg-type]
    seen = signing.seen_now(connection, row)  # type: ignore[arg-type]
    signing.sign(connection, lena, number, "review", "seen", seen, THEN)  # type: ignore[arg-type]


def count(database: Database, table: object, slide: int | None = None) -> int:
    query = select(func.count()).select_from(table)  # type: ignore[arg-type]
    if slide is not None:
        query = query.where(table.c.slide_id == slide)  # type: ignore[attr-defined]
    with database.reading() as connection:
        return connection.scalar(query) or 0


def limit() -> Limits:
    return Limits.at(NOW - timedelta(days=30))


def test_a_dry_run_says_the_same_and_deletes_nothing(old: Database) -> None:
    before = [count(old, one) for one in (frames, crops, health, audit)]

    tried = purge(old, limit(), "lena", "a year is over", NOW, dry_run=True)

    assert [count(old, one) for one in (frames, crops, health, audit)] == before
    assert tried.number is None
    done = purge(old, limit(), "lena", "a year is over", NOW)
    assert (done.gone, done.months) == (tried.gone, tried.months)


def test_signed_slides_lose_frames_and_crops_and_nothing_else(old: Database) -> None:
    kept = {one: count(old, one) for one in (cells, reviews, slides)}
    rows = count(old, frames, 1), count(old, crops, 1)

    done = purge(old, limit(), "lena", "a year is over", NOW)

    assert (done.gone["frames"].rows, done.gone["crops"].rows) == rows
    assert (count(old, frames, 1), count(old, crops, 1), count(old, health)) == (0, 0, 1)
    assert done.unsigned == 1, "a slide that nobody signed is told and stays"
    assert count(old, frames, 2) > 0
    assert count(old, frames, 3) > 0
    assert {one: count(old, one) for one in kept} == kept


def test_unsigned_slides_go_when_that_is_asked_for(old: Database) -> None:
    purge(old, limit(), "lena", "a year is over", NOW, unsigned=True)

    assert (count(old, frames, 2), count(old, crops, 2)) == (0, 0)
    assert count(old, frames, 3) > 0, "today's stays all the same"


def test_the_audit_proves_what_went(old: Database) -> None:
    done = purge(old, limit(), "lena", "a year is over", NOW)

    with old.reading() as connection:
        assert verify_all(connection)["audit"].rows == done.number == 1
        said = certificate(connection, 1)
    assert said["entry"]["user_name"] == "lena"
    assert said["entry"]["reason"] == "a year is over"
    assert said["entry"]["gone"]["frames"] == vars(done.gone["frames"])
    assert len(done.gone["frames"].sha256) == 64
    assert json.dumps(said)


def test_the_digest_depends_on_what_the_rows_hold(old: Database) -> None:
    one = purge(old, limit(), "lena", "why", NOW, dry_run=True).gone["frames"]
    with old.writing() as connection:
        connection.execute(update(frames).where(frames.c.slide_id == 1).values(focus=1.0))

    other = purge(old, limit(), "lena", "why", NOW, dry_run=True).gone["frames"]

    assert (one.rows, one.bytes) == (other.rows, other.bytes)
    assert one.sha256 != other.sha256


def test_frames_that_were_deleted_are_not_told_as_missing(old: Database) -> None:
    purge(old, limit(), "lena", "a year is over", NOW)

    with old.reading() as connection:
        found = record_of(connection, 1, NOW)
    assert found is not None
    assert found.purged_at == NOW
    assert found.delivery.frames_missing == 0
    assert found.quality.analysed > 0, "the counts stay"
    assert found.status == "final"


def test_what_did_not_arrive_is_still_told_after_its_frames_were_deleted(old: Database) -> None:
    with old.reading() as connection:
        before = record_of(connection, 2, NOW)
    purge(old, limit(), "lena", "a year is over", NOW, unsigned=True)

    with old.reading() as connection:
        after = record_of(connection, 2, NOW)
    assert before is not None
    assert after is not None
    assert after.delivery.frames_missing == before.delivery.frames_missing == 2
    assert not after.delivery.whole


def test_what_was_deleted_and_comes_again_is_not_entered_anew(old: Database) -> None:
    purge(old, limit(), "lena", "a year is over", NOW)

    fill(old, THEN, (replace(SMALL_DAY[0], fields=8),))

    assert (count(old, frames, 1), count(old, crops, 1)) == (0, 0)


def test_a_whole_month_is_dropped_as_a_whole(old: Database) -> None:
    if old.is_sqlite:
        assert purge(old, limit(), "lena", "why", NOW).months == ()
        return
    with old.writing() as connection:
        connection.execute(text("CREATE TABLE rest AS SELECT * FROM frames_rest"))
        connection.execute(text("DELETE FROM frames_rest"))
        for month, end in (("2025-03", "2025-04"),):
            name = f"frames_{month.replace('-', '_')}"
            connection.execute(
                text(
                    f"CREATE TABLE {name} PARTITION OF frames FOR VALUES "
                    f"FROM ('{month}-01T00:00Z') TO ('{end}-01T00:00Z')"
                )
            )
        connection.execute(text("INSERT INTO frames SELECT * FROM rest"))

    assert purge(old, limit(), "lena", "why", NOW).months == (), "an unsigned slide is in it"
    done = purge(old, limit(), "lena", "why", NOW, unsigned=True)

    assert done.months == ("frames_2025_03",)
    assert count(old, frames, 2) == 0
    assert count(old, frames, 3) > 0


@pytest.mark.parametrize(
    ("limits", "by", "reason", "line"),
    [
        (Limits(), "lena", "why", "nothing is asked for"),
        (Limits.at(NOW + timedelta(days=1)), "lena", "why", "lies ahead"),
        (Limits.at(THEN), "lena", " ", "--reason"),
        (Limits.at(THEN), "vera", "why", "takes a lead"),
    ],
)
def test_what_is_not_asked_for_properly_deletes_nothing(
    old: Database, limits: Limits, by: str, reason: str, line: str
) -> None:
    before = count(old, frames)

    with pytest.raises(ExportError, match=line):
        purge(old, limits, by, reason, NOW)

    assert count(old, frames) == before


def test_limits_come_from_days_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "retention.toml"
    file.write_text("[retention]\nframes_days = 365\nhealth_days = 30\n")

    found = read_limits(file, NOW)

    assert found == Limits(NOW - timedelta(days=365), None, NOW - timedelta(days=30))
    file.write_text("[retention]\nframe_days = 365\n")
    with pytest.raises(ExportError, match="frame_days"):
        read_limits(file, utc_now())
