"""The tables of the report, row by row, for the page and for the terminal alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from trainer.report.figures import Figure, figure_at
from trainer.report.words import condition_in_words

RANKING = {
    "auroc": "AUROC",
    "auroc_within_folds": "AUROC within folds",
    "average_precision": "Average precision (AUPRC)",
    "sensitivity_at_90_specificity": "Sensitivity at 90 % specificity",
    "specificity_at_90_sensitivity": "Specificity at 90 % sensitivity",
}
DECIDING = {
    "weighted_f1": "Weighted F1",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ece_before": "ECE before",
    "ece_after": "ECE after",
}
_CONFUSION = {
    "blasts_found": "Blasts found",
    "blasts_missed": "Blasts missed",
    "normals_kept": "Normal cells kept",
    "normals_called_blast": "Normal cells called blast",
}
_PAIRED = {
    ("auroc",): "AUROC difference",
    ("auroc", "p_value"): "p, patients",
    ("p_holm",): "p, Holm",
    ("balanced_accuracy",): "Balanced accuracy difference",
    ("delong", "p_value"): "p, DeLong",
    ("mcnemar", "p_value"): "p, McNemar",
}
_COSTS = {
    "parameters": "Parameters",
    "gflops": "GFLOPs a crop",
    "input_px": "Input, px",
    "latency_ms": "Latency, ms a crop",
    "initial_weights": "Initial weights",
}


@dataclass(frozen=True)
class Row:
    """The model and its numbers."""

    heads: tuple[str, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Table:
    """Rows under headings; the first headings are those of the rows' heads."""

    caption: str
    headings: tuple[str, ...]
    rows: dict[str, tuple[Row, ...]]
    """Condition in words -> its rows; one entry without a name where there are no conditions."""


def measures_table(
    metrics: dict[str, Any], level: str, measures: dict[str, str], caption: str
) -> Table:
    """Each model under each condition; ``level`` is ``cells`` or ``groups``; best AUROC first."""

    def rows(condition: str) -> Iterator[Row]:
        for name in _ranked(metrics, condition):
            path = ("models", name, "conditions", condition, level)
            yield Row((name,), tuple(figure_at(metrics, *path, key) for key in measures))

    return _by_condition(metrics, caption, ("Model", *measures.values()), rows)


def confusion_table(metrics: dict[str, Any]) -> Table:
    """Cells by what they are and what they are called."""
    caption = "What the cells were called, at a p(blast) of one half"
    return measures_table(metrics, "confusion", _CONFUSION, caption)


def paired_table(metrics: dict[str, Any]) -> Table:
    """Each pair of models under each condition, with every test."""

    def rows(condition: str) -> Iterator[Row]:
        for n, pair in enumerate(metrics["paired"]):
            if pair["condition"] == condition:
                figures = (figure_at(metrics, "paired", n, *path) for path in _PAIRED)
                verdict = "ahead" if pair["told_apart"] else "within noise"
                yield Row((f"{pair['first']} over {pair['second']}", verdict), tuple(figures))

    headings = ("Pair", "Verdict", *_PAIRED.values())
    return _by_condition(metrics, "Pairs of models on the same cells", headings, rows)


def leak_table(metrics: dict[str, Any]) -> Table:
    """AUROC with patients held apart, and with pictures only."""

    def rows(condition: str) -> Iterator[Row]:
        for n, leak in enumerate(metrics["leaks"]):
            if leak["condition"] == condition:
                figures = (
                    figure_at(metrics, "leaks", n, key) for key in ("by_groups", "by_images")
                )
                yield Row((leak["model"],), tuple(figures))

    headings = ("Model", "Patients held apart", "Split by image")
    return _by_condition(metrics, "AUROC of the same fit under both splits", headings, rows)


def choices_table(metrics: dict[str, Any]) -> Table:
    """AUROC with some of the features, and what that changes."""

    def rows(condition: str) -> Iterator[Row]:
        for n, choice in enumerate(metrics["choices"]):
            if choice["condition"] != condition:
                continue
            changes = [("change",), ("change", "p_value")] if choice["change"] else []
            paths = [("auroc",), *changes]
            figures = [figure_at(metrics, "choices", n, *path) for path in paths]
            blank = [Figure("", "")] * (3 - len(figures))
            yield Row((choice["model"], choice["choice"]), (*figures, *blank))

    headings = ("Model", "Features", "AUROC", "Change", "p, patients")
    return _by_condition(metrics, "The same networks with fewer features", headings, rows)


def costs_table(metrics: dict[str, Any]) -> Table:
    """What each model is and needs; a column for everything that a model says of itself."""
    said = [key for model in metrics["models"].values() for key in model["description"]]
    keys = [key for key in _COSTS if key in said]
    keys += [key for key in dict.fromkeys(said) if key not in _COSTS]
    rows = tuple(
        Row(
            (name,),
            tuple(
                figure_at(metrics, "models", name, "description", key)
                if key in model["description"]
                else Figure("", "")
                for key in keys
            ),
        )
        for name, model in metrics["models"].items()
    )
    named = [_COSTS.get(key, key.replace("_", " ").capitalize()) for key in keys]
    return Table("Size, work and time as given with the predictions", ("Model", *named), {"": rows})


def _by_condition(
    metrics: dict[str, Any],
    caption: str,
    headings: tuple[str, ...],
    rows: Callable[[str], Iterator[Row]],
) -> Table:
    found = {condition_in_words(name): tuple(rows(name)) for name in metrics["conditions"]}
    return Table(caption, headings, {name: some for name, some in found.items() if some})


def _ranked(metrics: dict[str, Any], condition: str) -> list[str]:
    models = metrics["models"]
    under = [name for name, model in models.items() if condition in model["conditions"]]

    def auroc(name: str) -> float:
        return float(models[name]["conditions"][condition]["cells"]["auroc"]["value"])

    return sorted(under, key=lambda name: -auroc(name))
