"""From logits to probability and label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_daemon.contract.roles import ClassifierRole
from edge_daemon.vision.classify import Verdicts, judge_cells


def role(**changes: object) -> ClassifierRole:
    given_values = {
        "size": 128,
        "crop_um": 19.8,
        "abstain_band": (0.3, 0.7),
        "single_cell_um_per_px": 0.044,
    }
    return ClassifierRole(**(given_values | changes))


def test_probability_is_the_softmax_at_the_temperature():
    logits = np.array([[0.0, 2.0], [1.0, 1.0], [3.0, -1.0]], np.float32)
    verdicts = judge_cells(logits, role(temperature=2.0))
    expected = 1 / (1 + np.exp(-(logits[:, 1] - logits[:, 0]) / 2.0))
    np.testing.assert_allclose(verdicts.p_blast, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("p_blast", "label"),
    [(0.0, "normal"), (0.29, "normal"), (0.31, "uncertain"), (0.69, "uncertain"), (0.71, "blast")],
)
def test_the_abstain_band_is_uncertain(p_blast, label):
    logits = np.log(np.array([[1 - p_blast + 1e-9, p_blast + 1e-9]]))
    assert judge_cells(logits, role()).labels == (label,)


def test_a_band_without_width_leaves_no_doubt():
    sure = role(abstain_band=(0.5, 0.5))
    assert judge_cells(np.array([[0.0, 0.0], [0.1, 0.0]]), sure).labels == ("blast", "normal")


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_no_number_neither_clears_nor_accuses(broken):
    verdicts = judge_cells(np.array([[broken, broken], [0.0, 9.0]], np.float32), role())
    assert verdicts.labels == ("uncertain", "blast")
    assert verdicts.p_blast[0] == 0.5


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(0, 20), st.just(2)),
        elements=st.floats(-(2.0**99), 2.0**99, width=32),
    )
)
def test_any_finite_logits_give_probabilities(logits):
    verdicts = judge_cells(logits, role())
    assert len(verdicts.labels) == len(logits)
    assert ((verdicts.p_blast >= 0) & (verdicts.p_blast <= 1)).all()


def test_no_cells_no_verdicts():
    assert judge_cells(np.empty((0, 2), np.float32), role()).labels == ()
    assert len(Verdicts.none().p_blast) == 0
