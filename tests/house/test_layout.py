"""The house has five rooms, and nothing in it says where it was built."""

from __future__ import annotations

import re

import pytest

from tests.house.checkout import REPOSITORY, files, text_files

ROOMS = {"trainer", "exporter", "edge_daemon", "deploy", "tests"}

# Written in pieces, so that this file does not name them either.
MACHINE_PATHS = [f"/{name}/" for name in ("work", "root", "tmp")]
REGISTRY_HOSTS = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"))]


def test_python_code_lies_in_the_five_rooms() -> None:
    code = {path.relative_to(REPOSITORY).parts[0] for path in files() if path.suffix == ".py"}

    assert code == ROOMS


@pytest.mark.parametrize("trace", MACHINE_PATHS + REGISTRY_HOSTS)
def test_no_file_names_a_machine_path_or_a_package_index(trace: str) -> None:
    # Inside a longer path or name ("/var/work/") it is somebody else's.
    pattern = re.compile(
        rf"(?<![\w./-]){re.escape(trace)}" if trace[0] == "/" else re.escape(trace)
    )
    naming = [
        str(path.relative_to(REPOSITORY))
        for path in text_files()
        if pattern.search(path.read_text(encoding="utf-8"))
    ]

    assert naming == []
