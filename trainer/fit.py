"""From settings to a trained and measured run: what ``fit``, ``resume`` and ``evaluate`` do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from trainer.classifier import evaluate as classifier_figures
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.groups import digest_of_cells
from trainer.classifier.task import ClassifierTask
from trainer.data.data_manifest import DATA_JSON
from trainer.data.training_data import manifest_of_training_data
from trainer.detector import figures as detector_figures
from trainer.detector.task import DetectorTask
from trainer.settings import Config, config_of, content_of, defaults_of
from trainer.training.loop import Task, train
from trainer.training.parallel import join_ranks
from trainer.training.run_folder import CONFIG, RunFolder
from trainer.whole_files import write_json

METRICS = "metrics.json"
"""What the best weights are worth, measured once training is over."""


def fit(config: Config, recipe: str, out: Path, console: Console) -> None:
    """Train into ``out``, or go on where it stands, then measure the best weights.

    ``recipe`` names the settings file in the record. Raises :class:`DataError`.
    """
    ranks = join_ranks()
    folder = RunFolder.at(out)
    if ranks.leads:
        told_now = {**content_of(config), "recipe": recipe, **_cells(config)}
        folder.save_config(told_now, defaults_of(config))
        _record_data(config, folder)
    console = console if ranks.leads else Console(quiet=True)
    task: Task
    if isinstance(config, ClassifierConfig):
        task = ClassifierTask(config, ranks, console)
    else:
        task = DetectorTask(config, ranks, console)
    train(task, folder, ranks, console)
    if ranks.leads:
        evaluate(out, console)


def resume(run: Path, console: Console) -> None:
    """Go on with a run as it was told to be. Raises :class:`DataError`."""
    config, recipe = told(run)
    fit(config, recipe, run, console)


def evaluate(run: Path, console: Console, data: Path | None = None) -> dict[str, Any]:
    """Measure the best weights of ``run``; also written to its ``metrics.json``.

    ``data`` takes the place of the folder that the run was trained from. Raises
    :class:`DataError`.
    """
    config, _ = told(run, data)
    _record_data(config, RunFolder(run))
    console.print(f"measuring {run}")
    if isinstance(config, ClassifierConfig):
        figures = classifier_figures.evaluate_run(RunFolder(run), config)
        text = classifier_figures.describe(figures)
    else:
        figures = detector_figures.evaluate_run(RunFolder(run), config.data)
        text = detector_figures.describe(figures)
    write_json(figures, run / METRICS)
    console.print(text, highlight=False)
    return figures


def told(run: Path, data: Path | None = None) -> tuple[Config, str]:
    """The settings of ``run``, and the file that they came from by name.

    ``data`` takes the place of the folder that the run was trained from. Raises
    :class:`DataError`.
    """
    content = RunFolder(run).config()
    if data is not None:
        content["data"] = str(data)
    recipe = content.pop("recipe", "")
    content.pop("cells", None)
    return config_of(content, run / CONFIG), recipe


def _record_data(config: Config, folder: RunFolder) -> None:
    """Say in the run what it was trained and measured on, once."""
    path = folder.path / DATA_JSON
    if not path.exists():
        manifest_of_training_data(config.data).write(path)


def _cells(config: Config) -> dict[str, str]:
    return {"cells": digest_of_cells(config.data)}
