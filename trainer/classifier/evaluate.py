"""Calibrate a trained classifier and measure it: ``leuko-train evaluate``.

Everything is fitted and measured on the validation groups: the temperature, the abstain band, the
threshold, the limit of novelty, and the choice of the epoch. The figures are therefore a little
kind to the network; the intervals over patient groups say how little a dozen of patients can tell
anyway.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from edge_daemon.contract.roles import ClassifierRole
from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from edge_daemon.vision.classify import judge_cells
from trainer.classifier.calibration import RULE, calibrated
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.groups import held_out
from trainer.classifier.neither import crops_of_neither
from trainer.data.cnmc import UM_PER_PX, CellRecord, digest_of
from trainer.data.device_crops import crops_of_blood, crops_on_black, crops_on_fields
from trainer.data.fields import read_field_sets
from trainer.data.smear_fields import real_fields
from trainer.models.classifier import ClassifierGeometry, ClassifierGraph, load_classifier
from trainer.statistics.calibration import expected_calibration_error, p_blast_of
from trainer.statistics.operating import operating_at
from trainer.statistics.ranking import auroc, auroc_by_group, auroc_of_groups
from trainer.statistics.resampling import group_bootstrap
from trainer.training.compute import device_of
from trainer.training.run_folder import RunFolder
from trainer.whole_files import written_whole

ANSWERS = "answers.npz"
"""File of a run: what its best weights say of the cells that were held out."""


class Answers(NamedTuple):
    """What a graph says of N crops."""

    logits: NDArray[np.float32]
    """``[N, 2]``."""
    novelty: NDArray[np.float32]
    """``[N]``."""


@dataclass(frozen=True, eq=False)
class Validation:
    """The fixed crops of the validation split, as the daemon would make them."""

    on_black: NDArray[np.uint8]
    composited: NDArray[np.uint8]
    """On validation fields, in the stain of the field."""
    own_stain: NDArray[np.uint8]
    """On validation fields, in the stain that the cell came with; nothing is fitted to these."""
    is_blast: NDArray[np.bool_]
    blood: NDArray[np.uint8]
    """White cells of normal blood: none of them is a blast."""
    neither: dict[str, NDArray[np.uint8]]
    """What is no nucleated cell, see :mod:`trainer.classifier.neither`."""

    def measure(self, graph: ClassifierGraph) -> dict[str, float]:
        """AUROC of both kinds of crop, and the share of normal blood called blast at 0.5."""
        p_black = p_blast_of(logits_of(graph, self.on_black))
        p_field = p_blast_of(logits_of(graph, self.composited))
        p_blood = p_blast_of(logits_of(graph, self.blood))
        return {
            "auroc_on_black": auroc(self.is_blast, p_black),
            "auroc_composited": auroc(self.is_blast, p_field),
            "blast_rate_normal_blood": float((p_blood >= 0.5).mean()),
        }


def evaluate_run(
    folder: RunFolder, config: ClassifierConfig, *, rounds: int = 1000
) -> dict[str, Any]:
    """All figures of a run's best weights, on the groups that ``config`` holds out.

    What the weights say of each of these cells is left in the run (:func:`read_answers`).
    ``calibration`` holds what the bundle's classifier role needs, see
    :class:`edge_daemon.contract.roles.ClassifierRole`.
    """
    graph = load_classifier(folder.best)
    records = held_out(config)
    validation = read_validation(config.data, records, graph.geometry)
    is_blast = validation.is_blast
    answers = {
        "on_black": answers_of(graph, validation.on_black),
        "composited": answers_of(graph, validation.composited),
    }
    both = np.concatenate([answer.logits for answer in answers.values()])
    both_truth = np.concatenate([is_blast, is_blast])
    expected = list(answers.values())
    answers["own_stain"] = answers_of(graph, validation.own_stain)
    logits = {kind: answer.logits for kind, answer in answers.items()}
    _write_answers(folder, records, logits)
    groups = [record.group for record in records]
    area = np.array([record.area_um2 for record in records])
    of_blood = answers_of(graph, validation.blood)
    known = [*(answer.novelty for answer in expected), of_blood.novelty]
    calibration = calibrated(both, both_truth, known)
    role = ClassifierRole(
        **dict(calibration),
        size=graph.geometry.size,
        crop_um=graph.geometry.crop_um,
        single_cell_um_per_px=UM_PER_PX,
    )
    temperature, threshold = calibration.temperature, calibration.blast_threshold
    blood = p_blast_of(of_blood.logits, temperature)
    metrics: dict[str, Any] = {
        "cells": {
            "val": len(records),
            "blast": int(is_blast.sum()),
            "groups": len(set(groups)),
            "digest": digest_of(records),
        },
        "calibration": {
            **role.model_dump(mode="json", exclude={"classes"}),
            "rule": RULE,
        },
        "cell_area_baseline": _ranking(groups, is_blast, area, rounds),
        "normal_blood": {
            "white_cells": len(blood),
            **_called(of_blood, role),
            "at_or_above_threshold": float((blood >= threshold).mean()),
            "unfamiliar": _unfamiliar(of_blood, role),
        },
        "neither_class": {
            what: _told_apart(answers_of(graph, crops), np.concatenate(known), role)
            for what, crops in validation.neither.items()
            if len(crops)
        },
    }
    for kind, values in logits.items():
        p_raw, p = p_blast_of(values), p_blast_of(values, temperature)
        at = operating_at(is_blast, p, threshold)
        metrics[kind] = {
            **_ranking(groups, is_blast, p, rounds),
            "sensitivity": at.sensitivity,
            "specificity": at.specificity,
            "balanced_accuracy": at.balanced_accuracy,
            "uncertain": _called(answers[kind], role)["called_uncertain"],
            "unfamiliar": _unfamiliar(answers[kind], role),
            "ece_before": expected_calibration_error(is_blast, p_raw),
            "ece_after": expected_calibration_error(is_blast, p),
            "by_group": auroc_by_group(groups, is_blast, p),
        }
    return metrics


def read_answers(
    folder: RunFolder, records: Sequence[CellRecord]
) -> dict[str, NDArray[np.float32]]:
    """What the run said of ``records`` when it was measured: condition -> logits ``[N, 2]``.

    Raises :class:`DataError` when it was not measured on just these.
    """
    path = folder.path / ANSWERS
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
        files = found.pop("files").tolist()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        files = None
    if files != [record.file for record in records]:
        raise DataError(f"{path} is not of these cells; measure again: leuko-train evaluate")
    return found


def _write_answers(
    folder: RunFolder, records: Sequence[CellRecord], logits: Mapping[str, NDArray[np.float32]]
) -> None:
    files = np.array([record.file for record in records])
    with written_whole(folder.path / ANSWERS) as file:
        np.savez_compressed(file, files=files, **logits)  # type: ignore[arg-type]


def _called(answers: Answers, role: ClassifierRole) -> dict[str, float]:
    """Shares that the daemon would call blast and uncertain."""
    labels = np.array(judge_cells(answers.logits, role, answers.novelty).labels)
    return {f"called_{label}": float((labels == label).mean()) for label in ("blast", "uncertain")}


def _unfamiliar(answers: Answers, role: ClassifierRole) -> float:
    """Share of the crops that show nothing the classifier knows."""
    judged = judge_cells(answers.logits, role, answers.novelty)
    return float(judged.unfamiliar.mean())


def _told_apart(
    neither: Answers, known: NDArray[np.float32], role: ClassifierRole
) -> dict[str, Any]:
    """How well novelty tells crops of no cell from cells, and what becomes of them."""
    is_neither = np.arange(len(known) + len(neither.novelty)) >= len(known)
    judged = judge_cells(neither.logits, role, neither.novelty)
    blind = role.model_copy(update={"novelty_limit": None})
    return {
        "crops": len(neither.novelty),
        "novelty_auroc": auroc(is_neither, np.concatenate([known, neither.novelty])),
        "unfamiliar": float(judged.unfamiliar.mean()),
        **_called(neither, role),
        "called_blast_without_novelty": _called(neither, blind)["called_blast"],
    }


def _ranking(
    groups: list[str], is_blast: NDArray[np.bool_], score: NDArray[np.float64], rounds: int
) -> dict[str, Any]:
    def statistic(index: NDArray[np.intp]) -> float:
        return auroc(is_blast[index], score[index])

    return {
        "auroc": auroc(is_blast, score),
        "auroc_interval_95": group_bootstrap(groups, is_blast, statistic, rounds=rounds),
        "auroc_of_groups": auroc_of_groups(groups, is_blast, score),
    }


def describe(metrics: dict[str, Any]) -> str:
    """The figures as a few lines for a person."""
    lines = []
    for kind in ("on_black", "composited", "own_stain", "cell_area_baseline"):
        one = metrics[kind]
        low, high = one["auroc_interval_95"]
        line = f"{kind:20s} AUROC {one['auroc']:.3f} [{low:.3f}, {high:.3f}]"
        line += f"  of groups {one['auroc_of_groups']:.3f}"
        if "sensitivity" in one:
            line += f"  sens {one['sensitivity']:.3f} spec {one['specificity']:.3f}"
            line += f"  balanced {one['balanced_accuracy']:.3f} uncertain {one['uncertain']:.3f}"
            line += f"  ECE {one['ece_before']:.3f} -> {one['ece_after']:.3f}"
        lines.append(line)
    blood, calibration = metrics["normal_blood"], metrics["calibration"]
    lines.append(
        f"normal blood ({blood['white_cells']} white cells): blast {blood['called_blast']:.3f}, "
        f"uncertain {blood['called_uncertain']:.3f}"
    )
    lines += [
        f"{what} ({one['crops']}): unfamiliar {one['unfamiliar']:.3f}, blast "
        f"{one['called_blast']:.3f} (without novelty {one['called_blast_without_novelty']:.3f}), "
        f"novelty AUROC {one['novelty_auroc']:.3f}"
        for what, one in metrics["neither_class"].items()
    ]
    low, high = calibration["abstain_band"]
    lines.append(f"temperature {calibration['temperature']:.3f}, uncertain {low:.3f} to {high:.3f}")
    return "\n".join(lines)


def read_validation(
    data: Path, records: Sequence[CellRecord], geometry: ClassifierGeometry
) -> Validation:
    """The crops of held-out cells on black and on validation fields, and normal blood."""
    root = data / "cnmc2019"
    sets = read_field_sets(data, "val")
    fields = real_fields(sets)
    crop_um, size = geometry.crop_um, geometry.size
    on_fields = partial(crops_on_fields, root, records, fields, crop_um=crop_um, size=size, seed=1)
    composited = on_fields()
    return Validation(
        on_black=crops_on_black(root, records, size),
        composited=composited,
        own_stain=on_fields(staining="own"),
        is_blast=np.array([record.label == "blast" for record in records]),
        blood=crops_of_blood(fields, crop_um=crop_um, size=size),
        neither=crops_of_neither(sets, fields, composited, geometry),
    )


def answers_of(graph: ClassifierGraph, crops: NDArray[np.uint8], batch: int = 64) -> Answers:
    """What a graph says of many crops, in batches without autograd."""
    graph.eval()
    device = device_of(graph)
    logits = [np.empty((0, len(CLASSES)), np.float32)]
    novelty = [np.empty(0, np.float32)]
    with torch.inference_mode():
        for first in range(0, len(crops), batch):
            one, other = graph(torch.from_numpy(crops[first : first + batch]).to(device))
            logits.append(one.float().cpu().numpy())
            novelty.append(other.float().cpu().numpy())
    return Answers(np.concatenate(logits), np.concatenate(novelty))


def logits_of(graph: ClassifierGraph, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of many crops, float32 ``[N, 2]``."""
    return answers_of(graph, crops).logits
