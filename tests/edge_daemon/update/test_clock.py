"""The latest time seen only ever moves forward, whatever the clock does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.errors import UpdateError
from edge_daemon.update.clock import LatestTime

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


@given(st.lists(st.datetimes(timezones=st.just(timezone.utc)), min_size=1, max_size=10))
def test_time_never_goes_back_over_restarts(
    tmp_path_factory: pytest.TempPathFactory, clocks: list[datetime]
) -> None:
    file = tmp_path_factory.mktemp("state") / "latest-time.json"
    seen = [LatestTime(file, lambda now=now: now).now() for now in clocks]

    assert seen == [max(clocks[: number + 1]) for number in range(len(clocks))]


def test_a_clock_that_went_back_is_said_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "latest-time.json"
    LatestTime(file, lambda: NOON).now()
    doubt = LatestTime(file, lambda: NOON - timedelta(days=400)).doubt()

    assert "the clock says 2025-03-27 12:00" in doubt
    assert "this device has seen 2026-05-01 12:00" in doubt
    assert f"delete {file}" in doubt


def test_a_clock_that_is_put_right_by_a_minute_is_no_matter(tmp_path: Path) -> None:
    file = tmp_path / "latest-time.json"
    LatestTime(file, lambda: NOON).now()

    assert LatestTime(file, lambda: NOON - timedelta(minutes=1)).doubt() == ""


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"utc": 3}', '{"utc": "soon"}', "\0"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "latest-time.json"
    file.write_text(content)

    with pytest.raises(UpdateError, match="look at the clock, then delete the file"):
        LatestTime(file).now()


def test_where_it_cannot_be_written_no_update_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")

    with pytest.raises(UpdateError, match="cannot"):
        LatestTime(tmp_path / "state" / "latest-time.json").now()
