"""This very checkout, built as a wheel of a higher version, takes its own place: a real daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.trust import wheelhouse
from deploy.trust.add import add
from edge_daemon import __version__
from edge_daemon.contract.envelope import utc_now
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.update.environment import CURRENT
from tests.edge_daemon.update.own_wheel import install_checkout, link_packages
from tests.edge_daemon.update.versions import PATIENCE_S, Scope

NEXT = "99.0.0"


class OwnScope(Scope):
    """Begins with this checkout, as a version that was installed."""

    def _put_first(self) -> None:
        install_checkout(self.versions)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = link_packages(tmp_path / "packages")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture
def scope(tmp_path: Path, packages: Path) -> Iterator[Scope]:
    scope = OwnScope(tmp_path)
    text = scope.file.read_text().replace("[update]", "[update]\nsystem_site_packages = true")
    scope.file.write_text(text.replace("answers_within_s = 20.0", "answers_within_s = 60.0"))
    scope.start()
    yield scope
    scope.stop()


def built_as(version: str, place: Path, repository: Path) -> Path:
    """The wheel of this checkout, but for its version."""
    copy = place / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(repository / name, copy / name)
    for room in ("edge_daemon", "trainer", "exporter", "deploy"):
        shutil.copytree(
            repository / room, copy / room, ignore=shutil.ignore_patterns("__pycache__")
        )
    about = copy / "edge_daemon" / "__init__.py"
    about.write_text(about.read_text().replace(f'"{__version__}"', f'"{version}"'))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(build, cwd=copy, check=True, capture_output=True, env=environment)
    (wheel,) = place.glob("*.whl")
    return wheel


def test_a_real_daemon_is_exchanged_for_the_next_one(
    scope: Scope, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hatchling", reason="make venv installs the build backend")
    before = scope.state()
    assert before.daemon == __version__
    (tmp_path / "built").mkdir()
    wheel = built_as(NEXT, tmp_path / "built", repository)
    empty = tmp_path / "wheelhouse"
    empty.mkdir()
    monkeypatch.setattr(wheelhouse, "_check_complete", lambda *_: None)  # the system has the rest
    add(scope.fleet.repository, wheel, scope.fleet.ring(), utc_now(), wheelhouse=empty)
    scope.fleet.publish()
    scope.order(NEXT)

    updater = [scope.versions.root / CURRENT / "bin" / "leuko-edge", "update", "run", scope.file]
    done = subprocess.run(updater, check=False, capture_output=True, text=True, timeout=300)

    journal = scope.journal
    assert journal.step == "committed", journal.line
    assert done.returncode == 1, "it is of the old version: systemd starts that of the new one"
    assert "this updater ends, and that one begins" in done.stderr
    after = scope.state()
    assert (after.daemon, after.digest) == (NEXT, before.digest)
    assert after.boot_id != before.boot_id
    assert scope.links == (NEXT, __version__)
    config = (scope.versions.place(NEXT) / "pyvenv.cfg").read_text()
    assert "include-system-site-packages = true" in config
    scope.power_cut()
    assert wait_until(lambda: scope.runs == NEXT, PATIENCE_S)
