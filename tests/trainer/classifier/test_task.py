"""A training of the classifier can be stopped and resumed, and ends with calibrated figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from edge_daemon.contract.roles import ClassifierRole
from edge_daemon.errors import DataError
from tests.trainer.small_sets import small_classifier
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.evaluate import describe, evaluate_run
from trainer.classifier.groups import held_out, trained_on
from trainer.classifier.task import ClassifierTask
from trainer.training.loop import train
from trainer.training.parallel import Ranks
from trainer.training.run_folder import RunFolder

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ClassifierConfig:
    return replace(small_classifier(tmp_path_factory.mktemp("data")), epochs=3)


@pytest.fixture(scope="module")
def run(config: ClassifierConfig, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    train(ClassifierTask(config, Ranks(), QUIET), folder, Ranks(), QUIET)
    return folder


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder.path / "last.pt", weights_only=True)[
        "averaged"
    ]
    return found


class PowerCutError(Exception):
    """What stands in for the plug being pulled."""


@pytest.mark.parametrize("epochs_before", [1, 2])
def test_an_interrupted_run_ends_in_the_same_weights_bit_for_bit(
    config: ClassifierConfig,
    run: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epochs_before: int,
) -> None:
    save, saved = RunFolder.save_last, []

    def save_then_cut(self: RunFolder, *args: object) -> None:
        save(self, *args)  # type: ignore[arg-type]
        saved.append(args)
        if len(saved) == epochs_before:
            raise PowerCutError

    monkeypatch.setattr(RunFolder, "save_last", save_then_cut)
    cut = RunFolder(tmp_path)
    with pytest.raises(PowerCutError):
        train(ClassifierTask(config, Ranks(), QUIET), cut, Ranks(), QUIET)
    train(ClassifierTask(config, Ranks(), QUIET), cut, Ranks(), QUIET)
    resumed = weights(cut)
    for name, value in weights(run).items():
        assert torch.equal(resumed[name], value), name


def test_every_epoch_leaves_a_line(run: RunFolder) -> None:
    lines = run.history()
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert "mask_iou" in lines[0]
    assert "training_accuracy" in lines[1]
    assert lines[2]["score"] == pytest.approx(
        (lines[2]["auroc_on_black"] + lines[2]["auroc_composited"]) / 2
    )


def test_the_figures_make_a_role_that_the_daemon_accepts(
    config: ClassifierConfig, run: RunFolder
) -> None:
    metrics = evaluate_run(run, config, rounds=20)
    calibration = {k: v for k, v in metrics["calibration"].items() if k != "rule"}
    role = ClassifierRole.model_validate(calibration)
    assert role.size == config.geometry.size
    assert metrics["cell_area_baseline"]["auroc"] == 1.0  # the drawn blasts are all larger
    assert "AUROC" in describe(metrics)


def test_another_seed_draws_other_crops(
    config: ClassifierConfig, run: RunFolder, tmp_path: Path
) -> None:
    other = RunFolder(tmp_path)
    task = ClassifierTask(replace(config, seed=1, epochs=2), Ranks(), QUIET)
    train(task, other, Ranks(), QUIET)
    one, two = weights(run), weights(other)
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_a_fold_holds_out_whole_groups(config: ClassifierConfig) -> None:
    seen = set()
    for fold in range(2):
        chosen = replace(config, fold=fold, folds=2)
        train_groups = {cell.group for cell in trained_on(chosen)}
        out_groups = {cell.group for cell in held_out(chosen)}
        assert not train_groups & out_groups
        seen |= out_groups
    assert seen == train_groups | out_groups


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 1}, "epochs: 1 leave none"),
        ({"architecture": "alexnet"}, "architecture: there is no 'alexnet'"),
        ({"fold": 5}, "fold: 5 is not one of 0 to 4"),
        ({"start_from": {"vgg19": Path("x")}}, "start_from: vgg19 is no backbone"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    config: ClassifierConfig, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        replace(config, **changes)  # type: ignore[arg-type]
