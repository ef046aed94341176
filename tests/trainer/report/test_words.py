"""The summary says who is ahead, what is noise, and never more than the figures do."""

from __future__ import annotations

from tests.trainer.drawn_predictions import draw_cells, draw_model
from trainer.area_baseline import area_baseline
from trainer.predictions import Predictions
from trainer.report.words import summary
from trainer.statistics.comparison import compare_models

CELLS = draw_cells(scale=0.1)
GOOD = draw_model(CELLS, "good", 4.0, seed=1)
ALIKE = draw_model(CELLS, "alike", 4.0, seed=2)
POOR = draw_model(CELLS, "poor", 1.0, seed=3)


def said(*models: Predictions) -> str:
    topics = summary(compare_models(models, rounds=300))
    return "\n".join(sentence for topic in topics for sentence in topic.sentences)


def test_a_clear_lead_is_named_with_its_size_and_a_small_one_as_noise() -> None:
    text = said(GOOD, ALIKE, POOR)
    best, other = ("good", "alike") if "good ranks best" in text else ("alike", "good")

    assert f"{best} ranks best of the networks: AUROC 0.9" in text
    assert f"{best} is ahead of poor by 0." in text
    assert f"Within noise: its lead over {other} by " in text


def test_a_network_that_beats_the_size_of_the_cell_is_said_to() -> None:
    assert "good knows more than the size of the cell: ahead of it by" in said(
        GOOD, area_baseline(CELLS)
    )


def test_a_network_behind_the_size_of_the_cell_is_said_to_be() -> None:
    assert "The size of the cell alone ranks" in said(POOR, area_baseline(CELLS))


def test_what_a_split_by_image_would_have_claimed_is_said_beside_what_holds() -> None:
    text = said(POOR, draw_model(CELLS, "poor", 4.0, split="images"))
    assert "Split by image, poor would have claimed an AUROC of 0.9" in text
    assert "with patients held apart it is 0." in text


def test_the_cost_of_the_background_is_said() -> None:
    assert "From black to a real background good loses 0." in said(GOOD)
