"""The gate is shut unless every figure that matters was measured and held."""

from __future__ import annotations

import math

import pytest

from exporter.gate import Measured, Verdict


def verdict(before: dict[str, float], after: dict[str, float]) -> Verdict:
    return Verdict(
        "classifier",
        "int8",
        "minmax",
        Measured(before, frozenset({"a", "b"})),
        Measured(after, frozenset({"b", "c"})),
    )


@pytest.mark.parametrize(
    ("figure", "allowed"),
    [("on_black.auroc", 0.005), ("on_black.sensitivity", 0.005), ("bccd/val.map50", 0.010)],
)
def test_it_opens_up_to_the_limit_and_no_further(figure: str, allowed: float) -> None:
    assert verdict({figure: 0.9}, {figure: 0.9 - allowed + 1e-9}).passed
    refused = verdict({figure: 0.9}, {figure: 0.9 - allowed - 1e-6})
    assert not refused.passed
    assert figure in refused.refusals[0]


def test_better_is_no_reason_to_refuse() -> None:
    assert verdict({"on_black.auroc": 0.8}, {"on_black.auroc": 0.9}).passed


@pytest.mark.parametrize("after", [{}, {"on_black.auroc": math.nan}])
def test_what_was_not_measured_counts_as_lost(after: dict[str, float]) -> None:
    assert not verdict({"on_black.auroc": 0.8}, after).passed


def test_figures_that_only_inform_decide_nothing() -> None:
    assert verdict(
        {"on_black.auroc": 0.8, "on_black.specificity": 0.9},
        {"on_black.auroc": 0.8, "on_black.specificity": 0.1},
    ).passed
    assert not verdict({"on_black.specificity": 0.9}, {"on_black.specificity": 0.9}).passed


def test_cells_that_were_lost_are_named() -> None:
    one = verdict({"on_black.auroc": 0.8}, {"on_black.auroc": 0.8})
    assert (one.lost, one.gained) == (("a",), ("c",))
    assert "1 positives lost, 1 gained" in str(one)
