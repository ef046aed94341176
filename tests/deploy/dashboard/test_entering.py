"""Each message once: whatever is repeated, reordered, shared between workers, or cut off."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import boots, cells, devices, frames, slides
from deploy.dashboard.database.types import unpacked
from deploy.dashboard.ingest import entering
from deploy.dashboard.ingest.arrived import Arrived, Aside, read
from deploy.dashboard.ingest.entering import Entered, Entering
from deploy.dashboard.ingest.of_slides import best_view, cell_row
from deploy.dashboard.queries.aside import aside, payload
from deploy.dashboard.queries.cells import cells_of, crop, how_many
from deploy.dashboard.queries.fleet import device_id, gaps
from deploy.dashboard.queries.slide import slide, slide_id
from edge_daemon.contract.envelope import FromDevice, utc_now
from edge_daemon.contract.messages import FrameResult
from edge_daemon.contract.topics import channel_of
from edge_daemon.delivery.link import Arrival
from tests.deploy.dashboard.content import entered, said
from tests.deploy.dashboard.speakers import JPEG, Speaker, arrival
from tests.soak import repeated

_SITES = (f"site-{number}" for number in itertools.count())


def read_in(message: FromDevice, **more: bool) -> Arrived:
    one = read(arrival(message, **more), utc_now())
    assert isinstance(one, Arrived)
    return one


def enter(worker: Entering, *messages: FromDevice, **more: bool) -> Entered:
    return worker.enter([read_in(one, **more) for one in messages], utc_now())


class CutOffError(Exception):
    """The process ended, or the database did."""


@given(st.integers(0, 2**32), st.integers(1, 40))
@settings(max_examples=repeated(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_said_is_entered_once(database: Database, seed: int, length: int) -> None:
    """Repeats, any order, workers that share, commits that fail, answers that are lost."""
    site, chance = next(_SITES), random.Random(seed)
    speakers = [Speaker(site, f"scope-{place % 2}", chance) for place in range(3)]
    messages = [one for speaker in speakers for one in speaker.some(length)]
    workers = [Entering(database), Entering(database)]
    queue = messages * 2
    chance.shuffle(queue)
    claimed: dict[str, set[int]] = {speaker.boot_id: set() for speaker in speakers}
    here: set[tuple[str, int]] = set()
    while queue:
        count = chance.randint(1, 12)
        batch, queue = queue[:count], queue[count:]
        place = chance.randrange(2)
        how = chance.choice(["well", "well", "well", "not committed", "answer lost"])
        if how == "not committed":
            with pytest.MonkeyPatch.context() as patch, suppress(CutOffError):
                patch.setattr(entering, "announce", _cut_off)
                enter(workers[place], *batch)
            queue += batch
            continue
        done = enter(workers[place], *batch)
        here |= {(one.boot_id, one.seq) for one in batch}
        if how == "answer lost":  # the worker is killed after its commit, another begins
            workers[place] = Entering(database)
            queue += batch[:1]
            continue
        for due in done.due:
            claimed[due.boot_id] |= set(range(1, due.up_to_seq + 1))
            for first, last in due.beyond:
                claimed[due.boot_id] |= set(range(first, last + 1))
        for boot_id, seqs in claimed.items():
            assert seqs <= {seq for boot, seq in here if boot == boot_id}

    found = {name: count for name, count in entered(database).items() if name[0] == site}
    assert found == said(messages)
    assert _cells(database, site) == _best_views(speakers)
    with database.reading() as connection:
        _counts_are_those_of_the_rows(connection, site)
        every = select(boots.c.missing, boots.c.complete_to, boots.c.boot_id).join(
            devices, devices.c.id == boots.c.device_id
        )
        for missing, complete_to, boot_id in connection.execute(
            every.where(devices.c.site == site)
        ):
            (speaker,) = [one for one in speakers if one.boot_id == boot_id]
            assert (missing, complete_to) == (0, speaker.record)


def _cut_off(*_arguments: object) -> None:
    raise CutOffError


def _cells(database: Database, site: str) -> dict[tuple[str, int], tuple[object, ...]]:
    columns = [cells.c[name] for name in ("frame", "label", "p_blast", "whole", "views")]
    query = (
        select(devices.c.name, cells.c.unique_id, *columns)
        .join_from(cells, slides, slides.c.id == cells.c.slide_id)
        .join(devices, devices.c.id == slides.c.device_id)
        .where(slides.c.site == site)
    )
    with database.reading() as connection:
        return {(row[0], row[1]): tuple(row[2:]) for row in connection.execute(query)}


def _best_views(speakers: list[Speaker]) -> dict[tuple[str, int], tuple[object, ...]]:
    """The same from what was said; speakers of one device speak of one slide."""
    best: dict[tuple[str, int], dict[str, object]] = {}
    for speaker in speakers:
        for frame, cell in speaker.views:
            result = FrameResult.model_construct(frame=frame, width=640, height=480, um_per_px=None)
            row = cell_row(0, result, cell)
            key = (speaker.device, int(row["unique_id"]))
            best[key] = best_view(best[key], row) if key in best else row
    names = ("frame", "label", "p_blast", "whole", "views")
    return {key: tuple(row[name] for name in names) for key, row in best.items()}


def _counts_are_those_of_the_rows(connection: Connection, site: str) -> None:
    for row in connection.execute(select(slides).where(slides.c.site == site)):
        outcomes = connection.scalars(
            select(frames.c.outcome).where(frames.c.slide_id == row.id)
        ).all()
        labels = how_many(connection, row.id)
        assert (row.analysed, row.rejected) == (
            outcomes.count("analysed"),
            outcomes.count("rejected"),
        )
        assert row.positives == row.unreviewed == labels["blast"] + labels["uncertain"]


def test_a_hole_is_seen_and_closes(database: Database) -> None:
    worker, speaker = Entering(database), Speaker("lab", "scope-1")
    messages = [speaker.frame() for _ in range(10)]

    done = enter(worker, *messages[:3], *messages[6:])
    with database.reading() as connection:
        number = device_id(connection, "lab", "scope-1")
        assert number is not None
        (gap,) = gaps(connection, number)
    assert (gap.first, gap.last, gap.records, gap.before_first) == (4, 6, 3, False)
    assert (done.due[0].up_to_seq, done.due[0].beyond) == (3, ((7, 10),))

    enter(Entering(database), *messages[3:6])  # another worker
    with database.reading() as connection:
        assert gaps(connection, number) == ()


def test_the_end_that_is_missing_is_told_by_the_next_status(database: Database) -> None:
    worker, speaker = Entering(database), Speaker("lab", "scope-1")
    enter(worker, speaker.status(), speaker.frame())
    _lost = [speaker.frame() for _ in range(4)]
    enter(worker, speaker.health())

    with database.reading() as connection:
        number = device_id(connection, "lab", "scope-1")
        (gap,) = gaps(connection, number or 0)
    assert (gap.first, gap.last) == (2, 5)


def test_what_was_said_before_anybody_listened_is_told_apart(database: Database) -> None:
    speaker = Speaker("lab", "scope-1")
    _unheard = [speaker.frame() for _ in range(20)]
    enter(Entering(database), speaker.frame())

    with database.reading() as connection:
        (gap,) = gaps(connection, device_id(connection, "lab", "scope-1") or 0)
        row = connection.execute(select(boots)).one()
    assert (gap.first, gap.last, gap.before_first) == (1, 20, True)
    assert (row.missing, row.before) == (20, 20)


def test_what_was_lost_since_is_not_taken_for_it(database: Database) -> None:
    speaker = Speaker("lab", "scope-1")
    _unheard = [speaker.frame() for _ in range(5)]
    status = speaker.status()
    _lost = [speaker.frame() for _ in range(3)]
    enter(Entering(database), status, speaker.frame())

    with database.reading() as connection:
        found = gaps(connection, device_id(connection, "lab", "scope-1") or 0)
    assert [(one.first, one.last, one.before_first) for one in found] == [
        (1, 5, True),
        (6, 8, False),
    ]


def test_a_copy_that_the_broker_kept_is_receipted_to_nobody(database: Database) -> None:
    done = enter(Entering(database), Speaker("lab", "scope-1").summary(), retained=True)

    assert (done.news, done.due) == (1, [])


def test_the_newest_summary_counts_whatever_comes_last(database: Database) -> None:
    first, second = Speaker("lab", "scope-1"), Speaker("lab", "scope-1")
    messages = [first.frame(), first.summary(blasts=1), first.frame(), first.summary(blasts=2)]
    second.captured = first.captured  # the slide goes on in another start of the daemon
    last = [second.frame(), second.summary(blasts=5, disposition="positive")]
    worker = Entering(database)
    for one in [*last, *reversed(messages)]:
        enter(worker, one)

    with database.reading() as connection:
        number = slide_id(connection, "lab", "scope-1", "slide-1")
        found = slide(connection, number or 0)
    assert found is not None
    assert found.row.blasts == 5
    assert found.row.disposition == "positive"
    assert [point.fraction for point in found.points] == [0.1, 0.2, 0.5]


def test_a_cell_with_a_picture_and_a_second_opinion(database: Database) -> None:
    speaker = Speaker("lab", "scope-1", random.Random(3))
    frame = speaker.frame(cells=5)
    unique = frame.cells[0].unique_id or 0
    enter(
        Entering(database), speaker.opinion(unique_id=unique), speaker.crop(unique_id=unique), frame
    )

    with database.reading() as connection:
        number = slide_id(connection, "lab", "scope-1", "slide-1") or 0
        page = cells_of(connection, number)
        picture = crop(connection, number, unique)
    (cell,) = [one for one in page.rows if one.unique_id == unique]
    assert picture is not None
    assert picture.jpeg == JPEG
    assert (cell.has_crop, cell.second_label) == (True, "normal")


def test_no_source_is_kept(database: Database) -> None:
    enter(Entering(database), Speaker("lab", "scope-1").frame())

    with database.reading() as connection:
        stored = connection.scalar(select(frames.c.message))
    assert b"patient-4711" not in unpacked(stored or b"")


@pytest.mark.parametrize(
    ("payload_of", "why", "line"),
    [
        (lambda json: json.replace(b"frame/1", b"frame/2"), "unknown schema", "update it"),
        (lambda json: json[:-20], "refused", "cut short"),
        (lambda json: b"\xff\xfe", "refused", "not JSON"),
    ],
)
def test_what_cannot_be_entered_is_kept_aside_and_reported(
    database: Database, payload_of, why: str, line: str
) -> None:
    came = arrival(Speaker("lab", "scope-1").frame())
    wrong = payload_of(came.payload)
    worker = Entering(database)
    for _ in range(3):  # without a receipt the device sends it again
        one = read(Arrival(came.topic, wrong, False, None), utc_now())
        assert isinstance(one, Aside)
        worker.enter([one], utc_now())

    with database.reading() as connection:
        (kept,) = aside(connection)
        stored = payload(connection, kept.id)
    assert (kept.site, kept.device, kept.why, kept.count) == ("lab", "scope-1", why, 3)
    assert line in kept.line
    assert stored == wrong


def test_what_is_kept_aside_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entering, "MOST_ASIDE", 5)
    worker = Entering(database)
    topic = arrival(Speaker("lab", "scope-1").frame()).topic
    for number in range(9):
        one = read(Arrival(topic, b"nothing %d" % number, False, None), utc_now())
        assert isinstance(one, Aside)
        worker.enter([one], utc_now())

    with database.reading() as connection:
        assert len(aside(connection)) == 5


def _messages() -> Iterator[tuple[list[FromDevice], str]]:
    first, second = Speaker("lab", "scope-1"), Speaker("lab", "scope-1")
    yield [first.status(), second.status(), first.status("offline")], "online"
    yield [first.status(), second.status(), second.status("offline")], "offline"
    yield [second.status("degraded"), second.status()], "online"


@pytest.mark.parametrize(("messages", "state"), list(_messages()))
def test_the_last_status_counts_but_for_the_will_of_an_earlier_start(
    database: Database, messages: list[FromDevice], state: str
) -> None:
    worker = Entering(database)
    for one in messages:
        enter(worker, one)

    with database.reading() as connection:
        assert connection.scalar(select(devices.c.state)) == state


def test_health_that_is_overtaken_changes_nothing(database: Database) -> None:
    speaker = Speaker("lab", "scope-1")
    early, late = speaker.health(fps=1.0), speaker.health(fps=2.0)
    worker = Entering(database)
    enter(worker, late)
    enter(worker, early)

    with database.reading() as connection:
        assert connection.scalar(select(devices.c.fps)) == 2.0


def test_every_kind_of_message_of_the_contract_is_entered(database: Database) -> None:
    from tests.edge_daemon.contract.samples import SAMPLES

    worker = Entering(database)
    every = [
        one.model_copy(update={"seq": place, "record": place})
        for place, one in enumerate(SAMPLES, start=1)
        if isinstance(one, FromDevice)
    ]
    enter(worker, *every)

    results = [one for one in every if channel_of(one).stored]
    assert entered(database) == said(results)
