"""What the documents show works: links lead somewhere, examples are accepted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_daemon.config import load_config
from tests.house.checkout import REPOSITORY, files

DOCUMENTS = [path for path in files() if path.suffix == ".md"]

_LINK = re.compile(r"\]\((?!\w+://)([^)#\s]+)")
_TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_to_files_of_this_repository(document: Path) -> None:
    targets = _LINK.findall(document.read_text("utf-8"))

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_configuration_in_the_readme_is_accepted(tmp_path: Path) -> None:
    (example,) = _TOML.findall((REPOSITORY / "README.md").read_text("utf-8"))
    config = tmp_path / "microscope.toml"
    config.write_text(example, encoding="utf-8")

    assert load_config(config).source.url == "camera://0"
