"""From the folder of a finished training to one role of a bundle.

A run folder holds weights and figures side by side, and they can drift apart: training goes on and
the figures stay. A role is only made from figures that belong to the weights beside them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from edge_daemon.contract.bundle import DataSource
from edge_daemon.contract.roles import ClassifierRole
from edge_daemon.contract.stain import StainReference
from exporter.bundle.draft import RoleDraft
from exporter.bundle.provenance import BCCD, C_NMC, IMAGENET_WEIGHTS, TXL_PBC
from exporter.errors import ExportError

if TYPE_CHECKING:
    from trainer.data.data_manifest import DataManifest

CLASSIFIER_FIGURES = (
    *("on_black", "composited", "own_stain", "cell_area_baseline", "normal_blood"),
    "neither_class",
)
"""Sections of a classifier's metrics that go into the bundle. Figures of single patient groups
stay at home: a bundle is published, and the groups are people."""


METRICS = "metrics.json"
"""What ``leuko-train evaluate`` found."""

HISTORY = "history.md"
"""A run that was stopped, changed and taken up again says so in this file of its folder; the model
card repeats it."""


@dataclass(frozen=True)
class TrainedRun:
    """One role, and what the bundle's provenance needs to know about its training."""

    role: RoleDraft
    finished: datetime
    command: str
    data: tuple[DataSource, ...]
    train_groups_sha256: str | None
    """Digest of the sorted list of patient groups it was trained on; None when the data are not
    at hand to list them."""
    stain: StainReference | None = None
    """Colours of the whole frames it was taught on."""
    manifest: DataManifest | None = None
    """The data by count and digest, where the run says it."""
    history: str | None = None
    """How the weights really came about, where one command does not tell it all."""


def load_detector_run(folder: Path, data: Path | None = None) -> TrainedRun:
    """The detector of a run of ``leuko-train fit``; ``data`` in place of the run's own folder.

    Raises:
        DataError: the weights are missing or unreadable.
        ExportError: the figures are missing or belong to other weights.
    """
    require_run_folder(folder)
    from exporter.gate.examples import examples_for
    from trainer.detector.saved import load_detector
    from trainer.models.detector import DetectorGraph
    from trainer.training.run_folder import BEST

    detector, spec = load_detector(folder / BEST)
    figures = _figures(folder, BEST)
    if figures.pop("thresholds", None) != spec.score_thresholds:
        raise ExportError(
            f"{folder / METRICS} does not belong to {BEST} beside it; measure these weights: "
            "leuko-train evaluate"
        )
    config = _config(folder, data)
    pasted = (C_NMC,) if config.get("cut_out_cells") else ()
    examples = examples_for(spec, _data(config)) if _is_at_hand(config) else None
    graph = DetectorGraph(detector)
    return TrainedRun(
        role=RoleDraft("detector", spec, graph, flattened(figures), examples),
        finished=_modified(folder / BEST),
        command=_fit_command(folder, config),
        data=(BCCD, TXL_PBC, *pasted, IMAGENET_WEIGHTS["efficientnet_lite0"]),
        train_groups_sha256=_train_groups(config) if pasted else None,
        stain=_taught_stain(_data(config)) if _is_at_hand(config) else None,
        manifest=_data_manifest(folder),
        history=_history(folder),
    )


def load_classifier_run(
    folder: Path,
    data: Path | None = None,
    role: Literal["classifier", "second_opinion"] = "classifier",
) -> TrainedRun:
    """The classifier of a run of ``leuko-train fit``; ``data`` in place of the run's own folder.

    ``role`` says what it is to be in the bundle.

    Raises:
        DataError: the weights are missing or unreadable.
        ExportError: the figures are missing or older than the weights.
    """
    require_run_folder(folder)
    from exporter.gate.examples import examples_for
    from trainer.models.classifier import load_classifier
    from trainer.training.run_folder import BEST

    weights, figures = folder / BEST, folder / METRICS
    graph = load_classifier(weights)
    metrics = _figures(folder, BEST)
    calibration = dict(metrics["calibration"])
    calibration.pop("rule", None)
    try:
        spec = ClassifierRole.model_validate(calibration)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ExportError(f"{figures}: calibration.{where}: {first['msg']}") from None
    shown = {name: metrics[name] for name in CLASSIFIER_FIGURES if name in metrics}
    for section in shown.values():
        section.pop("by_group", None)
    config = _config(folder, data)
    if config.get("fold") is not None:
        raise ExportError(
            f"{folder} is fold {config['fold']} of a cross-validation; a bundle takes a run on the "
            "split of the manifest: leave fold out of the settings"
        )
    groups = _train_groups(config)
    examples = examples_for(spec, _data(config)) if _is_at_hand(config) else None
    return TrainedRun(
        role=RoleDraft(role, spec, graph, flattened(shown), examples),
        finished=_modified(weights),
        command=_fit_command(folder, config),
        data=(C_NMC, BCCD, TXL_PBC, *_initial_weights(config, graph.network.depths)),
        train_groups_sha256=groups,
        manifest=_data_manifest(folder),
        history=_history(folder),
    )


def _initial_weights(config: Mapping[str, Any], backbones: Iterable[str]) -> tuple[DataSource, ...]:
    """The published weights that a run started from; none where it started from nothing."""
    if config.get("weights") == "none":
        return ()
    return tuple(IMAGENET_WEIGHTS[name] for name in backbones)


def _data_manifest(folder: Path) -> DataManifest | None:
    from trainer.data.data_manifest import DATA_JSON, DataManifest

    path = folder / DATA_JSON
    return DataManifest.read(path) if path.is_file() else None


def _taught_stain(data: Path) -> StainReference | None:
    """What the training frames of all sets have in common: a stain unlike it is new to a detector.

    None without red cells in any of them.
    """
    from edge_daemon.vision.quality.stain import measure_stain, stain_reference
    from trainer.data.fields import read_field_sets

    records = [record for one in read_field_sets(data, "train") for record in one.records]
    return stain_reference([measure_stain(record.read()) for record in records])


def _history(folder: Path) -> str | None:
    path = folder / HISTORY
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def require_run_folder(folder: Path) -> None:
    """Raise :class:`ExportError` when ``folder`` is not there; before torch takes its seconds."""
    if not folder.is_dir():
        raise ExportError(f"{folder} is not a run folder; name one that leuko-train wrote")


def flattened(figures: Mapping[str, Any]) -> dict[str, float]:
    """Nested figures as flat ones: ``{"a": {"b": 1}}`` is ``{"a.b": 1.0}``.

    A pair is an interval (``a.low``, ``a.high``). A figure that could not be measured (None, or not
    finite) is left out: a bundle has no number for it.
    """
    return dict(_flat(figures, ()))


def _flat(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, (*path, *str(name).split("/")))
    elif isinstance(value, list) and len(value) == 2:
        yield from _flat({"low": value[0], "high": value[1]}, path)
    elif isinstance(value, int | float) and math.isfinite(value):
        yield ".".join(path), float(value)


def _figures(folder: Path, weights: str) -> dict[str, Any]:
    """The figures of a run, if they are not older than its weights."""
    path = folder / METRICS
    figures: dict[str, Any] = _read_json(path)
    if _modified(path) < _modified(folder / weights):
        raise ExportError(
            f"{path} is older than {weights}; measure these weights first: leuko-train evaluate"
        )
    return figures


def _config(folder: Path, data: Path | None) -> dict[str, Any]:
    config: dict[str, Any] = _read_json(folder / "config.json")
    return config if data is None else {**config, "data": str(data)}


def _data(config: Mapping[str, Any]) -> Path:
    return Path(str(config["data"]))


def _is_at_hand(config: Mapping[str, Any]) -> bool:
    """Whether there is real data to calibrate on and to judge with."""
    return all((_data(config) / name).is_dir() for name in ("bccd", "txl-pbc", "cnmc2019"))


def _fit_command(folder: Path, config: Mapping[str, Any]) -> str:
    """The command that trains ``folder`` again, given the data by ``LEUKO_DATA``.

    Run folders are named without where they were: a bundle is published.
    """
    recipe, told = config.get("recipe", "SETTINGS"), config.get("distillation")
    if told is None:
        return f"leuko-train fit {recipe} --out {folder.name}"
    options = f"--share {told['share']:g} --folds {told['folds']}"
    teacher = Path(told["teacher"]).name
    return f"leuko-train distill {recipe} --teacher {teacher} {options} --out {folder.name}"


def _train_groups(config: Mapping[str, Any]) -> str | None:
    """Digest of the training groups of C-NMC, from the very manifest that the run read."""
    from trainer.data.cnmc import digest_of, of_split, read_manifest

    root = _data(config) / "cnmc2019"
    if not root.is_dir():
        return None
    records = read_manifest(root)
    if "cells" in config and config["cells"] != digest_of(records):
        raise ExportError(
            f"{root}/manifest.csv is not the one that the run was trained on; restore it, or "
            "train again"
        )
    groups = sorted({record.group for record in of_split(records, "train")})
    return hashlib.sha256("\n".join(groups).encode()).hexdigest()


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExportError(f"{file} is missing: the run is not finished or not measured") from None
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read {file}: {error}") from None


def _modified(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, tz=timezone.utc)
