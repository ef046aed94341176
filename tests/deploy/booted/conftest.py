"""The device of these tests, one for a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.booted.hospital import Hospital, hospital
from tests.deploy.booted.machine import why_not


@pytest.fixture(scope="module")
def bare(mosquitto: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A hospital with a device on which nothing of ours is yet."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    pytest.importorskip("ansible_runner", reason="pip install 'leukoedge[ansible]'")
    with hospital(tmp_path_factory.mktemp("hospital"), mosquitto) as place:
        yield place
