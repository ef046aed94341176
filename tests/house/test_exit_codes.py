"""Whoever calls a command knows from its exit code what went wrong, whichever room it was in."""

from __future__ import annotations

import importlib
from collections import defaultdict

from edge_daemon.errors import LeukoError
from tests.house.checkout import REPOSITORY, files

ROOMS = {"edge_daemon", "trainer", "exporter", "deploy"}


def families(of: type[LeukoError]) -> set[type[LeukoError]]:
    """Every error that has an exit code of its own."""
    found: set[type[LeukoError]] = set()
    for one in of.__subclasses__():
        found |= families(one)
        if "exit_code" in vars(one):
            found.add(one)
    return found


def test_each_kind_of_error_ends_with_a_code_of_its_own() -> None:
    for path in files():
        name = path.relative_to(REPOSITORY)
        if name.name == "errors.py" and name.parts[0] in ROOMS:
            importlib.import_module(".".join(name.with_suffix("").parts))
    codes: dict[int, list[str]] = defaultdict(list)
    for error in families(LeukoError):
        if error.__module__.partition(".")[0] in ROOMS:
            codes[error.exit_code].append(f"{error.__module__}.{error.__qualname__}")

    assert {code: names for code, names in codes.items() if len(names) > 1} == {}
