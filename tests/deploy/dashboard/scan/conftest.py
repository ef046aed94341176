"""A laboratory behind the whole application, for a scanner: alerts, rollouts, all roles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from deploy.dashboard.alerts.watch import Watch
from deploy.dashboard.database.opening import Database
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.fleet_day import fill_fleet, listens
from tests.deploy.dashboard.fleet_files import make_registry, make_rollout
from tests.deploy.dashboard.scan.listener import Listener, listening
from tests.deploy.dashboard.scan.scanner import find_scanner
from tests.deploy.dashboard.web.conftest import (  # noqa: F401 - fixtures
    _quick_hashes,
    day,
)

collect_ignore = [] if os.environ.get("LEUKO_SCAN") == "1" else ["test_scan.py"]
"""`make scan` asks for it; `make test` neither runs nor skips it."""


@pytest.fixture(scope="session")
def scanner() -> Path:
    """Wapiti's program."""
    program = find_scanner()
    if program is None:
        pytest.skip("the scanner is not installed: make scan")
    return program


@pytest.fixture(scope="session")
def laboratory(day: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Its file."""
    file = Path(shutil.copy(day, tmp_path_factory.mktemp("laboratory") / "day.db"))
    with Database(file) as database:
        fill_fleet(database, utc_now())
        Watch(database, name="then").round()
        listens(database, utc_now())
    return file


@pytest.fixture
def settings(laboratory: Path, tmp_path: Path) -> WebSettings:
    """On a copy of it, with a registry and a rollout."""
    shutil.copy(laboratory, tmp_path / "dashboard.db")
    make_registry(tmp_path / "registry.db", utc_now())
    make_rollout(tmp_path / "rollouts" / "one")
    return WebSettings(
        str(tmp_path / "dashboard.db"),
        port=0,
        registry=tmp_path / "registry.db",
        rollouts=tmp_path / "rollouts",
    )


@pytest.fixture
def listener() -> Generator[Listener, None, None]:
    """Where a server that can be made to ask somewhere would ask."""
    with listening() as one:
        yield one
