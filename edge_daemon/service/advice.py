"""What the operator should do next: one or two words to read across the room, and a sentence.

Pure decisions from what was seen last. What forbids trust comes first (the daemon itself), then
what is wrong with the picture now, then what the slide still lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_daemon.contract.findings import BlastFraction
from edge_daemon.contract.messages import SlideSummary
from edge_daemon.contract.terms import Outcome

Urgency: TypeAlias = Literal["stop", "act", "go on", "done"]

SPOILT_FRAMES = 3
"""So many frames in a row that could not be judged are a picture to correct; one alone is not."""
STILL_FRAMES = 12
"""So many analysed frames without a cell that was not seen before: this place is counted."""

_WORDS = {
    "out of focus": "Focus",
    "overexposed": "Too bright",
    "underexposed": "Too dark",
    "empty field": "Move on",
    "too small": "Camera",
}


@dataclass(frozen=True)
class Advice:
    """What to do next."""

    word: str
    """One to three words."""
    sentence: str
    urgency: Urgency


@dataclass(frozen=True)
class Seen:
    """One frame, as far as advice depends on it."""

    outcome: Outcome
    reason: str | None
    saturated: bool = False
    new_cells: bool = True


def advise(
    recent: Sequence[Seen],
    slide: SlideSummary | None,
    cells_needed: int,
    not_ready: Sequence[str] = (),
) -> Advice:
    """Say what to do next.

    Args:
        recent: the last frames, the newest last.
        slide: where the slide stands, None before the first standing.
        cells_needed: unique nucleated cells that an answer needs.
        not_ready: why nothing may be screened now; empty when it may.
    """
    if not_ready:
        return Advice("Stop", _sentence(not_ready[0]), "stop")
    spoilt = _picture_to_correct(recent)
    if spoilt is not None:
        return spoilt
    if slide is not None and slide.control:
        return _of_control_slide(slide, cells_needed)
    if slide is not None and slide.ended_at is not None:
        end = "This slide is finished." if slide.complete else "This slide was cut short."
        return Advice("Next slide", f"{end} {slide.reasons[0]}", "done")
    if not recent:
        return Advice("Wait", "No frame has come yet.", "act")
    if recent[-1].saturated:
        sentence = "More cells are in view than can be counted: go to where the smear is thinner."
        return Advice("Thinner place", sentence, "act")
    missing = cells_needed - (0 if slide is None else slide.nucleated_cells)
    lately = recent[-STILL_FRAMES:]
    if len(lately) == STILL_FRAMES and not any(seen.new_cells for seen in lately):
        rest = f" {_more(missing)} to go." if missing > 0 else ""
        return Advice("Move on", f"Every cell here is counted.{rest}", "act")
    if slide is not None and missing > 0 and slide.disposition == "review":
        return Advice("Have it read", slide.reasons[0], "act")  # blasts among few cells
    if slide is None or missing > 0:
        return Advice(_more(missing), f"An answer needs {cells_needed} nucleated cells.", "go on")
    wanted = slide.more_cells_wanted
    if slide.disposition == "review" and wanted:
        return Advice(_more(wanted), "If the shares stay, so many give an answer.", "go on")
    sentence = f"The slide reads {slide.disposition}. {_interval(slide.blast_fraction)}"
    return Advice("Enough cells", sentence.rstrip(), "done")


def of_control(reason: str, *, failed: bool) -> Advice:
    """What to do while a control that is required does not count: ``reason`` says it."""
    return Advice("Control", _sentence(reason), "stop" if failed else "act")


def _of_control_slide(slide: SlideSummary, cells_needed: int) -> Advice:
    if slide.ended_at is not None:
        return Advice("Control done", "Put the next slide under the microscope.", "done")
    missing = cells_needed - slide.nucleated_cells
    if missing > 0:
        return Advice(_more(missing), f"The control slide needs {cells_needed} cells.", "go on")
    return Advice("Enough cells", "Finish the control slide.", "done")


def _picture_to_correct(recent: Sequence[Seen]) -> Advice | None:
    lately = recent[-SPOILT_FRAMES:]
    if not lately or any(seen.outcome == "analysed" for seen in lately):
        return None
    newest = lately[-1]
    what, _, rest = (newest.reason or newest.outcome).partition(":")
    if newest.outcome == "failed":
        return Advice("Call for help", _sentence(newest.reason or "frames fail"), "stop")
    if newest.outcome == "dropped":
        return Advice("Slower", _sentence(newest.reason or "frames are dropped"), "act")
    # A reason reads "what: by how much: what to do".
    todo = rest.rpartition(":")[2].strip() or what
    return Advice(_WORDS.get(what, "Correct"), _sentence(f"{what}: {todo}"), "act")


def _more(missing: int) -> str:
    return f"{missing} more cell{'' if missing == 1 else 's'}"


def _interval(fraction: BlastFraction | None) -> str:
    if fraction is None:
        return ""
    width = 100 * (fraction.high - fraction.low)
    return f"More cells would narrow the interval, now {width:.0f} points wide."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
