"""The report as one HTML file; every number in it is read from the metrics it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.area_baseline import NAME
from trainer.report import charts, tables
from trainer.report.pictures import SHOWN_PX, WORST, png_picture, worst_cells
from trainer.report.template import render_template
from trainer.report.words import condition_in_words, efforts_in_words
from trainer.statistics.comparison import SIGNIFICANCE, Comparison

Attributions = Mapping[str, Sequence[NDArray[np.uint8]]]
"""Model -> pictures of where it looks, RGB uint8 ``[H, W, 3]``; the same cells in each row."""

_HERE = Path(__file__).parent


def render_page(
    comparison: Comparison,
    metrics: dict[str, Any],
    *,
    cells_root: Path | None = None,
    attributions: Attributions | None = None,
) -> str:
    """The whole page.

    ``metrics`` is what :func:`trainer.compare.compare` writes as ``metrics.json``; ``cells_root``
    the folder below which the pictures of the cells lie, where they may be shown. Raises
    :class:`DataError` when one of those is missing.
    """
    cells = metrics["cells"]
    return render_template(
        _HERE,
        metrics=metrics,
        networks=[name for name in metrics["models"] if name != NAME],
        charts={
            "overview": charts.overview_chart(comparison),
            "roc": charts.roc_chart(comparison),
            "precision_recall": charts.precision_recall_chart(comparison),
            "reliability": charts.reliability_chart(comparison),
            "patients": [charts.patients_chart(comparison, c) for c in comparison.conditions],
        },
        ranking=tables.measures_table(
            metrics, "cells", tables.RANKING, "How the cells are ranked, at every threshold"
        ),
        deciding=tables.measures_table(
            metrics, "cells", tables.DECIDING, "How the cells are decided, at p(blast) >= 0.5"
        ),
        groups=tables.measures_table(
            metrics,
            "groups",
            {"auroc": "AUROC"} | tables.DECIDING,
            f"The {cells['groups']} patient groups by their mean p(blast), decided at 0.5",
        ),
        confusion=tables.confusion_table(metrics),
        paired=tables.paired_table(metrics),
        leaks=tables.leak_table(metrics),
        choices=tables.choices_table(metrics),
        efforts=efforts_in_words(metrics["choices"]),
        costs=tables.costs_table(metrics),
        galleries=_galleries(comparison, cells_root),
        attributions={
            name: [png_picture(picture) for picture in pictures]
            for name, pictures in (attributions or {}).items()
        },
        shown_px=SHOWN_PX,
        worst=WORST,
        significance=SIGNIFICANCE,
    )


def _galleries(comparison: Comparison, root: Path | None) -> list[dict[str, Any]]:
    """The worst errors of the best network under each condition."""
    if root is None:
        return []
    galleries = []
    for condition in comparison.conditions:
        networks = [name for name in comparison.ranked(condition) if name != NAME]
        for blasts in (True, False) if networks else ():
            kind = "Blasts taken for normal" if blasts else "Normal cells taken for blasts"
            title = f"{kind} by {networks[0]}, {condition_in_words(condition)}"
            cells = worst_cells(comparison, condition, networks[0], root, blasts=blasts)
            galleries.append({"title": title, "cells": cells})
    return galleries
