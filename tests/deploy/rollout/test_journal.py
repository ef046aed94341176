"""The journal: only added to; whatever is altered is found, whatever is cut off is left out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.rollout.errors import JournalError
from deploy.rollout.journal import Journal, read_chain
from edge_daemon.contract.envelope import utc_now
from tests.soak import repeated

ENTRIES = [{"kind": "a", "n": 1}, {"kind": "b", "text": "grün"}, {"kind": "c", "deep": [1, {}]}]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(file)
    for entry in ENTRIES:
        journal.append(entry, utc_now())
    journal.close()
    return file


def test_what_was_written_is_read(written: Path) -> None:
    chain = read_chain(written)
    assert [line.entry for line in chain.lines] == ENTRIES
    assert chain.remark is None
    assert Journal(written).head == chain.head


def test_of_no_file_an_empty_journal(tmp_path: Path) -> None:
    assert read_chain(tmp_path / "none").lines == ()


@settings(max_examples=repeated(300), deadline=None)
@given(data=st.data())
def test_a_byte_that_was_altered_is_noticed(written: Path, data: st.DataObject) -> None:
    content = bytearray(written.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    altered = written.with_name("altered")
    altered.write_bytes(content)
    try:
        assert read_chain(altered).remark is not None  # its last line has no end any more
        assert place == len(content) - 1
    except JournalError as error:
        number = bytes(content[:place]).count(b"\n")
        assert f"entry {number}" in str(error) or f"entry {number + 1}" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([0, 2], "entry 1 does not follow"),
        ([1, 0, 2], "entry 0 does not follow"),
        ([0, 0, 1, 2], "entry 1 does not follow"),
        ([1, 2], "entry 0 does not follow"),
    ],
)
def test_lines_taken_out_put_in_or_moved_are_noticed(
    written: Path, tmp_path: Path, lines: list[int], told: str
) -> None:
    content = written.read_bytes().splitlines(keepends=True)
    file = tmp_path / "journal.jsonl"
    file.write_bytes(b"".join(content[n] for n in lines))
    with pytest.raises(JournalError, match=told):
        read_chain(file)


def test_cut_off_anywhere_it_goes_on_from_the_last_whole_line(
    written: Path, tmp_path: Path
) -> None:
    content = written.read_bytes()
    for length in {*range(0, len(content), 7), len(content) - 1}:
        file = tmp_path / f"{length}.jsonl"
        file.write_bytes(content[:length])
        whole = content[:length].count(b"\n")
        journal = Journal(file)
        assert [line.entry for line in journal.lines] == ENTRIES[:whole]
        assert (journal.remark is None) == (length == 0 or content[length - 1 : length] == b"\n")
        journal.append({"kind": "d"}, utc_now())
        journal.close()
        chain = read_chain(file)
        assert (len(chain.lines), chain.remark) == (whole + 1, None)


def test_a_full_disk_is_a_line_and_the_next_start_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "journal.jsonl"
    journal = Journal(file)
    journal.append(ENTRIES[0], utc_now())
    real = os.write

    def half(handle: int, content: memoryview) -> int:
        if len(content) > 50:
            return real(handle, content[:50])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("deploy.rollout.journal.os.write", half)
        with pytest.raises(JournalError, match="No space left on device; nothing more is ordered"):
            journal.append({"kind": "long", "text": "x" * 21}, utc_now())
    with pytest.raises(JournalError, match="start again"):
        journal.append(ENTRIES[1], utc_now())
    assert [line.entry for line in Journal(file).lines] == ENTRIES[:1]
