"""Each room declares what it imports: a package that is there by chance is not there tomorrow."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.house.checkout import REPOSITORY, files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOMS = {"edge_daemon", "trainer", "exporter", "deploy", "tests"}

# Which optional groups of pyproject.toml each room may count on, beside the base.
EXTRAS = {
    "edge_daemon": ["demo", "jetson", "genicam", "update"],
    "trainer": ["train"],
    "exporter": ["train", "export", "sign"],
    "deploy": ["update", "deploy", "ansible", "dashboard"],
    "tests": ["demo", "train", "export", "sign", "update", "deploy", "dashboard", "dev"],
}

# Another build of a declared package.
SAME_AS = {"opencv-python-headless": "opencv-python"}


def declared(room: str) -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    wishes = list(project["dependencies"])
    for extra in EXTRAS[room]:
        wishes += project["optional-dependencies"][extra]
    return {_canonical(re.split(r"[<>=;\[ ]", wish)[0]) for wish in wishes}


def imported(room: str) -> dict[str, Path]:
    """Top-level packages that the room's modules import -> a file that does."""
    found: dict[str, Path] = {}
    for path in files():
        if path.suffix == ".py" and path.relative_to(REPOSITORY).parts[0] == room:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                else:
                    continue
                found.update({name.partition(".")[0]: path for name in names})
    return found


@pytest.mark.parametrize("room", sorted(EXTRAS))
def test_a_room_declares_what_it_imports(room: str) -> None:
    distributions = packages_distributions()
    foreign = {
        package: path.relative_to(REPOSITORY)
        for package, path in imported(room).items()
        if package not in ROOMS and package not in sys.stdlib_module_names | {"tomllib"}
    }
    undeclared = {
        package: str(path)
        for package, path in foreign.items()
        if not declared(room) & {_canonical(name) for name in distributions.get(package, [package])}
    }

    assert undeclared == {}


def _canonical(distribution: str) -> str:
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    return SAME_AS.get(name, name)
