"""A real PostgreSQL for tests: on 127.0.0.1, on a free port, with ``fsync`` on.

Its programs refuse to run as root, so tests that do hand the server's folder to ``postgres`` (or
``nobody``) and start it as that user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psycopg
from typing_extensions import Self

from edge_daemon.delivery.broker import free_port

_PATIENCE_S = 60.0


def find_programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; Debian's is in no PATH."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("postgres", path=str(Path(found).resolve().parent)):
        return Path(found).resolve().parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: one.parent.name)
    return next((one for one in reversed(places) if (one / "initdb").exists()), None)


class Postgres:
    """A server that can be stopped, killed and started again on the same port."""

    def __init__(self, programs: Path, extra: str = "") -> None:
        """Make its files; ``extra`` is added to its configuration."""
        self.port = free_port()
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None
        # not below pytest's folders, which only their owner may enter
        self._folder = Path(tempfile.mkdtemp(prefix="leuko-pg-"))
        self._user = _unprivileged()
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        words = ("--auth=trust", "--username=leuko", "--encoding=UTF8", "--locale=C", "--no-sync")
        self._run(self._programs / "initdb", "-D", self._data, *words)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
                "unix_socket_directories = ''\nfsync = on\nsynchronous_commit = on\n"
                f"max_connections = 60\nlog_timezone = 'UTC'\n{extra}\n"
            )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def url(self) -> str:
        """The address of the database that is there from the start."""
        return self._url("postgres")

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def fresh(self) -> str:
        """The address of a new, empty database."""
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._url(name)

    def drop(self, url: str) -> None:
        """Delete a database, whoever is connected."""
        name = url.rpartition("/")[2]
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as_user(),
            )
        deadline_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
                return
            time.sleep(0.05)
        self._end(signal.SIGQUIT)
        raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()}")

    def stop(self) -> None:
        """Stop it now, in good order: connections are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As after a crash: it recovers from its log at the next start."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE_S)
            self._process = None

    def _url(self, database: str) -> str:
        return f"postgresql://leuko@127.0.0.1:{self.port}/{database}"

    def _run(self, *words: str | Path) -> None:
        done = subprocess.run(
            words, check=False, capture_output=True, cwd=self._folder, **self._as_user()
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace"))

    def _as_user(self) -> dict[str, int | list[int]]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom root starts the server as; None for everybody else."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("there is no user that PostgreSQL could run as")
