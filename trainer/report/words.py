"""The findings in plain language, each sentence made from the figures and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.area_baseline import NAME
from trainer.statistics.comparison import Comparison, Leak, Paired
from trainer.statistics.measures import Estimate

_CONDITIONS = {
    "on_black": "cells cut out on black",
    "composited": "cells on a real background",
    "own_stain": "cells on a real background, in the stain that they came with",
}


def condition_in_words(condition: str) -> str:
    """What a reader calls a condition."""
    return _CONDITIONS.get(condition, condition.replace("_", " "))


@dataclass(frozen=True)
class Topic:
    """What was found about one thing, a sentence or two at a time."""

    about: str
    sentences: tuple[str, ...]


def summary(comparison: Comparison) -> list[Topic]:
    """Who is ahead under each condition, what is noise, and what a wrong split would claim."""
    topics = [
        Topic(_capital(condition_in_words(condition)), tuple(_of_condition(comparison, condition)))
        for condition in comparison.conditions
    ]
    topics.append(Topic("Background and split", tuple(_of_background_and_split(comparison))))
    return [topic for topic in topics if topic.sentences]


def _of_condition(comparison: Comparison, condition: str) -> list[str]:
    networks = [name for name in comparison.ranked(condition) if name != NAME]
    if not networks:
        return []
    top = networks[0]
    figures = comparison.measured[top][condition]
    auroc = figures.cells["auroc"]
    best = f"{top} ranks best of the networks" if networks[1:] else f"{top} ranks the cells"
    first = (
        f"{best}: AUROC {_interval(auroc)}. Of a blast and a normal cell drawn at random, the "
        f"blast scores higher {round(100 * auroc.value)} times in 100."
    )
    sentences = [first]
    rivals = [comparison.pair(condition, top, name) for name in networks[1:]]
    ahead = [pair for pair in rivals if pair.told_apart]
    level = [pair for pair in rivals if not pair.told_apart]
    if ahead:
        sentences.append(f"{top} is ahead of {_listed([_lead(p) for p in ahead])}.")
    if level:
        sentences.append(
            f"Within noise: {_listed([f'its lead over {_lead(p)}' for p in level])}. With other "
            "patients the order could have been another."
        )
    if NAME in comparison.ranked(condition):
        sentences.append(_against_area(comparison.pair(condition, top, NAME), top))
    groups = figures.groups
    of_blasts, of_normals = _group_counts(comparison)
    found = round(groups["sensitivity"].value * of_blasts)
    kept = round(groups["specificity"].value * of_normals)
    sentences.append(
        f"By mean p(blast) of whole patient groups, {top} puts {found} of {of_blasts} blast groups "
        f"and {kept} of {of_normals} normal groups on the right side of one half."
    )
    return sentences


def _against_area(pair: Paired, top: str) -> str:
    if pair.first == NAME:
        verdict = "ranks the cells better still" if pair.told_apart else "ranks them no worse"
        return f"The size of the cell alone {verdict}: difference {_difference(pair)}."
    if pair.told_apart:
        return f"{top} knows more than the size of the cell: ahead of it by {_difference(pair)}."
    return (
        f"Whether {top} knows more than the size of the cell is not shown: its lead of "
        f"{_difference(pair)} is within noise."
    )


def _of_background_and_split(comparison: Comparison) -> list[str]:
    """What the real background costs the network that is best on black, and what a leak claims."""
    leaks = [_of_leak(leak) for leak in comparison.leaks]
    if not {"on_black", "composited"} <= set(comparison.conditions):
        return leaks
    top = next((name for name in comparison.ranked("on_black") if name != NAME), None)
    if top is None or "composited" not in comparison.measured[top]:
        return leaks
    black = comparison.measured[top]["on_black"].cells["auroc"].value
    field = comparison.measured[top]["composited"].cells["auroc"].value
    change = f"loses {black - field:.3f}" if field < black else f"gains {field - black:.3f}"
    return [f"From black to a real background {top} {change} of AUROC.", *leaks]


def _of_leak(leak: Leak) -> str:
    where = condition_in_words(leak.condition)
    claim = (
        f"Split by image, {leak.model} would have claimed an AUROC of {leak.by_images.value:.3f} "
        f"for {where}"
    )
    if leak.by_groups is None:
        return f"{claim}; there is no figure of it with patients held apart."
    surplus = leak.by_images.value - leak.by_groups.value
    return (
        f"{claim}; with patients held apart it is {leak.by_groups.value:.3f}. The {surplus:+.3f} "
        "between them comes from having seen the patients, not from knowing the disease."
    )


def _group_counts(comparison: Comparison) -> tuple[int, int]:
    is_blast = comparison.resampling.mean_by_unit(comparison.models[0].is_blast) > 0.5
    return int(is_blast.sum()), int((~is_blast).sum())


def _lead(pair: Paired) -> str:
    return f"{pair.second} by {_difference(pair)}"


def _difference(pair: Paired) -> str:
    d = pair.auroc
    return f"{d.value:.3f} ({d.low:.3f} to {d.high:.3f})"


def _interval(one: Estimate) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def efforts_in_words(choices: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each model whose choices were looked into with less than its own effort."""
    sentences = []
    for model, effort in {one["model"]: one["effort"] for one in choices}.items():
        less = []
        if "committee_steps" in effort:
            less.append(f"the committees were trained in {effort['committee_steps']:,} steps")
        if effort.get("arithmetic") == "bfloat16":
            less.append("the network looked in bfloat16")
        if less:
            sentences.append(f"Of {model}, all choices alike: {' and '.join(less)}.")
    return sentences
