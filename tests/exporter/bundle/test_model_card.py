"""The model card says how the weights really came about."""

from __future__ import annotations

from dataclasses import replace

from exporter.bundle.model_card import model_card
from tests.exporter.small_models import small_draft


def test_a_history_that_the_command_does_not_tell_is_told() -> None:
    told = "Epochs 1 to 3 were trained on half of the frames."
    card = model_card(replace(small_draft(), history=(told,)), {})
    assert told in card.partition("## How it was made")[2]


def test_without_a_history_nothing_is_added() -> None:
    plain = model_card(small_draft(), {})
    assert model_card(replace(small_draft(), history=()), {}) == plain
    assert "leuko-export bundle --name small\n```\n\nSoftware:" in plain
