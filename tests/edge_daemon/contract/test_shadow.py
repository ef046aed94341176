"""A report on a candidate cannot contradict itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge_daemon.contract.findings import Opinion
from edge_daemon.contract.messages import ShadowReport
from edge_daemon.contract.shadow import Agreement, Disagreement, LabelCounts, ShadowFrames
from tests.edge_daemon.contract.samples import SHADOW

BLAST = Opinion(p_blast=0.9, label="blast")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"agreement": None}, "null exactly when no cell was found by both"),
        ({"p_blast_shift": None}, "null exactly when no cell was found by both"),
        (
            {
                "agreement": Agreement(
                    agreed=1, cells=2, estimate=0.5, low=0.0, high=1.0, confidence=0.95
                )
            },
            "agreement is not that of the table",
        ),
        ({"disagreements": 3}, "disagreements are not those of the counts"),
        ({"only_active": LabelCounts(blast=2), "disagreements": 5}, "by_active has other cells"),
        ({"by_candidate": SHADOW["by_active"]}, "by_candidate has other cells"),
        ({"worst": SHADOW["worst"] * 5}, "more disagreements listed than counted"),
        ({"worst": SHADOW["worst"] * 21}, "at most 20 items"),
    ],
)
def test_impossible_reports_cannot_be_built(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ShadowReport(**{**SHADOW, **changes})


def test_frames_that_were_not_analysed_cannot_be_compared() -> None:
    with pytest.raises(ValidationError, match="more frames compared and skipped"):
        ShadowFrames(analysed=3, compared=2, skipped=2)


@pytest.mark.parametrize(
    ("active", "candidate"), [(None, None), (BLAST, Opinion(p_blast=0.8, label="blast"))]
)
def test_a_disagreement_is_one(active: Opinion | None, candidate: Opinion | None) -> None:
    with pytest.raises(ValidationError):
        Disagreement(frame=1, unique_id=3, box=(0, 0, 9, 9), active=active, candidate=candidate)


def test_an_agreement_is_that_of_its_counts() -> None:
    with pytest.raises(ValidationError, match="not agreed / cells"):
        Agreement(agreed=1, cells=2, estimate=0.9, low=0.0, high=1.0, confidence=0.95)
