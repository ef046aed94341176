"""What the operator is told to do next."""

from __future__ import annotations

import pytest

from edge_daemon.service.advice import SPOILT_FRAMES, STILL_FRAMES, Seen, advise
from tests.edge_daemon.service.device import BLUR, running, summary

GOOD = Seen("analysed", None)
BLURRED = Seen("rejected", BLUR)
FEW = running(disposition="insufficient", reasons=("40 nucleated cells counted.",))


@pytest.mark.parametrize(
    ("recent", "slide", "needed", "word", "sentence"),
    [
        ((), None, 100, "Wait", "No frame has come yet."),
        ((GOOD,), None, 100, "100 more cells", "An answer needs 100 nucleated cells."),
        ((GOOD,), FEW, 240, "200 more cells", "An answer needs 240 nucleated cells."),
        ((GOOD,), FEW, 41, "1 more cell", "An answer needs 41 nucleated cells."),
        (
            (GOOD, *[BLURRED] * SPOILT_FRAMES),
            FEW,
            100,
            "Focus",
            "Out of focus: turn the fine focus.",
        ),
        ((GOOD, BLURRED, GOOD, BLURRED), FEW, 100, "60 more cells", "An answer needs 100"),
        (
            [Seen("rejected", "empty field: cells cover 0.2%: move to where the smear is")] * 3,
            FEW,
            100,
            "Move on",
            "Empty field: move to where the smear is.",
        ),
        ([Seen("rejected", "overexposed: 0.97: dim the lamp")] * 3, FEW, 100, "Too bright", "dim"),
        ([Seen("rejected", "something new")] * 3, FEW, 100, "Correct", "Something new"),
        ([Seen("dropped", "the networks are too slow")] * 3, FEW, 100, "Slower", "too slow"),
        ([Seen("failed", "truncated")] * 3, FEW, 100, "Call for help", "Truncated."),
        ((Seen("analysed", None, saturated=True),), FEW, 100, "Thinner place", "thinner"),
        (
            [Seen("analysed", None, new_cells=False)] * STILL_FRAMES,
            FEW,
            100,
            "Move on",
            "Every cell here is counted. 60 more cells to go.",
        ),
        (
            (GOOD,),
            running(),
            40,
            "Enough cells",
            "The slide reads positive. More cells would narrow the interval, now 28 points wide.",
        ),
        ((GOOD,), summary(), 40, "Next slide", "This slide is finished. 10 of 40"),
        (
            (GOOD,),
            summary(complete=False, completion="stopped"),
            40,
            "Next slide",
            "This slide was cut short.",
        ),
        (
            (GOOD,),
            running(disposition="review", reasons=("Already 10.",)),
            100,
            "Have it read",
            "Al",
        ),
    ],
)
def test_one_word_and_a_sentence(recent, slide, needed, word, sentence):
    advice = advise(recent, slide, needed)
    assert advice.word == word
    assert sentence in advice.sentence


def test_what_forbids_screening_comes_before_everything_else():
    advice = advise([BLURRED] * 3, FEW, 100, ["the camera is gone"])
    assert (advice.word, advice.sentence) == ("Stop", "The camera is gone.")
    assert advice.urgency == "stop"


def test_on_a_control_slide_it_is_cells_and_no_finding_that_is_spoken_of():
    few = running(control=True, disposition="insufficient", nucleated_cells=40)
    assert advise((GOOD,), few, 50).word == "10 more cells"
    assert advise((GOOD,), few, 40).sentence == "Finish the control slide."
    assert advise([BLURRED] * SPOILT_FRAMES, few, 40).word == "Focus"
    done = advise((GOOD,), summary(control=True), 40)
    assert (done.word, done.urgency) == ("Control done", "done")
