"""Decisions about cells and slides: each a new row, the last word beside the model's."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from sqlalchemy import func, select

from deploy.dashboard.access import users
from deploy.dashboard.access.users import User
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import cells, reviews, slides
from deploy.dashboard.ingest.arrived import Arrived
from deploy.dashboard.ingest.entering import Entering
from deploy.dashboard.queries.slide import slide
from deploy.dashboard.review import signing
from deploy.dashboard.review.chain import verify
from deploy.dashboard.review.decisions import decide, decisions_on, undo
from deploy.dashboard.review.errors import ReviewError
from deploy.dashboard.review.signing import Seen, reopen, sign, signatures
from deploy.dashboard.review.standing import standing
from deploy.dashboard.web.slide import counts_after, counts_before
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.topics import parse_topic, topic_of
from tests.deploy.dashboard.filled import Plan, messages_of
from tests.deploy.dashboard.web.browser import PASSWORD

PLAN = Plan("north", "scope-1", "S-1", 0.4, fields=8, pictures=False, seed=3)


@cache
def _messages() -> list[Arrived]:
    return [
        Arrived(parse_topic(topic_of(message)), message, at, jpeg)  # type: ignore[arg-type]
        for message, at, jpeg in messages_of(PLAN, utc_now())
    ]


class Room:
    """Reviewers in front of one slide."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.worker = Entering(database)
        self.messages = _messages()
        self.worker.enter(self.messages, utc_now())
        with database.writing() as connection:
            self.people: dict[str, User] = {
                name: users.add(connection, name, role, PASSWORD)
                for name, role in (("vera", "viewer"), ("rosa", "reviewer"), ("ruth", "reviewer"),
                                   ("lena", "lead"))
            }  # fmt: skip
            self.slide = connection.scalar(select(slides.c.id)) or 0

    def decide(self, name: str, unique_id: int, label: str, reason: str | None = None) -> Any:
        with self.database.writing() as connection:
            return decide(
                connection, self.people[name], self.slide, unique_id, label, utc_now(), reason
            )

    def undo(self, name: str, unique_id: int | None = None) -> Any:
        with self.database.writing() as connection:
            return undo(connection, self.people[name], self.slide, utc_now(), unique_id)

    def sign(self, name: str, conclusion: str = "positive", **more: Any) -> Any:
        with self.database.writing() as connection:
            return sign(
                connection,
                self.people[name],
                self.slide,
                conclusion,
                more.pop("comment", "seen"),
                more.pop("seen", None) or self.seen(),
                utc_now(),
                **more,
            )

    def seen(self) -> Seen:
        with self.database.reading() as connection:
            row = connection.execute(select(slides).where(slides.c.id == self.slide)).one()
            return signing.seen_now(connection, row)

    def row(self) -> Any:
        with self.database.reading() as connection:
            return connection.execute(select(slides).where(slides.c.id == self.slide)).one()

    def cell(self, unique_id: int) -> Any:
        with self.database.reading() as connection:
            return connection.execute(
                select(cells).where(cells.c.slide_id == self.slide, cells.c.unique_id == unique_id)
            ).one()

    def of_label(self, label: str) -> list[int]:
        with self.database.reading() as connection:
            return list(
                connection.scalars(
                    select(cells.c.unique_id)
                    .where(cells.c.label == label)
                    .order_by(cells.c.unique_id)
                )
            )

    def rows(self) -> int:
        with self.database.reading() as connection:
            verify(connection, reviews)
            return connection.scalar(select(func.count()).select_from(reviews)) or 0


@pytest.fixture
def room(database: Database) -> Room:
    return Room(database)


def test_a_decision_is_a_row_with_who_when_why_and_the_model(room: Room) -> None:
    blast = room.of_label("blast")[0]
    made = room.decide("rosa", blast, "normal", "a lymphocyte")

    assert (made.kind, made.label, made.was, made.user) == ("override", "normal", "blast", "rosa")
    with room.database.reading() as connection:
        row = connection.execute(select(reviews)).one()
    said = json.loads(row.document)
    assert (row.reason, said["bundle"], said["role"]) == (
        "a lymphocyte", room.messages[0].message.bundle, "reviewer",
    )  # fmt: skip
    assert (said["site"], said["device"], said["slide"]) == ("north", "scope-1", "S-1")
    assert said["p_blast"] == room.cell(blast).p_blast
    assert (room.cell(blast).label, room.cell(blast).reviewed_label) == ("blast", "normal")


def test_agreeing_is_a_decision_too(room: Room) -> None:
    blast = room.of_label("blast")[0]
    before = room.row().unreviewed
    assert room.decide("rosa", blast, "blast").kind == "confirm"
    assert room.row().unreviewed == before - 1
    assert room.decide("rosa", blast, "blast") is None, "said once already"
    assert room.rows() == 1
    assert room.decide("ruth", blast, "blast").kind == "confirm"


def test_a_slip_is_taken_back_by_a_new_row(room: Room) -> None:
    one, other = room.of_label("blast")[:2]
    room.decide("rosa", one, "normal")
    room.decide("rosa", one, "uncertain")
    room.decide("rosa", other, "not_a_cell")

    assert (room.undo("rosa").unique_id, room.cell(other).reviewed_label) == (other, None)
    assert room.undo("rosa").label == "normal"
    assert (room.cell(one).reviewed_label, room.cell(one).reviewed_by) == ("normal", "rosa")
    assert room.undo("rosa").label == "blast"
    assert room.cell(one).reviewed_label is None
    with pytest.raises(ReviewError, match="no decision of yours"):
        room.undo("rosa")
    assert room.rows() == 6
    assert room.row().unreviewed == room.row().positives


def test_nobody_takes_back_what_another_decided_since(room: Room) -> None:
    one = room.of_label("blast")[0]
    room.decide("rosa", one, "normal")
    room.decide("ruth", one, "uncertain")

    with pytest.raises(ReviewError, match="decided about since, by ruth"):
        room.undo("rosa")
    room.undo("ruth")
    assert (room.cell(one).reviewed_label, room.cell(one).reviewed_by) == ("normal", "rosa")
    with room.database.reading() as connection:
        found = decisions_on(connection, room.slide, one)
    stands = standing(found)
    assert stands is not None
    assert (stands.user, stands.label) == ("rosa", "normal")


def test_the_differential_follows_the_word_of_people(room: Room) -> None:
    blasts, normals = room.of_label("blast"), room.of_label("normal")

    def counts() -> tuple[Any, Any]:
        with room.database.reading() as connection:
            found = slide(connection, room.slide)
        assert found is not None
        before = counts_before(found)
        return before, counts_after(before, found.differential)

    before, same = counts()
    assert (before.blast, before.fraction) == (same.blast, same.fraction)
    room.decide("rosa", blasts[0], "normal")
    room.decide("rosa", blasts[1], "not_a_cell")
    room.decide("rosa", normals[0], "blast")
    untouched, after = counts()
    assert untouched == before
    assert (after.blast, after.normal, after.not_a_cell) == (before.blast - 1, before.normal, 1)
    assert after.nucleated == before.nucleated - 1
    assert after.low < after.fraction < after.high


def test_new_views_of_a_cell_leave_the_word_of_a_person(room: Room) -> None:
    one = room.of_label("blast")[0]
    room.decide("rosa", one, "normal")
    room.worker.enter(room.messages, utc_now())
    assert room.cell(one).reviewed_label == "normal"


@pytest.mark.parametrize(
    ("name", "unique_id", "label", "word"),
    [
        ("vera", 0, "blast", "look and not decide"),
        ("rosa", 99_999, "blast", "no cell 99999"),
        ("rosa", 0, "lymphoblast", "a cell is one of"),
    ],
)
def test_what_cannot_be_decided_is_one_line(
    room: Room, name: str, unique_id: int, label: str, word: str
) -> None:
    with pytest.raises(ReviewError, match=word):
        room.decide(name, unique_id, label)
    assert room.rows() == 0


def test_a_signature_makes_a_result_more_than_preliminary(room: Room) -> None:
    assert room.row().review == "preliminary"
    made = room.sign("rosa")

    assert (made.kind, made.conclusion, made.bundle) == ("sign", "positive", room.row().bundle)
    assert (room.row().review, room.row().signed_at is not None) == ("signed", True)
    with room.database.reading() as connection:
        said = json.loads(connection.scalar(select(reviews.c.document)) or "")
    assert said["counts"]["blasts"] == room.row().blasts
    assert said["standing"] == room.row().summary_order


def test_nobody_signs_what_was_not_on_the_page(room: Room) -> None:
    seen = room.seen()
    room.decide("ruth", room.of_label("blast")[0], "normal")
    with pytest.raises(ReviewError, match="has changed since"):
        room.sign("rosa", seen=seen)
    room.sign("rosa")


def test_a_slide_under_way_is_not_signed(database: Database) -> None:
    running = Room(database)
    with database.writing() as connection:
        connection.execute(slides.update().values(state="running"))
    with pytest.raises(ReviewError, match="under way"):
        running.sign("rosa")


def test_who_concludes_otherwise_writes_why(room: Room) -> None:
    with pytest.raises(ReviewError, match="write why"):
        room.sign("rosa", "negative", comment=" ")
    assert room.sign("rosa", "negative", comment="all are lymphocytes").comment is not None


def test_a_decision_after_the_signature_makes_it_void(room: Room) -> None:
    room.sign("rosa")
    room.decide("rosa", room.of_label("blast")[0], "normal")
    assert room.row().review == "amended"
    assert room.sign("rosa").kind == "sign"
    assert room.row().review == "signed"


def test_a_second_reader_is_somebody_else_and_agrees_or_not(room: Room) -> None:
    room.sign("rosa", second_reader="positive")
    assert room.row().review == "first"
    with pytest.raises(ReviewError, match="somebody else"):
        room.sign("rosa", second_reader="positive")
    assert room.sign("ruth", second_reader="positive").kind == "second"
    assert room.row().review == "signed"

    assert room.sign("lena", "review", comment="not so sure").kind == "second"
    assert room.row().review == "amended"
    with room.database.reading() as connection:
        assert [one.kind for one in signatures(connection, room.slide)] == [
            "sign", "second", "second",
        ]  # fmt: skip


def test_a_lead_takes_a_signed_slide_up_again(room: Room) -> None:
    room.sign("rosa")

    def again(name: str, reason: str | None) -> None:
        with room.database.writing() as connection:
            reopen(connection, room.people[name], room.slide, reason, utc_now())

    with pytest.raises(ReviewError, match="by a lead"):
        again("ruth", "x")
    with pytest.raises(ReviewError, match="write why"):
        again("lena", "")
    again("lena", "new stain")
    assert room.row().review == "amended"
    with pytest.raises(ReviewError, match="is not signed"):
        again("lena", "twice")
    assert room.rows() == 2
