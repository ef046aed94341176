"""How updates stand, for the daemon to publish: of two journals one file."""

from __future__ import annotations

from pathlib import Path

from edge_daemon.contract.messages import UpdateStanding
from edge_daemon.service.orders import AnswerFile
from edge_daemon.update.journal import JournalFile
from edge_daemon.update.release_journal import ReleaseJournalFile
from edge_daemon.update.standing import ANSWER, StandingFile


def told(state: Path) -> UpdateStanding:
    standing = AnswerFile(state / ANSWER).read()
    assert standing is not None
    return standing


def test_whichever_journal_is_written_both_parts_are_told(tmp_path: Path) -> None:
    answer = StandingFile(tmp_path)
    bundles, releases = JournalFile(tmp_path, answer), ReleaseJournalFile(tmp_path, answer)
    bundle, release = bundles.read(), releases.read()
    bundles.put(bundle, runs="paper-0.1.0")
    releases.put(release, step="built", waits_for="S-1 is under way")
    standing = told(tmp_path)
    assert standing.runs == "paper-0.1.0"
    assert standing.daemon is not None
    assert (standing.daemon.step, standing.daemon.waits_for) == ("built", "S-1 is under way")


def test_another_process_tells_what_both_journals_say_with_its_first_word(tmp_path: Path) -> None:
    first = ReleaseJournalFile(tmp_path, StandingFile(tmp_path))
    first.put(first.read(), step="committed", runs="0.2.0")
    answer = StandingFile(tmp_path)
    bundles, releases = JournalFile(tmp_path, answer), ReleaseJournalFile(tmp_path, answer)
    bundle, _ = bundles.read(), releases.read()
    bundles.put(bundle, runs="paper-0.1.0")
    standing = told(tmp_path)
    assert standing.runs == "paper-0.1.0"
    assert standing.daemon is not None
    assert (standing.daemon.step, standing.daemon.runs) == ("committed", "0.2.0")


def test_where_no_versions_are_kept_nothing_is_told_of_them(tmp_path: Path) -> None:
    releases = ReleaseJournalFile(tmp_path)
    releases.put(releases.read(), step="committed")  # of before
    bundles = JournalFile(tmp_path)
    bundles.put(bundles.read(), runs="paper-0.1.0")
    assert told(tmp_path).daemon is None
    assert b'"daemon"' not in (tmp_path / ANSWER).read_bytes()
