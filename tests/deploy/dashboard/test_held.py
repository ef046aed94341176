"""A reviewer and the ingest change one slide: the counts stay those of the rows."""

from __future__ import annotations

import threading
from random import Random

from sqlalchemy import select, update

from deploy.dashboard.database.held import hold_slide, recount
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import cells, slides
from deploy.dashboard.ingest.arrived import read
from deploy.dashboard.ingest.entering import Entering
from deploy.dashboard.queries.slide import slide_id
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.speakers import Speaker, arrival


def enter(worker: Entering, speaker: Speaker) -> None:
    one = read(arrival(speaker.frame(cells=6)), utc_now())
    assert one is not None
    worker.enter([one], utc_now())


def test_frames_that_come_in_meanwhile_are_counted_right(database: Database) -> None:
    worker, speaker = Entering(database), Speaker("lab", "scope-1", Random(1))
    enter(worker, speaker)
    with database.reading() as connection:
        number = slide_id(connection, "lab", "scope-1", "slide-1") or 0

    def review() -> None:
        for _ in range(15):
            with database.writing() as connection:
                assert hold_slide(connection, number)
                fresh = select(cells.c.unique_id).where(
                    cells.c.slide_id == number,
                    cells.c.reviewed_label.is_(None),
                    cells.c.label != "normal",
                )
                one = connection.scalar(fresh.limit(1))
                connection.execute(
                    update(cells)
                    .where(cells.c.slide_id == number, cells.c.unique_id == one)
                    .values(reviewed_label="blast", reviewed_by="ada", reviewed_at=utc_now())
                )
                recount(connection, number)

    reviewer = threading.Thread(target=review)
    reviewer.start()
    for _ in range(25):
        enter(worker, speaker)
    reviewer.join(30)

    with database.writing() as connection:
        counts = select(slides.c.positives, slides.c.unreviewed).where(slides.c.id == number)
        kept = connection.execute(counts).one()
        recount(connection, number)
        assert connection.execute(counts).one() == kept
        assert kept.unreviewed < kept.positives


def test_a_slide_that_is_not_there_is_not_held(database: Database) -> None:
    with database.writing() as connection:
        assert not hold_slide(connection, 4711)
