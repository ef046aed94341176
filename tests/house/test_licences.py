"""Nothing under the GPL or AGPL is installed, and each exception says why it is one.

What lies in ``requirements/tools`` is installed with nothing of ours: a program in an environment
of its own, which may stand under any licence. Nothing else may take its lock.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.supply.licences import Allowed, load
from deploy.supply.lock import read_lock
from tests.house.checkout import REPOSITORY

LOCKS = sorted((REPOSITORY / "requirements").glob("*.txt"))
PRODUCT = "daemon.txt"


@pytest.fixture(scope="module")
def known() -> Allowed:
    return load()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_everything_that_is_installed_stands_under_an_allowed_licence(
    lock: Path, known: Allowed
) -> None:
    names = sorted({pin.name for pin in read_lock(lock)})
    refused = {
        name: known.licence_of(name)
        for name in names
        if not known.may_be(name, on_a_device=lock.name == PRODUCT)
    }

    assert refused == {}


def test_a_tool_of_any_licence_is_in_no_lock_of_ours() -> None:
    tools = (REPOSITORY / "requirements" / "tools").glob("*.in")
    named = {
        line.partition(">")[0].strip()
        for tool in tools
        for line in tool.read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    }

    assert named == {"wapiti3"}
    assert not named & {pin.name for lock in LOCKS for pin in read_lock(lock)}


def test_the_list_allows_no_licence_that_asks_for_our_source(known: Allowed) -> None:
    assert [
        one for one in known.allowed if re.search(r"GPL|SSPL|EUPL|CC-BY-SA|CC-BY-NC", one)
    ] == []


def test_nothing_is_on_the_list_for_nothing(known: Allowed) -> None:
    installed = {pin.name for lock in LOCKS for pin in read_lock(lock)}

    assert set(known.package) <= installed
    assert all(
        any(known.exempt(name) is one for name in installed) for one in known.exception.values()
    )
    assert all(len(one.reason) > 20 for one in known.exception.values())
