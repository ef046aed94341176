"""What is installed is pinned to digests, names no host, and keeps torch off the device."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.house.checkout import REPOSITORY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCKS = sorted((REPOSITORY / "requirements").rglob("*.txt"))

_PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", re.MULTILINE)


def pins(lock: str) -> dict[str, set[str]]:
    """Package name -> the versions pinned for it, one per range of Python versions."""
    versions: dict[str, set[str]] = {}
    for name, version in _PIN.findall((REPOSITORY / "requirements" / lock).read_text("utf-8")):
        versions.setdefault(name, set()).add(version)
    return versions


@pytest.fixture(scope="module")
def project() -> dict[str, list[str]]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_host(lock: Path) -> None:
    text = lock.read_text("utf-8")

    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_pin_carries_a_digest(lock: Path) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", lock.read_text("utf-8"))
    unpinned = [entry for entry in entries if _PIN.match(entry) and "--hash=sha256:" not in entry]

    assert _PIN.search(lock.read_text("utf-8"))
    assert unpinned == []


def test_the_device_gets_all_it_asks_for_and_no_torch(project: dict[str, list[str]]) -> None:
    pinned = pins("daemon.txt")
    asked_for = {re.split(r"[<>=;\[ ]", wish)[0].lower() for wish in project["dependencies"]}

    assert asked_for <= set(pinned)
    assert not {"torch", "torchvision", "onnx", "scikit-learn"} & set(pinned)


def test_development_runs_the_versions_that_the_device_runs() -> None:
    device, development = pins("daemon.txt"), pins("dev.txt")

    assert {name: development.get(name) for name in device} == device


def test_the_central_side_runs_the_versions_of_both_and_no_torch() -> None:
    device, central, development = (pins(f"{name}.txt") for name in ("daemon", "central", "dev"))

    assert {name: central.get(name) for name in device} == device
    assert {name: development.get(name) for name in central} == central
    assert not {"torch", "torchvision", "onnx", "scikit-learn"} & set(central)


def test_both_builds_of_opencv_are_one_release() -> None:
    windowless = pins("headless.txt")["opencv-python-headless"]

    assert windowless == pins("daemon.txt")["opencv-python"]
