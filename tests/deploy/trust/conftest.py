"""Fixtures of the repository's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.trust.fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet.founded(tmp_path)
