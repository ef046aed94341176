"""Does a control match what is expected of it? Every difference in one sentence; none is a match.

A **stored control** shows the same pictures again, so there is no chance in it. Where bundle,
engine and setup are those of the run that was accepted, every decision must be the same. Where they
are others, decisions may differ: then figures are held to the tolerances.

A **control slide** is another sample of the same smear. Two proportions of it differ by chance, so
a difference counts when it is both larger than its tolerance and rarer than ``significance`` by
Fisher's exact test. How many cells there are depends on how far somebody scanned: so cells in a mm2
are compared, and too few cells are no match, because few cells hide any difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_daemon.contract.control import ControlFigures
from edge_daemon.control.exact import fisher_exact
from edge_daemon.control.expectation import Expectation
from edge_daemon.control_settings import ControlTolerances


@dataclass(frozen=True)
class Identity:
    """What a control is screened with."""

    bundle: str
    """Digest."""
    engines: str
    """Bundle and engines in words."""
    setup: str
    """Digest of everything else that decides a result."""


@dataclass(frozen=True)
class Screened:
    """A control that was run to its end."""

    figures: ControlFigures
    pictures: str | None = None
    """Digest of the pictures of a stored control."""
    most_unseen: str | None = None
    """How most of the frames ended that were not analysed."""


@dataclass(frozen=True)
class Comparison:
    """Whether it matches, and why not or how it was compared."""

    passed: bool
    reasons: tuple[str, ...]


def compare(
    found: Screened, by: Identity, expected: Expectation, tolerances: ControlTolerances
) -> Comparison:
    """Hold a control, screened ``by`` what is used now, against what is expected of it.

    ``tolerances`` are those of the configuration, which must be those it was accepted under.
    """
    if tolerances != expected.tolerances:
        other = (
            "The expected result was accepted under other tolerances than [control.tolerances] has "
            "now: accept a run again, or put them back."
        )
        return Comparison(False, (other,))
    stored = expected.kind == "stored"
    faults = []
    if stored and found.pictures != expected.pictures:
        faults.append(
            "These are not the pictures that were accepted: their digest is another: put them "
            "back, or accept a run of the new ones."
        )
    faults += _picture_faults(found.figures, expected)
    faults += _count_faults(found, expected)
    exact = stored and (by.bundle, by.engines, by.setup, found.pictures) == (
        expected.bundle,
        expected.engines,
        expected.setup,
        expected.pictures,
    )
    if exact and found.figures.decisions != expected.figures.decisions:
        faults.append(
            "Pictures, bundle, engine and setup are the same, and not every decision is: this "
            "device does not compute what it did."
        )
    if faults:
        return Comparison(False, tuple(faults))
    cells = found.figures.nucleated_cells
    if exact:
        return Comparison(True, (f"Every decision is the same, on {cells} nucleated cells.",))
    how = "" if not stored else " Bundle, engine or setup are others than when it was accepted."
    return Comparison(True, (f"All is within its tolerance, on {cells} nucleated cells.{how}",))


def _picture_faults(found: ControlFigures, expected: Expectation) -> Iterator[str]:
    """What is wrong with the picture and its scale."""
    was, limits = expected.figures, expected.tolerances
    if (found.um_per_px is None) != (was.um_per_px is None):
        now = "not known, and was" if found.um_per_px is None else "known, and was not"
        yield f"The scale is {now} when this was accepted: check um_per_px and the calibration."
    elif (
        found.um_per_px is not None
        and was.um_per_px is not None
        and abs(found.um_per_px - was.um_per_px) > limits.um_per_px * was.um_per_px
    ):
        yield (
            f"The scale is {found.um_per_px:.4g} um per pixel, {was.um_per_px:.4g} is expected: "
            "check objective, binning, [source] um_per_px and the calibration."
        )
    if was.focus is not None and (
        found.focus is None or found.focus < (1 - limits.focus) * was.focus
    ):
        yield (
            f"The picture is blunt: focus {_shown(found.focus)}, {was.focus:.3g} is expected: turn "
            "the fine focus, clean the objective."
        )
    if was.exposure is not None and (
        found.exposure is None or abs(found.exposure - was.exposure) > limits.exposure
    ):
        darker = found.exposure is not None and found.exposure < was.exposure
        yield (
            f"The picture is too {'dark' if darker else 'bright'}: brightness "
            f"{_shown(found.exposure)}, {was.exposure:.3g} is expected: check lamp, condenser and "
            "exposure."
        )
    if was.stain_shift is not None and (
        found.stain_shift is None or found.stain_shift > was.stain_shift + limits.stain_shift
    ):
        yield (
            f"The colours are others: stain shift {_shown(found.stain_shift)}, "
            f"{was.stain_shift:.3g} is expected: check stain, lamp and white balance."
        )


def _count_faults(screened: Screened, expected: Expectation) -> Iterator[str]:
    """What is wrong with the cells."""
    found, was, limits = screened.figures, expected.figures, expected.tolerances
    if found.nucleated_cells < limits.min_cells:
        why = "" if screened.most_unseen is None else f": {screened.most_unseen}"
        yield (
            f"Too few cells: {found.nucleated_cells} nucleated cells counted, {limits.min_cells} "
            f"are needed{why}."
        )
    if found.saturated_frames > was.saturated_frames:
        yield f"{found.saturated_frames} frames held more cells than can be counted."
    if expected.kind == "stored":
        allowed = limits.count * was.nucleated_cells
        if abs(found.nucleated_cells - was.nucleated_cells) > allowed:
            yield (
                f"{found.nucleated_cells} nucleated cells counted, {was.nucleated_cells} are "
                f"expected, {allowed:.0f} more or less are allowed."
            )
    else:
        yield from _density_faults(found, was, limits)
    yield from _share_faults(
        "blasts", found.blasts, was.blasts, limits.blast_fraction, screened, expected
    )
    yield from _share_faults(
        "uncertain cells",
        found.uncertain,
        was.uncertain,
        limits.uncertain_fraction,
        screened,
        expected,
    )


def _density_faults(
    found: ControlFigures, was: ControlFigures, limits: ControlTolerances
) -> Iterator[str]:
    now, before = _density(found), _density(was)
    if now is None or before is None:
        if found.nucleated_cells:
            yield "Cells in a mm2 cannot be compared: the scale is not known."
    elif not 1 / limits.density <= now / before <= limits.density:
        yield (
            f"{now:.0f} nucleated cells in a mm2, {before:.0f} are expected, at most "
            f"{limits.density:g} times more or less: scan the same place of the slide."
        )


def _density(figures: ControlFigures) -> float | None:
    """Nucleated cells in a mm2; None where it is not known, or there is none."""
    if not figures.coverage_mm2 or not figures.nucleated_cells:
        return None
    return figures.nucleated_cells / figures.coverage_mm2


def _share_faults(
    what: str, hits: int, was_hits: int, tolerance: float, screened: Screened, expected: Expectation
) -> Iterator[str]:
    trials, was_trials = screened.figures.nucleated_cells, expected.figures.nucleated_cells
    if not trials or not was_trials:  # too few cells is told already
        return
    share, was = hits / trials, was_hits / was_trials
    if abs(share - was) <= tolerance:
        return
    chance = ""
    if expected.kind == "slide":
        probability = fisher_exact(hits, trials, was_hits, was_trials)
        if probability >= expected.tolerances.significance:
            return
        chance = f", which chance alone gives with p = {probability:.2g}"
    yield (
        f"{100 * share:.1f} % {what} ({hits} of {trials}), {100 * was:.1f} % are expected "
        f"({was_hits} of {was_trials}), {100 * tolerance:g} points are allowed{chance}."
    )


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g}"
