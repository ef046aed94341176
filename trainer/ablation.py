"""What each part of a network's features is worth: ``leuko-train ablate``.

The networks of a cross-validation stay as they are, and their committees are trained anew on fewer
features: without one depth, without the area, with the last depth alone. So one look at the cells
serves for all. Every cell is still judged by a network that never saw its patient.

Choices are held against each other, not against what the run itself said: they may be trained in
fewer steps, and the networks may look in bfloat16, when all of them are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch.nn import functional

from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.evaluate import read_validation
from trainer.classifier.groups import held_out, trained_on
from trainer.classifier.reading import read_crops, read_shown
from trainer.fit import told
from trainer.models.classifier import CellClassifier, load_classifier
from trainer.models.committee import refit_and_judge
from trainer.predictions import PREDICTIONS, Predictions, load_predictions, save_predictions
from trainer.training.compute import Arithmetic, Compute
from trainer.training.run_folder import BEST, fold_folder
from trainer.whole_files import written_whole

ABLATION = "ablation"
"""Folder beside the predictions of a cross-validation: a file of predictions for each choice."""
ALL = "all"
"""The choice that leaves nothing out."""
CONDITIONS = ("on_black", "composited")
"""How the cells are shown: fields of :class:`trainer.classifier.evaluate.Validation`."""
_EFFORT = "effort"


def choices_of(network: CellClassifier) -> dict[str, NDArray[np.bool_]]:
    """Which of the joined features are kept, by the name of the choice; :data:`ALL` is first."""
    parts = network.parts()
    whole = np.ones(network.fusion.width, np.bool_)

    def without(names: list[str]) -> NDArray[np.bool_]:
        kept = whole.copy()
        for name in names:
            kept[parts[name]] = False
        return kept

    choices = {ALL: whole}
    stages = {
        name: [f"{name} stage {stage}" for stage in read] for name, read in network.depths.items()
    }
    earlier = [part for read in stages.values() for part in read[:-1]]
    if earlier:
        choices["the last stage alone"] = without(earlier)
    if len(stages) > 1:
        for name in stages:
            others = [part for other, read in stages.items() if other != name for part in read]
            choices[f"{name} alone"] = without(others)
    single = [part for read in stages.values() for part in read] if earlier else []
    for part in [*single, *(one for one in ("area", "colours") if one in parts)]:
        choices[f"without {part}"] = without([part])
    return choices


@dataclass(frozen=True)
class Effort:
    """What is spent on every choice alike."""

    steps: int | None = None
    """Of each committee; as many as the run's own by default."""
    arithmetic: Arithmetic = "float32"
    """What the networks look in."""

    def described(self) -> dict[str, str | float]:
        """For the files of the choices."""
        steps = {} if self.steps is None else {"committee_steps": self.steps}
        return {**steps, "arithmetic": self.arithmetic}

    @property
    def told(self) -> str:
        """The same as a line."""
        return json.dumps(self.described())


def ablate(
    runs: Path, console: Console, *, data: Path | None = None, effort: Effort | None = None
) -> Path:
    """Judge every cell by fewer features; a file a choice in ``runs/ablation``, which is returned.

    ``runs`` is the folder of a cross-validation, ``data`` takes the place of the folder it was
    trained from. A fold that is done is not done again. Raises :class:`DataError`, also for a fold
    that was done with another ``effort``.
    """
    effort = effort or Effort()
    honest = load_predictions(runs / PREDICTIONS)
    if honest.split != "groups":
        raise DataError(f"{runs}: split by image; what a leak is made of is not looked into")
    out = runs / ABLATION
    out.mkdir(exist_ok=True)
    place = {file: index for index, file in enumerate(honest.file.tolist())}
    logits: dict[str, dict[str, NDArray[np.float32]]] = {}
    for fold in sorted(set(honest.fold.tolist())):
        found = out / f"fold-{fold}.npz"
        if not found.exists():
            console.print(f"fold {fold + 1} of {len(set(honest.fold.tolist()))}")
            _judge_fold(fold_folder(runs, fold), data, found, effort, console)
        with np.load(found, allow_pickle=False) as archive:
            effort_then = archive[_EFFORT] if _EFFORT in archive.files else Effort().told
            if (then := str(effort_then)) != effort.told:
                raise DataError(
                    f"{found} was made with {then}: say the same, or remove {out} to begin anew"
                )
            rows = [place[file] for file in archive["cells"].tolist()]
            for key in set(archive.files) - {"cells", _EFFORT}:
                choice, condition = key.rsplit("/", 1)
                blank = {name: np.zeros_like(honest.logits[name]) for name in CONDITIONS}
                logits.setdefault(choice, blank)[condition][rows] = archive[key]
    for choice, said in logits.items():
        described = replace(honest, model=choice, logits=said, description=effort.described())
        save_predictions(described, out / f"{choice.replace(' ', '-')}.npz")
    return out


def read_ablation(runs: Path) -> list[Predictions]:
    """What :func:`ablate` found in ``runs``, :data:`ALL` first; nothing where it was not called."""
    files = sorted((runs / ABLATION).glob("*.npz"))
    found = [load_predictions(file) for file in files if not file.name.startswith("fold-")]
    return sorted(found, key=lambda one: one.model != ALL)


def _judge_fold(run: Path, data: Path | None, out: Path, effort: Effort, console: Console) -> None:
    config, _ = told(run, data)
    if not isinstance(config, ClassifierConfig):
        raise DataError(f"{run}: only classifiers have depths to leave out")
    torch.set_num_threads(config.threads)
    graph = load_classifier(run / BEST)
    compute = Compute(effort.arithmetic)
    graph.to(compute.device)
    records = held_out(config)
    validation = read_validation(config.data, records, graph.geometry)
    with compute.mixed():
        asked = {name: read_crops(graph, getattr(validation, name)) for name in CONDITIONS}
        shown = read_shown([graph.network], config, trained_on(config), compute)
    console.print(f"{len(shown.labels)} crops read", highlight=False)
    training = config.committee
    if effort.steps is not None:
        training = replace(training, steps=effort.steps)
    found: dict[str, NDArray[np.generic]] = {
        "cells": np.array([one.file for one in records]),
        _EFFORT: np.array(effort.told),
    }
    truth = functional.one_hot(shown.labels, len(CLASSES)).float()
    for choice, kept in choices_of(graph.network).items():
        said = refit_and_judge(
            shown.features[0][:, kept],
            truth,
            shown.weights,
            [one[:, kept] for one in asked.values()],
            training,
            seed=config.seed,
        )
        for condition, logits in zip(asked, said, strict=True):
            found[f"{choice}/{condition}"] = logits.numpy()
        console.print(f"{choice}: {int(kept.sum())} features", highlight=False)
    with written_whole(out) as file:
        np.savez_compressed(file, **found)  # type: ignore[arg-type]
