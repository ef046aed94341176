"""Compare models on the same cells: ``leuko-train compare``.

Reads one file of out-of-fold predictions a model, adds the area of the cell as a model of its own,
and writes ``report.html`` for people and ``metrics.json`` for programs, with the same figures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from edge_daemon import __version__
from edge_daemon.errors import DataError
from trainer.ablation import read_ablation
from trainer.area_baseline import area_baseline
from trainer.predictions import Predictions, load_predictions
from trainer.report import tables
from trainer.report.looks import where_they_look
from trainer.report.page import Attributions, render_page
from trainer.report.words import summary
from trainer.statistics.ablated import measure_choices
from trainer.statistics.comparison import compare_models
from trainer.whole_files import write_text

REPORT, METRICS = "report.html", "metrics.json"


def compare(
    files: Sequence[Path],
    out: Path,
    *,
    data: Path | None = None,
    rounds: int = 2000,
    attributions: Attributions | None = None,
) -> dict[str, Any]:
    """Compare the predictions in ``files``; write the report into ``out`` and return the metrics.

    ``data`` is the folder that holds ``cnmc2019``, for the pictures of the worst errors and, where
    networks lie beside their predictions, of where these look; without it there are none. What
    :func:`trainer.ablation.ablate` left beside the predictions is shown too.
    ``attributions`` takes the place of the latter. Raises :class:`DataError` when a file cannot be
    read, the files are not about the same cells, or a picture is missing.
    """
    cells_root = data / "cnmc2019" if data else None
    if cells_root and not cells_root.is_dir():
        raise DataError(f"no folder {cells_root}: point --data at the one that holds cnmc2019")
    predictions = same_cells([load_predictions(path) for path in files])
    honest = next((one for one in predictions if one.split == "groups"), predictions[0])
    conditions = dict.fromkeys(name for one in predictions for name in one.conditions)
    comparison = compare_models([*predictions, area_baseline(honest, conditions)], rounds=rounds)
    choices = [
        choice
        for file, one in zip(files, predictions, strict=True)
        if one.split == "groups" and (fewer := read_ablation(file.parent))
        for choice in measure_choices(
            one.model, same_cells([honest, *fewer])[1:], comparison.resampling
        )
    ]
    metrics = comparison.as_json() | {
        "choices": [asdict(choice) for choice in choices],
        "summary": [asdict(topic) for topic in summary(comparison)],
        "made_utc": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M"),
        "version": __version__,
    }
    if attributions is None and cells_root:
        attributions = where_they_look(files, predictions, cells_root)
    page = render_page(comparison, metrics, cells_root=cells_root, attributions=attributions)
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(metrics, indent=2, allow_nan=False) + "\n"
    write_text(text, out / METRICS)
    write_text(page, out / REPORT)
    return metrics


def same_cells(predictions: Sequence[Predictions]) -> list[Predictions]:
    """All predictions in the order of the first one's cells.

    Raises :class:`DataError` naming the first cell that is not in all, or is not the same in all.
    """
    first = predictions[0]
    aligned = [first]
    for other in predictions[1:]:
        place = {file: n for n, file in enumerate(other.file.tolist())}
        for file in first.file.tolist():
            if file not in place:
                raise DataError(f"the cell {file} of {first.model!r} is not in {other.model!r}")
        if len(other) > len(first):
            extra = next(file for file in place if file not in set(first.file.tolist()))
            raise DataError(f"the cell {extra} of {other.model!r} is not in {first.model!r}")
        moved = other.take(np.array([place[file] for file in first.file.tolist()]))
        _refuse_different_cells(first, moved)
        aligned.append(moved)
    return aligned


def _refuse_different_cells(first: Predictions, other: Predictions) -> None:
    differing = {
        "group": first.group != other.group,
        "subject": first.subject != other.subject,
        "is_blast": first.is_blast != other.is_blast,
        "area_um2": ~np.isclose(first.area_um2, other.area_um2),
    }
    if first.split == other.split == "groups":
        differing["fold"] = first.fold != other.fold
    for name, differs in differing.items():
        if differs.any():
            cell = int(differs.argmax())
            raise DataError(
                f"{name} of the cell {first.file[cell]} is {getattr(first, name)[cell]} in "
                f"{first.model!r} and {getattr(other, name)[cell]} in {other.model!r}: compare "
                "models on the same cells and folds"
            )


def terminal_tables(metrics: dict[str, Any]) -> list[Table]:
    """The most asked-for figures of the cells, one table a condition, for a terminal."""
    measures = {"auroc": "AUROC", "average_precision": "AUPRC"} | {
        key: tables.DECIDING[key] for key in ("weighted_f1", "balanced_accuracy", "ece_after")
    }
    figures = tables.measures_table(metrics, "cells", measures, "")
    drawn = []
    for condition, rows in figures.rows.items():
        table = Table(title=condition, title_justify="left")
        for heading in figures.headings:
            table.add_column(heading, no_wrap=heading == "Model")
        for row in rows:
            table.add_row(*row.heads, *(one.text.replace(" [", "\n[") for one in row.figures))
        drawn.append(table)
    return drawn
