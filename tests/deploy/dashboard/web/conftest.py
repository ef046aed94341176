"""A laboratory's day behind the web application: filled once, copied for each test."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from playwright.sync_api import Browser, sync_playwright

from deploy.dashboard.access import passwords, users
from deploy.dashboard.application import create_application as create_app
from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.web.serving import Server, listen, url_of
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.filled import DAY, fill
from tests.deploy.dashboard.web.browser import PASSWORD, SignIn
from tests.deploy.dashboard.web.client import Client

USERS = {"vera": "viewer", "rosa": "reviewer", "ruth": "reviewer", "lena": "lead", "anna": "admin"}
SMALL_DAY = tuple(
    replace(one, fields=12 if one.completion is None else 16, missing=one.missing and (5, 6, 9))
    for one in DAY[:4]
)
"""Positive, without blasts, in progress, with gaps."""


@pytest.fixture(scope="session", autouse=True)
def _quick_hashes() -> Generator[None, None, None]:
    """Argon2 as it is, with little work: what it is worth is not what these tests ask."""
    with pytest.MonkeyPatch.context() as patch:
        quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr(passwords, "_hasher", quick)
        patch.setattr(passwords, "_NOBODY", quick.hash("the password of nobody"))
        yield


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a day, with a user of each role."""
    file = tmp_path_factory.mktemp("day") / "day.db"
    with Database(file) as database:
        migrate(database)
        fill(database, utc_now(), SMALL_DAY)
        with database.writing() as connection:
            for name, role in USERS.items():
                users.add(connection, name, role, PASSWORD, name.title())
    return file


@pytest.fixture
def filled(day: Path, tmp_path: Path) -> Path:
    """A copy of the day."""
    return Path(shutil.copy(day, tmp_path / "dashboard.db"))


@pytest.fixture
def settings(filled: Path) -> WebSettings:
    """On a free port of this machine, without TLS."""
    return WebSettings(str(filled), port=0)


@pytest.fixture
def client(settings: WebSettings) -> Generator[Client, None, None]:
    """Nobody is in."""
    with opened(settings) as one:
        yield one


@contextmanager
def opened(settings: WebSettings, base: str = "http://127.0.0.1") -> Iterator[Client]:
    """A browser without scripts, in this process."""
    with Client(create_app(settings), base) as one:
        yield one


@contextmanager
def serving(
    settings: WebSettings, create: Callable[[WebSettings], FastAPI] = create_app
) -> Iterator[str]:
    """The application behind a real socket."""
    listening = listen(settings.host, settings.port)
    server = Server(create(settings), settings)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield url_of(settings, listening).rstrip("/")
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture
def server(settings: WebSettings) -> Generator[str, None, None]:
    """Its address."""
    with serving(settings) as url:
        yield url


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Generator[Browser, None, None]:
    """Chromium without a window.

    Of one module: while it is there Playwright's event loop runs in this thread, and whoever else
    wants one here is refused.
    """
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(
            executable_path=str(chromium), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield one
        one.close()


@pytest.fixture
def sign_in(browser: Browser, server: str) -> Generator[SignIn, None, None]:
    """Who calls it with a name has a browser of their own; what it asked for is kept."""
    one = SignIn(browser, server)
    yield one
    one.close()
