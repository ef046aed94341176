"""Results of controls, as tests need them: figures, what is expected, and what it was run with."""

from __future__ import annotations

from typing import Any

from edge_daemon.contract.control import ControlFigures, ControlRun
from edge_daemon.contract.findings import CellCounts, FrameCounts
from edge_daemon.control.compare import Identity, Screened
from edge_daemon.control.expectation import Expectation, expectation_of
from edge_daemon.control_settings import ControlTolerances
from edge_daemon.vision.slide import blast_fraction
from tests.edge_daemon.contract.samples import SAMPLES

TOLERANCES = ControlTolerances(min_cells=100)
PICTURES = "sha256:" + "6" * 64
OTHER = "sha256:" + "f" * 64
STORED = next(message for message in SAMPLES if isinstance(message, ControlRun))


def figures(blasts: int = 100, nucleated: int = 400, **changes: Any) -> ControlFigures:
    return ControlFigures(
        **{
            "frames": FrameCounts(captured=40, analysed=40),
            "cells": CellCounts(wbc=nucleated, rbc=3000, platelet=200),
            "nucleated_cells": nucleated,
            "blasts": blasts,
            "uncertain": nucleated // 20,
            "blast_fraction": blast_fraction(blasts, nucleated),
            "coverage_mm2": 0.05,
            "um_per_px": 0.075,
            "focus": 20.0,
            "exposure": 0.7,
            "stain_shift": 0.4,
            "decisions": "sha256:" + "1" * 64,
            **changes,
        }
    )


def run(kind: str = "stored", found: ControlFigures | None = None, **changes: Any) -> ControlRun:
    given = {
        "kind": kind,
        "found": found or figures(),
        "pictures": PICTURES if kind == "stored" else None,
        "expected": None,
        "expectation": None,
        "verdict": "failed",
        **changes,
    }
    return STORED.model_copy(update=given)


def expected(kind: str = "stored", found: ControlFigures | None = None) -> Expectation:
    return expectation_of(run(kind, found), TOLERANCES)


def identity(one: Expectation, **changes: str) -> Identity:
    """What a control was accepted with, and what is another now."""
    given = {"bundle": one.bundle, "engines": one.engines, "setup": one.setup}
    return Identity(**{**given, **changes})


def screened(found: ControlFigures, kind: str = "stored", **changes: Any) -> Screened:
    return Screened(found, **{"pictures": PICTURES if kind == "stored" else None, **changes})
