"""``[update]``: where updates come from, beside the configuration or elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.config import load_config
from edge_daemon.errors import ConfigError

CONFIG = '[source]\nurl = "sim://"\n[broker]\nurl = "mqtt://127.0.0.1"\n[update]\n'


def written(folder: Path, text: str) -> Path:
    file = folder / "device.toml"
    file.write_text(CONFIG + text)
    return file


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("fleet", "{here}/fleet"),
        ("/media/stick/fleet", "/media/stick/fleet"),
        ("https://updates.example/fleet", "https://updates.example/fleet"),
    ],
)
def test_a_repository_is_an_address_or_a_folder_beside_the_file(
    tmp_path: Path, given: str, read: str
) -> None:
    update = load_config(written(tmp_path, f'repository = "{given}"\n')).update

    assert update.repository == read.format(here=tmp_path)
    assert update.from_broker == tmp_path / "update" / "desired.json"


def test_a_password_in_the_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    file = written(tmp_path, 'repository = "https://me:hunter22@updates.example/fleet"\n')
    with pytest.raises(ConfigError, match="no name and password") as error:
        load_config(file)
    assert "hunter22" not in str(error.value)
