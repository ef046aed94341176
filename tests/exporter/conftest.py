"""A bundle of small networks, written once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.bundle.writer import write_bundle
from tests.exporter.small_models import small_draft


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written bundle. Tests that change it work on a copy."""
    return write_bundle(small_draft(), tmp_path_factory.mktemp("bundles")).path
