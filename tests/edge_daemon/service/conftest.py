"""What tests of the slide service share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.engines.options import EngineOptions
from edge_daemon.inference import Models
from edge_daemon.service import slides
from tests.edge_daemon.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """Networks that are small and real."""
    bundle = load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("bundles")))
    with Models.open(bundle, EngineOptions("onnxruntime", threads=1)) as opened:
        yield opened


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop waits for nothing longer than a test should."""
    monkeypatch.setattr(slides, "CLOSING_S", 0.05)
    monkeypatch.setattr(slides, "TURN_S", 0.01)
