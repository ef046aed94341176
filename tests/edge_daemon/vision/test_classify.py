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


class TestNovelty:
    """A network that does not know what it sees must not be believed."""

    SURE = np.array([[9.0, 0.0], [0.0, 9.0]], np.float32)

    def test_above_the_limit_every_label_is_uncertain(self):
        verdicts = judge_cells(self.SURE, role(novelty_limit=2.0), np.array([2.1, 50.0]))
        assert verdicts.labels == ("uncertain", "uncertain")
        assert verdicts.unfamiliar.tolist() == [True, True]

    def test_up_to_the_limit_the_probability_decides(self):
        verdicts = judge_cells(self.SURE, role(novelty_limit=2.0), np.array([0.0, 2.0]))
        assert verdicts.labels == ("normal", "blast")
        assert not verdicts.unfamiliar.any()

    def test_a_novelty_that_is_no_number_is_unfamiliar(self):
        verdicts = judge_cells(self.SURE, role(novelty_limit=2.0), np.array([np.nan, np.inf]))
        assert verdicts.labels == ("uncertain", "uncertain")

    def test_the_probability_itself_is_reported_as_it_is(self):
        limited = judge_cells(self.SURE, role(novelty_limit=2.0), np.array([9.0, 9.0]))
        np.testing.assert_array_equal(limited.p_blast, judge_cells(self.SURE, role()).p_blast)

    def test_a_limit_without_a_novelty_is_a_mistake_and_not_a_pass(self):
        with pytest.raises(ValueError, match="novelty is needed"):
            judge_cells(self.SURE, role(novelty_limit=2.0))

    @pytest.mark.parametrize("limit", [0.0, -1.0])
    def test_a_limit_that_nothing_meets_is_refused(self, limit):
        with pytest.raises(ValueError, match="novelty_limit"):
            role(novelty_limit=limit)


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
