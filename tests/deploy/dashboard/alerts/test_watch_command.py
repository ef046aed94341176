"""``leuko-deploy dashboard watch`` as a program, and the document as its page describes it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.dashboard.alerts.message import AlertMessage
from deploy.dashboard.alerts.watch import Watch
from deploy.dashboard.alerts.words import KINDS
from deploy.dashboard.database.opening import Database
from deploy.dashboard.queries.alerts import open_alerts
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.fleet_day import Voice, enter, listens

WITHIN_S = 60.0


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from deploy.cli import main; main()", "dashboard", *words]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_it_watches_until_it_is_stopped_and_another_may_begin_at_once(database: Database) -> None:
    listens(database, utc_now())
    voice = Voice("lab", "scope-1")
    enter(database, (voice.status(utc_now(), "offline", "lost"), utc_now()))
    process = subprocess.Popen(
        command("watch", "--database", database.name), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "watching\n"
        until_s = time.monotonic() + WITHIN_S
        found: tuple[object, ...] = ()
        while not found and time.monotonic() < until_s:
            with database.reading() as connection:
                found = open_alerts(connection)
            time.sleep(0.05)
        assert len(found) == 1
        other = Watch(database)
        other.round()
        assert not other.leads
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0
    other.round()
    assert other.leads


def test_what_is_wrong_with_the_options_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        command("watch", "--database", str(tmp_path / "x.db"), "--webhook", "http://lis.example/"),
        env={"LEUKO_WEBHOOK_SECRET": "whsec_" + "QUJD" * 16, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "in the clear" in done.stderr


def test_the_page_describes_the_document_as_it_is(repository: Path) -> None:
    page = (repository / "docs" / "dashboard/alerts.md").read_text("utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    said = AlertMessage.model_validate_json(example)
    assert json.loads(said.to_json()).keys() == json.loads(example).keys()
    assert all(f"`{kind}`" in page for kind in KINDS)
