"""A configuration read again: all that may change, or nothing of it."""

from __future__ import annotations

from typing import Any

import pytest

from edge_daemon.config import Config
from edge_daemon.errors import ConfigError
from edge_daemon.service.reload import RELOADED, reloaded

GIVEN: dict[str, Any] = {
    "source": {"url": "sim://"},
    "broker": {"url": "mqtt://127.0.0.1"},
    "slide": {"operator": "op-1"},
}


def config(**changes: Any) -> Config:
    return Config.model_validate({**GIVEN, **changes})


def test_the_same_file_changes_nothing() -> None:
    assert reloaded(config(), config()) == []


def test_what_may_change_is_named() -> None:
    after = config(
        broker={"url": "mqtt://elsewhere"}, slide={"operator": "op-2"}, health_every_s=3.0
    )
    assert reloaded(config(), after) == ["broker", "slide", "health_every_s"]


@pytest.mark.parametrize(
    "change",
    [
        {"source": {"url": "camera://0"}},
        {"device": {"name": "other"}},
        {"models": {"engine": "onnxruntime"}},
        {"outbox": {"budget_mb": 9}},
    ],
)
def test_what_was_opened_at_the_start_is_refused_with_all_else(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(ConfigError, match=rf"^{name} cannot change .* nothing was taken over"):
        reloaded(config(), config(health_every_s=3.0, **change))


def test_every_key_is_known_to_be_one_or_the_other() -> None:
    assert set(RELOADED) < set(Config.model_fields)
