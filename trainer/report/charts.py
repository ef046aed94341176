"""The report's figures: ranking at a glance, ROC, precision and recall, reliability, patients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trainer.area_baseline import NAME
from trainer.report.palette import looks_of
from trainer.report.svg import FAINT, INK, OKABE_ITO, drawing, inline_svg
from trainer.report.words import condition_in_words
from trainer.statistics.comparison import Comparison
from trainer.statistics.curves import (
    Curve,
    precision_recall_curve,
    reliability_curve,
    roc_curve,
)
from trainer.statistics.measures import THRESHOLD, Measured

WIDTH_IN = 10.4

_BAND_OPACITY = 0.10
_BLAST, _NORMAL = OKABE_ITO[1], OKABE_ITO[0]


def overview_chart(comparison: Comparison) -> str:
    """AUROC of each model with its interval, one panel a condition."""
    looks = looks_of(list(comparison.measured))
    names = comparison.ranked(comparison.conditions[0])
    names += [name for name in comparison.measured if name not in names]
    with drawing(WIDTH_IN, 1.0 + 0.34 * len(names), "overview") as figure:
        panels = _panels(figure, comparison, sharex=True, sharey=True)
        for axes, condition in zip(panels, comparison.conditions, strict=True):
            for place, name in enumerate(names):
                if condition not in comparison.measured[name]:
                    continue
                one, look = comparison.measured[name][condition].cells["auroc"], looks[name]
                axes.plot([one.low, one.high], [place, place], color=look.colour, linewidth=2.2)
                axes.plot([one.value], [place], look.mark, color=look.colour, markersize=6.5)
                axes.annotate(
                    f"{one.value:.3f}",
                    (one.value, place),
                    xytext=(0, 5),
                    textcoords="offset points",
                    ha="center",
                )
            axes.axvline(0.5, color=INK, linewidth=0.6, linestyle=":")
            axes.set_xlabel("AUROC of the cells (0.5: chance)")
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.5, -0.7)
            axes.grid(visible=False, axis="y")
        return inline_svg(figure, "overview", "AUROC of each model with its 95 % interval")


def roc_chart(comparison: Comparison) -> str:
    """Sensitivity against false positive rate."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
        axes.set_xlabel("normal cells called blast (1 - specificity)")
        axes.set_ylabel("blasts found (sensitivity)")

    return _curves(comparison, roc_curve, draw, "roc", "ROC curves")


def precision_recall_chart(comparison: Comparison) -> str:
    """Precision against recall; the faint line is what calling everything a blast gives."""
    share = float(comparison.models[0].is_blast.mean())

    def draw(axes: Any) -> None:
        axes.axhline(share, color=FAINT, linewidth=1)
        axes.set_xlabel("blasts found (recall)")
        axes.set_ylabel("blasts among the called (precision)")

    return _curves(
        comparison, precision_recall_curve, draw, "precision-recall", "precision-recall curves"
    )


def reliability_chart(comparison: Comparison) -> str:
    """Observed share of blasts against p(blast), before and after temperature scaling."""
    names, looks = list(comparison.measured), looks_of(list(comparison.measured))
    shown = [(c, n) for c in comparison.conditions for n in names if c in comparison.measured[n]]
    columns = min(len(names), 4)
    rows = -(-len(shown) // columns)
    with drawing(WIDTH_IN, 2.75 * rows, "reliability") as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        panels = list(grid.flat)
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        for axes, (condition, name) in zip(panels[: len(shown)], shown, strict=True):
            one, look = comparison.measured[name][condition], looks[name]
            truth = one.scored.is_blast
            before = reliability_curve(truth, one.scored.p_before, comparison.resampling)
            after = reliability_curve(truth, one.scored.p_after, comparison.resampling)
            axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
            axes.plot(before.x, before.y, color=INK, linewidth=0.9, linestyle=":", label="before")
            _band(axes, after, look.colour)
            axes.plot(after.x, after.y, color=look.colour, marker=look.mark, ms=3.5, label="after")
            axes.set_title(f"{name}\n{condition_in_words(condition)}")
            axes.set_aspect("equal")
        panels[0].legend(loc="upper left", fontsize=7.5)
        figure.supxlabel("mean p(blast)", fontsize=8.5)
        figure.supylabel("share that are blasts", fontsize=8.5)
        return inline_svg(figure, "reliability", "Reliability of each model under each condition")


def patients_chart(comparison: Comparison, condition: str) -> str:
    """Spread of p(blast) in each patient group: middle 80 %, middle half, and the mean."""
    networks = [name for name in comparison.ranked(condition) if name != NAME]
    own_name = f"patients-{comparison.conditions.index(condition)}"
    names = networks[:3] + [NAME] * (NAME in comparison.ranked(condition))
    unit_of_cell = comparison.resampling.unit_of_cell
    cells = comparison.models[0]
    label = dict(zip(unit_of_cell.tolist(), cells.group.tolist(), strict=True))
    count = np.bincount(unit_of_cell)
    leader = comparison.measured[names[0]][condition]
    by_mean = np.argsort(comparison.resampling.mean_by_unit(leader.scored.p_after))
    is_blast = comparison.resampling.mean_by_unit(cells.is_blast) > 0.5
    order = sorted(by_mean.tolist(), key=lambda unit: bool(is_blast[unit]))
    with drawing(WIDTH_IN, 1.2 + 0.17 * len(order), own_name) as figure:
        panels = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            _patients(axes, comparison.measured[name][condition], unit_of_cell, order)
            axes.set_title(name)
        panels[0].set_yticks(range(len(order)), [f"{label[u]} ({count[u]})" for u in order])
        panels[0].tick_params(axis="y", labelsize=7)
        panels[0].set_ylim(-0.8, len(order) - 0.2)
        figure.supxlabel("p(blast), calibrated out of fold", fontsize=8.5)
        where = condition_in_words(condition)
        alt = f"p(blast) by patient group, {where}: {len(order)} groups, {len(names)} models"
        return inline_svg(figure, own_name, alt)


def _patients(axes: Any, one: Measured, unit_of_cell: np.ndarray, order: list[int]) -> None:
    p, blast, spread = [], [], []
    for unit in order:
        own = unit_of_cell == unit
        p.append(one.scored.p_after[own].mean())
        spread.append(np.quantile(one.scored.p_after[own], [0.1, 0.25, 0.75, 0.9]))
        blast.append(bool(one.scored.is_blast[own][0]))
    means, spreads, of_blasts = np.array(p), np.array(spread), np.array(blast)
    places = np.arange(len(order))
    for chosen, colour, mark in ((of_blasts, _BLAST, "o"), (~of_blasts, _NORMAL, "s")):
        y, x = places[chosen], spreads[chosen]
        axes.hlines(y, x[:, 0], x[:, 3], color=colour, linewidth=0.8)
        axes.hlines(y, x[:, 1], x[:, 2], color=colour, linewidth=2.6, alpha=0.55)
        axes.plot(means[chosen], y, mark, color=colour, markersize=3.6)
    axes.axvline(THRESHOLD, color=INK, linewidth=0.6, linestyle=":")
    axes.set_xlim(-0.02, 1.02)
    axes.grid(visible=False, axis="y")


def _curves(
    comparison: Comparison,
    curve_of: Callable[..., Curve],
    dress: Callable[[Any], None],
    name: str,
    what: str,
) -> str:
    looks = looks_of(list(comparison.measured))
    with drawing(WIDTH_IN, 5.0, name) as figure:
        panels = _panels(figure, comparison, sharey=True)
        for axes, condition in zip(panels, comparison.conditions, strict=True):
            dress(axes)
            for model in comparison.ranked(condition):
                scored, look = comparison.measured[model][condition].scored, looks[model]
                curve = curve_of(scored.is_blast, scored.score, comparison.resampling)
                _band(axes, curve, look.colour)
                kept = _thinned(curve)
                axes.plot(
                    curve.x[kept], curve.y[kept], color=look.colour, ls=look.line, label=model
                )
            axes.set_xlim(-0.01, 1.01)
        panels[0].set_ylim(top=1.01)
        drawn = {
            label: handle
            for axes in panels
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=4)
        return inline_svg(figure, name, f"{what} of each model, one panel a condition")


def _panels(figure: Any, comparison: Comparison, **shared: bool) -> list[Any]:
    panels = list(figure.subplots(1, len(comparison.conditions), squeeze=False, **shared)[0])
    for axes, condition in zip(panels, comparison.conditions, strict=True):
        axes.set_title(condition_in_words(condition))
    return panels


def _band(axes: Any, curve: Curve, colour: str) -> None:
    axes.fill_between(
        curve.band_x, curve.low, curve.high, color=colour, alpha=_BAND_OPACITY, linewidth=0
    )
    for edge in (curve.low, curve.high):
        axes.plot(curve.band_x, edge, color=colour, alpha=0.45, linewidth=0.5)


def _thinned(curve: Curve, points: int = 400) -> np.ndarray:
    """Indices of points spread evenly along the line: more cannot be seen, and would weigh."""
    way = np.cumsum(np.hypot(np.diff(curve.x, prepend=0), np.diff(curve.y, prepend=0)))
    kept = np.searchsorted(way, np.linspace(way[0], way[-1], points))
    return np.unique(np.minimum(kept, len(way) - 1))
