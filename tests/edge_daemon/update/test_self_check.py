"""What a new version is asked before it is started: does it understand what lies here?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon import __version__
from edge_daemon.cli import app
from edge_daemon.errors import BundleError, ConfigError, LeukoError
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

CONFIG = """
[device]
site = "lab"
name = "scope-1"
[source]
url = "camera://7"
[broker]
url = "mqtt://127.0.0.1:1"
"""


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """Its camera and broker are absent: they are the running daemon's."""
    (tmp_path / "device.toml").write_text(CONFIG)
    return tmp_path


def ask(device: Path) -> str:
    arguments = ["update", "self-check", str(device / "device.toml")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=True)
    if isinstance(done.exception, LeukoError):
        raise done.exception
    return done.output


def test_it_says_what_it_understands_and_opens_nothing(device: Path) -> None:
    before = sorted(device.rglob("*"))

    assert ask(device) == f"leuko-edge {__version__} understands leukoedge-0.7.0\n"

    assert sorted(device.rglob("*")) == before
    write_tiny_bundle(device / "bundles", "0.1.0")
    state = device / "bundles" / "active.json"
    state.write_text('{"active": "tiny-0.1.0", "trying": "tiny-0.2.0"}')
    trial = state.read_text()
    assert "understands tiny-0.1.0" in ask(device)
    assert state.read_text() == trial, "a trial of the running daemon is none of its business"


def test_a_configuration_or_a_bundle_that_it_does_not_know_is_told(device: Path) -> None:
    (device / "bundles").mkdir()
    (device / "bundles" / "active.json").write_text('{"active": "tiny-9.9.9"}')
    with pytest.raises(BundleError, match="tiny-9"):
        ask(device)
    (device / "device.toml").write_text(CONFIG + "[sources]\n")
    with pytest.raises(ConfigError, match="sources"):
        ask(device)


def test_a_library_that_the_machine_lacks_is_told(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="onnxruntime cannot be imported"):
        ask(device)
