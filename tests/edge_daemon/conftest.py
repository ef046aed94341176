"""Fixtures of the daemon's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edge_daemon.engines.gpu_machine import gpu_machine
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

__all__ = ["gpu_machine"]


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundles")
