"""The ledger on disk can be asked at any time and is not changed by it; its sums hold always."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_daemon.commands.ledger import ledger
from edge_daemon.contract.messages import Command
from edge_daemon.contract.terms import OUTCOMES, Outcome
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.errors import ConfigError, DataError, OutboxError
from edge_daemon.ledger import slides
from edge_daemon.ledger.audit import Answer, CommandAudit, Sender
from edge_daemon.ledger.reading import LedgerFile, SlideEntry, read_ledger
from edge_daemon.ledger.reasons import MOST_REASONS, OTHERS
from edge_daemon.ledger.slides import SlideLedger
from tests.edge_daemon.ledger.books import Books
from tests.soak import repeated

pytestmark = pytest.mark.soak


def all_slides(path: Path) -> list[SlideEntry]:
    return read_ledger(path, lambda file: file.slides(1000))


def everything_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def a_day(books: Books) -> None:
    books.begin("s1", operator="op-1")
    for outcome in ("analysed", "rejected", "rejected", "failed", "dropped"):
        books.enter(outcome)
    books.stand("finished")
    books.begin("s2")
    books.enter("analysed")
    books.stand()
    books.enter("rejected", "empty field: 2 % covered, needs 5 %: move on")


def test_slides_stand_newest_first_with_their_sums_and_reasons(tmp_path):
    books = Books(tmp_path)
    a_day(books)
    books.die()
    second, first = all_slides(books.path)
    assert (first.name, first.completion, first.setup["operator"]) == ("s1", "finished", "op-1")
    assert first.frames.to_dict() == {
        "captured": 5,
        "analysed": 1,
        "rejected": 2,
        "dropped": 1,
        "failed": 1,
        "sum_holds": True,
    }
    assert first.reasons == {
        "rejected: out of focus": 2,
        "failed: torn frame": 1,
        "dropped: too slow": 1,
    }
    assert (second.name, second.completion) == ("s2", None)
    assert second.frames.captured == 2, "also what came after the last summary"
    assert second.reasons == {"rejected: empty field": 1}


def test_it_is_read_while_a_daemon_writes_and_disturbs_nothing(tmp_path):
    books = Books(tmp_path)
    a_day(books)
    files = {file.name for file in tmp_path.iterdir()}
    assert [entry.name for entry in all_slides(books.path)] == ["s2", "s1"]
    books.enter("analysed")
    assert all_slides(books.path)[0].frames.captured == 3
    assert {file.name for file in tmp_path.iterdir()} == files
    books.die()


def test_a_reader_that_takes_its_time_does_not_hold_up_the_daemon(tmp_path):
    books = Books(tmp_path)
    a_day(books)
    reading, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def slowly(file: LedgerFile) -> None:
        seen.append(file.slides()[0].frames.captured)
        reading.set()
        assert go_on.wait(30)
        seen.append(file.slides()[0].frames.captured)

    reader = threading.Thread(target=read_ledger, args=(books.path, slowly))
    reader.start()
    assert reading.wait(30)
    for _ in range(50):
        books.enter("analysed")
    go_on.set()
    reader.join()
    assert seen == [2, 2], "it sees one moment"
    assert all_slides(books.path)[0].frames.captured == 52
    books.die()


def test_after_a_good_end_nothing_is_made_or_changed_by_reading(tmp_path):
    books = Books(tmp_path)
    a_day(books)
    books.die()
    before = everything_in(tmp_path)
    assert sorted(before) == ["outbox.db", "outbox.db-reserve"]  # and nothing of SQLite's
    assert len(all_slides(books.path)) == 2
    assert everything_in(tmp_path) == before


KILLED = """
import sys, time
from pathlib import Path
from tests.edge_daemon.ledger.books import Books
books = Books(Path(sys.argv[1]))
books.begin("s1")
for _ in range(7):
    books.enter("analysed")
print("there", flush=True)
time.sleep(60)
"""


def test_after_a_kill_it_is_read_with_its_last_commit_and_nothing_is_mended(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)
    before = everything_in(tmp_path)
    assert set(before) >= {"outbox.db", "outbox.db-wal"}
    (entry,) = all_slides(tmp_path / "outbox.db")
    assert entry.frames.to_dict()["analysed"] == 7
    assert everything_in(tmp_path) == before
    (tmp_path / "outbox.db-shm").unlink()  # as in a copy or a backup
    del before["outbox.db-shm"]
    assert all_slides(tmp_path / "outbox.db") == [entry]
    assert everything_in(tmp_path) == before
    again = Books(tmp_path)
    assert again.session is not None
    assert again.session.tally.captured == 7
    again.die()


@given(st.data())
@settings(
    max_examples=repeated(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_captured_frame_has_one_outcome_per_slide_and_since_boot(
    tmp_path_factory, monkeypatch, data
):
    """Any frames, ends, power cuts and states written in between: the sums are the model's."""
    monkeypatch.setattr(slides, "STATE_EVERY", data.draw(st.sampled_from([1, 2, 5, 500])))
    folder = tmp_path_factory.mktemp("books")
    books = Books(folder)
    of_slides: dict[str, Counter[Outcome]] = {}
    since_boot: Counter[Outcome] = Counter()
    steps = st.sampled_from([*OUTCOMES, *OUTCOMES, "finish", "stand", "cut"])
    for step in data.draw(st.lists(steps, max_size=30)):
        if step == "cut":
            books.die()
            books = Books(folder)
            since_boot = Counter()
            continue
        if books.session is None:
            name = f"s{len(of_slides)}"
            of_slides[name] = Counter()
            books.begin(name)
        if step in ("finish", "stand"):
            books.stand("finished" if step == "finish" else None)
            continue
        books.enter(step)
        since_boot[step] += 1
        assert books.session is not None
        of_slides[books.session.name][step] += 1
    found = {entry.name: entry.frames for entry in all_slides(books.path)}
    boot = read_ledger(books.path, LedgerFile.boot)
    books.die()
    assert boot is not None
    assert boot.boot_id == books.origin.boot_id
    for sums, model in [(boot.frames, since_boot), *((found[n], of_slides[n]) for n in of_slides)]:
        assert sums.hold
        assert sums.captured == sum(model.values())
        assert sums.ended == {outcome: model[outcome] for outcome in OUTCOMES}
    assert set(found) == set(of_slides)


def test_a_sum_that_does_not_hold_is_told(tmp_path, capsys):
    books = Books(tmp_path)
    a_day(books)
    with books.outbox.transaction() as batch:  # as no code here does
        batch.execute("DELETE FROM slide_frames WHERE number = 0")
    ledger(books.path, "s2", day=None, limit=9, as_json=False)
    assert "THE SUM DOES NOT HOLD, 1 are unaccounted for" in capsys.readouterr().out
    books.die()


def test_only_so_many_slides_are_remembered(tmp_path):
    books = Books(tmp_path, keep_slides=3)
    for number in range(8):
        books.begin(f"s{number}")
        books.enter("analysed")
        books.stand("finished")
    assert [entry.name for entry in all_slides(books.path)] == ["s7", "s6", "s5", "s4"]
    assert not books.ledger.knows("s3")
    books.die()


def test_reasons_are_told_apart_as_far_as_a_screen_reaches(tmp_path):
    books = Books(tmp_path)
    books.begin("s1")
    for number in range(3 * MOST_REASONS):
        books.enter("failed", f"file-{number}.png is cut short")
    (entry,) = all_slides(books.path)
    assert len(entry.reasons) == MOST_REASONS + 1
    assert entry.reasons[OTHERS] == 2 * MOST_REASONS
    books.die()


def test_a_file_of_the_first_release_is_read_and_widened(tmp_path):
    """The tables as 0.6.0 made them, with a slide that ended and one under way."""
    path = tmp_path / "outbox.db"
    books = Books(tmp_path)
    a_day(books)
    with books.outbox.transaction() as batch:
        batch.execute("DROP TABLE boots")
        batch.execute("DROP INDEX slides_by_began")
        batch.execute("UPDATE slides SET tally = NULL")
        rows = books.outbox.query("SELECT number, about FROM slide_frames")
        for number, text in rows:
            about = json.loads(text)
            del about["boot"]
            about.pop("reason", None)
            batch.execute(
                "UPDATE slide_frames SET about = ? WHERE number = ?", (json.dumps(about), number)
            )
        batch.execute(
            "CREATE TABLE commands (number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,"
            " via TEXT NOT NULL, id TEXT, name TEXT, args TEXT, reason TEXT, result TEXT)"
        )
        batch.execute(
            "INSERT INTO commands (at, via, id, name, args, reason, result) VALUES"
            " ('2026-01-02T03:04:05+00:00', 'mqtt', 'ab', 'status', '{}', NULL, '{}')"
        )
    books.die()
    ledger(path, "commands", day=None, limit=9, as_json=False)
    assert read_ledger(path, LedgerFile.boot) is None
    assert [entry.frames.captured for entry in all_slides(path)] == [2, 5]
    later = Books(tmp_path)
    (old,) = CommandAudit(later.outbox).entries()
    assert old.sender == Sender()
    later.enter("analysed")
    assert all_slides(path)[0].frames.captured == 3
    later.die()


class TestCommand:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        books = Books(tmp_path)
        a_day(books)
        command = Command(
            site="lab",
            device="m1",
            id="ab" * 16,
            name="slide-start",
            expires_at=datetime.now(timezone.utc),
            args={"slide": "s2"},
        )
        audit, at = CommandAudit(books.outbox), datetime(2026, 11, 27, 9, 30, tzinfo=timezone.utc)
        with books.outbox.transaction() as batch:
            audit.write(batch, at, "local", command, Answer(None, {}), Sender(1000, "op-1"))
            audit.write(batch, at.replace(day=28), "mqtt", None, Answer("not JSON", {}))
        books.die()
        return books.path

    def test_it_says_whether_the_sums_hold(self, path, capsys):
        ledger(path, None, day=None, limit=9, as_json=False)
        text = capsys.readouterr().out
        assert "since the start at" in text
        assert (
            "frames  5 captured = 1 analysed + 2 rejected + 1 dropped + 1 failed (it holds)" in text
        )
        assert "s2: under way" in text
        assert "0 revisited" in text

    def test_one_slide_in_detail(self, path, capsys):
        ledger(path, "s1", day=None, limit=9, as_json=False)
        text = capsys.readouterr().out
        assert "why     2 rejected: out of focus" in text
        assert "op-1" in text
        ledger(path, "s1", day=None, limit=9, as_json=True)
        assert json.loads(capsys.readouterr().out)["frames"]["sum_holds"] is True

    def test_programs_get_json(self, path, capsys):
        ledger(path, None, day=None, limit=1, as_json=True)
        content = json.loads(capsys.readouterr().out)
        assert [one["name"] for one in content["slides"]] == ["s2"]
        assert content["since_boot"]["frames"]["captured"] == 7

    def test_the_audit_says_who_did_what_and_what_became_of_it(self, path, capsys):
        ledger(path, "commands", day=None, limit=9, as_json=False)
        first, second = capsys.readouterr().out.splitlines()
        assert first == "2026-11-28 09:30:00  mqtt  (unreadable): refused: not JSON"
        assert second == (
            '2026-11-27 09:30:00  local (op-1, uid 1000)  slide-start {"slide": "s2"}: done'
        )
        ledger(path, "commands", day="2026-11-27", limit=9, as_json=True)
        (entry,) = json.loads(capsys.readouterr().out)
        assert entry["sender"] == {"uid": 1000, "operator": "op-1"}

    def test_a_day_without_slides_is_said_to_be_one(self, path, capsys):
        ledger(path, None, day="2001-01-01", limit=9, as_json=False)
        assert "no slide is in this ledger" in capsys.readouterr().out

    def test_what_is_not_there_is_one_line(self, path, tmp_path):
        with pytest.raises(DataError, match="there is no slide s9"):
            ledger(path, "s9", day=None, limit=9, as_json=False)
        with pytest.raises(ConfigError, match="is no day"):
            ledger(path, None, day="yesterday", limit=9, as_json=False)
        absent = tmp_path / "absent.db"
        with pytest.raises(OutboxError, match="there is no ledger at"):
            ledger(absent, None, day=None, limit=9, as_json=False)
        assert not absent.exists()
        absent.write_bytes(b"not a database at all" * 100)
        with pytest.raises(OutboxError, match="cannot be read"):
            ledger(absent, None, day=None, limit=9, as_json=False)

    def test_a_ledger_without_slides_is_said_to_be_empty(self, tmp_path, capsys):
        path = tmp_path / "outbox.db"
        Outbox(path).close()
        ledger(path, None, day=None, limit=9, as_json=False)
        ledger(path, "commands", day=None, limit=9, as_json=False)
        assert capsys.readouterr().out.splitlines() == [
            "no slide is in this ledger",
            "no command is in this ledger",
        ]


def test_nobody_but_the_daemon_may_open_it_for_writing(tmp_path):
    books = Books(tmp_path)
    with pytest.raises(OutboxError, match="in use by another process"):
        SlideLedger(Outbox(books.path))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        read_ledger_and_write(books.path)
    books.die()


def read_ledger_and_write(path: Path) -> None:
    try:
        read_ledger(path, lambda file: file.query("DELETE FROM slides"))
    except OutboxError as error:
        raise sqlite3.OperationalError(str(error)) from None
