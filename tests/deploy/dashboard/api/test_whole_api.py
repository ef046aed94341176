"""Schemathesis reads the API's document, and asks whatever it allows and much that it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.dashboard.access import tokens, users
from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.filled import fill
from tests.deploy.dashboard.web.browser import PASSWORD
from tests.deploy.dashboard.web.conftest import SMALL_DAY, serving
from tests.soak import SOAKING

SECONDS = 600 if SOAKING else 12
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.mark.soak
def test_nothing_that_is_asked_breaks_the_server(place: str, tmp_path: Path) -> None:
    now = utc_now()
    with Database(place) as database:
        migrate(database)
        fill(database, now, SMALL_DAY[:2])
        with database.writing() as connection:
            users.add(connection, "lena", "lead", PASSWORD)
            token = tokens.make(connection, "fuzz", "lena", "lead", 1, now)

    with serving(WebSettings(place, port=0)) as url:
        run = subprocess.run(
            [
                sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
                "run", f"{url}/api/v1/openapi.json", "--header", f"Authorization: Bearer {token}",
                "--max-time", str(SECONDS), "--max-examples", "100" if SOAKING else "8",
                "--phases", "coverage,fuzzing", "--checks", ",".join(CHECKS), "--no-color",
                "--warnings", "off", "--request-timeout", "30", "--continue-on-failure",
            ],
            check=False, capture_output=True, text=True, cwd=tmp_path, timeout=SECONDS + 120,
        )  # fmt: skip

    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "20 selected / 20 total" in run.stdout or "Operations:" in run.stdout
