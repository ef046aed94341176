"""A number of the report says where it stands in metrics.json, and is printed by its kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.report.figures import figure_at, pointer_of, text_of, value_at


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        ({"value": 0.8891, "low": 0.81, "high": 0.95}, "auroc", "0.889 [0.810, 0.950]"),
        ({"value": None, "low": None, "high": None}, "auroc", "n/a"),
        (None, "by_groups", "n/a"),
        (0.0004, "p_value", "< 0.001"),
        (1.0, "p_holm", "1.000"),
        (0.041, "p_value", "0.041"),
        (6386.0, "cells", "6,386"),
        (0.13, "gflops", "0.13"),
        ("ImageNet", "initial_weights", "ImageNet"),
    ],
)
def test_a_number_is_printed_by_its_kind(value: object, name: str, text: str) -> None:
    assert text_of(value, name) == text


@given(keys=st.lists(st.text("ab/~ 1", min_size=1), min_size=1))
def test_a_pointer_leads_back_to_its_number_whatever_a_model_is_called(keys: list[str]) -> None:
    metrics: object = 0.5
    for key in reversed(keys):
        metrics = {key: metrics}

    assert value_at(metrics, pointer_of(keys)) == 0.5
    assert figure_at(metrics, *keys).text == "0.5"
