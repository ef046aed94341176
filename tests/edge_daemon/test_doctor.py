"""One archive for whoever is to help, and nothing in it that names anyone."""

from __future__ import annotations

import io
import tarfile
import uuid
from datetime import datetime, timezone
from pathlib import Path

import pytest
from rich.console import Console

from edge_daemon.commands.doctor import doctor
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.errors import ConfigError
from edge_daemon.ledger.slides import SlideLedger
from edge_daemon.slide_session import SlideSetup

CONFIG = """
[device]
site = "st-vitus"
name = "scope-eleven"
[source]
url = "sim://?fields=2"
[models]
bundle = "{bundle}"
[broker]
url = "mqtt://nurse:hunter22@broker.st-vitus.example:1"
connect_timeout_s = 0.2
[slide]
operator = "dr-grey"
[update]
repository = "https://updates.meadow-clinic.example:8443/fleet"
"""


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Path) -> Path:
    file = tmp_path / "device.toml"
    file.write_text(CONFIG.format(bundle=tiny_bundle))
    with Outbox(tmp_path / "leuko-edge-outbox.db") as outbox:
        setup = SlideSetup("MEYER-1954", operator="dr-grey", source="sim")
        SlideLedger(outbox).begin(setup, uuid.uuid4().hex, datetime.now(timezone.utc))
    return file


def texts_of(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as opened:
        return {
            Path(entry.name).name: opened.extractfile(entry).read().decode()  # type: ignore[union-attr]
            for entry in opened
        }


def test_it_holds_what_helps(config: Path, tmp_path: Path) -> None:
    printed = io.StringIO()
    out = doctor(config, tmp_path / "d.tar.gz", Console(file=printed, width=200))
    texts = texts_of(out)
    assert "openvino" in texts["versions.txt"]
    assert "tiny-0.1.0 sha256:" in texts["bundle.txt"]
    assert "FAIL  broker" in texts["check.txt"]
    assert "waiting: {'messages': 0" in texts["outbox.txt"]
    assert "engine" in texts["configuration.json"]
    assert "read it before you send it" in printed.getvalue()


def test_nothing_in_it_names_anyone(config: Path, tmp_path: Path) -> None:
    whole = "".join(texts_of(doctor(config, tmp_path / "d.tar.gz", _quiet())).values())
    names = ("st-vitus", "scope-eleven", "nurse", "hunter22", "dr-grey", "MEYER", "meadow-clinic")
    for name in (*names, str(Path.home())):
        assert name not in whole, name


def test_names_are_in_it_when_asked_for_and_secrets_never(config: Path, tmp_path: Path) -> None:
    whole = "".join(texts_of(doctor(config, tmp_path / "d.tar.gz", _quiet(), names=True)).values())
    assert "st-vitus" in whole
    assert "hunter22" not in whole


def test_a_configuration_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "device.toml"
    file.write_text("[sauce]\n")
    texts = texts_of(doctor(file, tmp_path / "d.tar.gz", _quiet()))
    assert "unknown key 'sauce'" in texts["configuration.json"]
    assert "not all of it works" in texts["check.txt"]


def test_where_it_cannot_be_written_is_one_line(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write .*none/d\.tar\.gz: .*--out"):
        doctor(config, tmp_path / "none" / "d.tar.gz", _quiet())


def _quiet() -> Console:
    return Console(file=io.StringIO())
