"""``leuko-edge sources``: what is plugged in, what is known, and which plugin is broken."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from rich.console import Console

from edge_daemon.commands.sources import list_sources
from edge_daemon.sources import plugins
from edge_daemon.sources.open import SCHEMES
from edge_daemon.sources.v4l import VideoDevices
from tests.edge_daemon.sources.plugged import UsbPort
from tests.edge_daemon.test_cli import leuko_edge


@pytest.fixture
def port(tmp_path: Path) -> Iterator[UsbPort]:
    port = UsbPort(tmp_path)
    yield port
    port.let_all_go()


def listed(devices: VideoDevices) -> str:
    text = io.StringIO()
    list_sources(Console(file=text, width=60), devices)
    return text.getvalue()


def test_cameras_are_listed_as_their_addresses(port: UsbPort) -> None:
    port.plug(serial="AB[1]", node="video2")
    port.plug(serial="", node="video10")
    lines = listed(port.devices).splitlines()
    assert lines[0] == "cameras"
    assert lines[1].split() == [
        "camera://serial/AB[1]",
        str(port.devices.dev / "video2"),
        "Acme",
        "AB[1]",
    ]
    assert lines[2].startswith(f"  camera://{port.devices.dev / 'video10'}  ")


def test_no_camera(port: UsbPort) -> None:
    assert listed(port.devices).startswith("cameras: none is plugged in, as far as Linux tells")


def test_every_kind_of_source_is_there_and_a_broken_plugin_is_called_so(
    port: UsbPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = [
        EntryPoint("acme", "edge_daemon.sources.open:open_source", plugins.GROUP),
        EntryPoint("broken", "no_such_package:open", plugins.GROUP),
        EntryPoint("sim", "no_such_package:open", plugins.GROUP),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: declared)
    text = listed(port.devices)
    assert all(f"  {scheme}://" in text for scheme in SCHEMES)
    assert "acme://" in text
    assert "BROKEN  broken://: its plugin no_such_package:open of an unknown package cannot" in text
    assert "passed over, LeukoEdge has this kind itself" in text


def test_the_command_itself() -> None:
    result = leuko_edge("sources")
    assert result.returncode == 0
    assert "sim://" in result.stderr
