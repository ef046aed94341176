"""Every cell judged once, by a network that never saw its patient: what ``cross-validate`` does.

One run folder a fold, each resumable by itself, and at the end one file of out-of-fold predictions
for :mod:`trainer.compare`. The folds depend on the cells alone, so every architecture is measured
on the very same ones.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from edge_daemon.errors import DataError
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.evaluate import read_answers
from trainer.classifier.groups import held_out
from trainer.data.cnmc import CellRecord
from trainer.fit import METRICS, fit
from trainer.models.classifier import ClassifierGraph, load_classifier
from trainer.predictions import PREDICTIONS, Predictions, Split, save_predictions
from trainer.settings import Config, content_of, defaults_of
from trainer.training.parallel import join_ranks
from trainer.training.run_folder import RunFolder, fold_folder

_TIMED_CROPS = 20


def cross_validate(
    config: Config,
    recipe: str,
    out: Path,
    console: Console,
    *,
    name: str | None = None,
    split: Split = "groups",
) -> Predictions | None:
    """Train every fold into ``out/fold-<n>`` and write ``out/predictions.npz``.

    Folds that are done are not done again. ``start_from`` and a teacher are cross-validations, of
    which each fold takes the same fold. ``name`` is what the model is called in a comparison;
    without it, its architecture. ``split`` of ``images`` shows what a split by image would have
    claimed. Only the leading rank has predictions to return. Raises
    :class:`DataError`.
    """
    if not isinstance(config, ClassifierConfig):
        raise DataError(f"{recipe}: only classifiers are cross-validated; use leuko-train fit")
    if config.fold is not None:
        raise DataError(f"{recipe}: fold is {config.fold}; leave it out, every fold is trained")
    ranks = join_ranks()
    cells: list[CellRecord] = []
    folds: list[int] = []
    logits: defaultdict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for fold in range(config.folds):
        own, run = replace(_of_fold(config, fold), split=split), fold_folder(out, fold)
        if ranks.leads:
            console.print(f"fold {fold + 1} of {config.folds}")
        if not (run / METRICS).exists():
            fit(own, recipe, run, console)
        else:
            RunFolder(run).refuse_others(content_of(own), defaults_of(own))
        if not ranks.leads:
            continue
        records = held_out(own)
        for kind, said in read_answers(RunFolder(run), records).items():
            logits[kind].append(said)
        cells += records
        folds += [fold] * len(records)
    if not ranks.leads:
        return None
    predictions = Predictions(
        model=name or config.architecture,
        file=np.array([cell.file for cell in cells]),
        subject=np.array([cell.subject for cell in cells]),
        group=np.array([cell.group for cell in cells]),
        fold=np.array(folds),
        is_blast=np.array([cell.label == "blast" for cell in cells]),
        area_um2=np.array([cell.area_um2 for cell in cells]),
        logits={kind: np.concatenate(parts) for kind, parts in logits.items()},
        description=describe_model(load_classifier(RunFolder(run).best), config),
        split=split,
    )
    save_predictions(predictions, out / PREDICTIONS)
    return predictions


def _of_fold(config: ClassifierConfig, fold: int) -> ClassifierConfig:
    """Backbones and teachers of a fold are of the same fold: others have seen its patients."""
    starts = {
        name: _same_fold(runs, fold, f"start_from.{name}")
        for name, runs in config.start_from.items()
    }
    distillation = config.distillation
    if distillation is not None:
        teacher = _same_fold(distillation.teacher, fold, "distillation.teacher")
        distillation = replace(distillation, teacher=teacher)
    return replace(config, fold=fold, start_from=starts, distillation=distillation)


def _same_fold(runs: Path, fold: int, setting: str) -> Path:
    run = fold_folder(runs, fold)
    if not RunFolder(run).best.exists():
        raise DataError(
            f"{setting}: no {run}; a fold needs the same fold of a cross-validation, any other run "
            "has seen its patients"
        )
    return run


def describe_model(graph: ClassifierGraph, config: ClassifierConfig) -> dict[str, str | float]:
    """Size, operations and speed of a network, for the report's table.

    ``latency_ms`` is the median time of one crop by itself in PyTorch on one thread, here.
    """
    size = graph.geometry.size
    crop = torch.zeros((1, size, size, 3), dtype=torch.uint8)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        graph(crop)
    times = []
    with torch.inference_mode():
        for _ in range(_TIMED_CROPS):
            start = time.perf_counter()
            graph(crop)
            times.append(1e3 * (time.perf_counter() - start))
    weights = "none" if config.weights == "none" else "ImageNet"
    return {
        "parameters": float(sum(part.numel() for part in graph.parameters())),
        "gflops": counter.get_total_flops() / 1e9,
        "input_px": float(graph.geometry.visible),
        "latency_ms": float(np.median(times)),
        "initial_weights": weights,
    }
