"""The gate is shut unless every figure that matters was measured and held."""

from __future__ import annotations

import math

import pytest

from edge_daemon.contract.roles import Precision
from edge_daemon.contract.terms import CellLabel
from exporter.gate.verdict import Measured, Verdict


def verdict(
    before: dict[str, float], after: dict[str, float], precision: Precision = "int8"
) -> Verdict:
    return Verdict(
        "classifier",
        precision,
        "minmax",
        Measured(before, frozenset({"a", "b"})),
        Measured(after, frozenset({"b", "c"})),
    )


@pytest.mark.parametrize(
    ("precision", "figure", "allowed"),
    [
        ("int8", "on_black.auroc", 0.005),
        ("int8", "on_black.sensitivity", 0.005),
        ("int8", "bccd/val.map50", 0.010),
        ("fp16", "on_black.auroc", 0.002),
        ("fp16", "bccd/val.map50", 0.002),
        ("fp16", "bccd/val.wbc_recall", 0.005),
    ],
)
def test_it_opens_up_to_the_limit_and_no_further(
    precision: Precision, figure: str, allowed: float
) -> None:
    assert verdict({figure: 0.9}, {figure: 0.9 - allowed + 1e-9}, precision).passed
    refused = verdict({figure: 0.9}, {figure: 0.9 - allowed - 1e-6}, precision)
    assert not refused.passed
    assert figure in refused.refusals[0]


def test_better_is_no_reason_to_refuse() -> None:
    assert verdict({"on_black.auroc": 0.8}, {"on_black.auroc": 0.9}).passed


@pytest.mark.parametrize("after", [{}, {"on_black.auroc": math.nan}])
def test_what_was_not_measured_counts_as_lost(after: dict[str, float]) -> None:
    assert not verdict({"on_black.auroc": 0.8}, after).passed


def test_figures_that_only_inform_decide_nothing() -> None:
    assert verdict(
        {"on_black.auroc": 0.8, "on_black.calibration_error": 0.02},
        {"on_black.auroc": 0.8, "on_black.calibration_error": 0.01},
    ).passed
    only_shown = {"on_black.calibration_error": 0.02}
    assert not verdict(only_shown, only_shown).passed


def test_sensitivity_is_not_bought_with_any_specificity() -> None:
    before = {"on_black.sensitivity": 0.88, "on_black.specificity": 0.75}
    assert verdict(before, {"on_black.sensitivity": 0.89, "on_black.specificity": 0.74}).passed
    assert not verdict(before, {"on_black.sensitivity": 1.0, "on_black.specificity": 0.1}).passed


def test_cells_that_were_lost_are_named() -> None:
    one = verdict({"on_black.auroc": 0.8}, {"on_black.auroc": 0.8})
    assert (one.lost, one.gained) == (("a",), ("c",))
    assert "1 positives lost, 1 gained" in str(one)


@pytest.mark.parametrize(
    ("others", "passes"),
    [({}, True), ({"c0": "normal"}, True), ({"c0": "normal", "c1": "x"}, False)],
)
def test_float16_keeps_199_labels_of_200(others: dict[str, CellLabel], passes: bool) -> None:
    labels: dict[str, CellLabel] = {f"c{i}": "blast" for i in range(200)}
    figures = {"on_black.auroc": 0.8}
    one = Verdict(
        "classifier",
        "fp16",
        "",
        Measured(figures, frozenset(), labels),
        Measured(figures, frozenset(), labels | others),
    )
    assert one.passed is passes
    if not passes:
        assert one.refusals == ("99.00% of the cells keep their label, 99.5% must",)


def test_a_cell_that_is_not_labelled_again_has_lost_its_label() -> None:
    figures = {"on_black.auroc": 0.8}
    seen = Measured(figures, frozenset(), {"a": "blast", "b": "normal"})
    one = Verdict("classifier", "fp16", "", seen, Measured(figures, frozenset(), {"a": "blast"}))
    assert one.agreement == 0.5
