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
from trainer.classifier.networks import first_network
from trainer.classifier.task import ClassifierTask
from trainer.models.classifier import load_classifier
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


@pytest.fixture(scope="module")
def from_nothing(config: ClassifierConfig) -> ClassifierConfig:
    return replace(
        config,
        weights="none",
        frozen_stages=0,
        frozen_statistics=False,
        learn_epochs=2,
        epochs=4,
        arithmetic="bfloat16",
    )


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


def test_backbones_that_know_nothing_learn_and_can_be_interrupted_at_it(
    from_nothing: ClassifierConfig, tmp_path: Path
) -> None:
    whole, cut = RunFolder.at(tmp_path / "whole"), RunFolder.at(tmp_path / "cut")
    train(ClassifierTask(from_nothing, Ranks(), QUIET), whole, Ranks(), QUIET)
    stopped = ClassifierTask(from_nothing, Ranks(), QUIET)
    stopped.epochs = 2  # the mask, and half of the learning
    train(stopped, cut, Ranks(), QUIET)
    train(ClassifierTask(from_nothing, Ranks(), QUIET), cut, Ranks(), QUIET)
    ended, resumed = weights(whole), weights(cut)
    assert all(torch.equal(ended[name], resumed[name]) for name in ended)
    first = first_network(from_nothing).state_dict()
    moved = [name for name in first if not torch.equal(first[name], ended[name])]
    assert any(name.startswith("backbones.efficientnet_lite0.stages.0") for name in moved)
    assert [sorted(line)[-2:] for line in whole.history()][1:3] == [["right", "seconds"]] * 2


def test_what_learnt_from_nothing_is_read_as_any_other(
    from_nothing: ClassifierConfig, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path)
    train(ClassifierTask(from_nothing, Ranks(), QUIET), folder, Ranks(), QUIET)
    assert load_classifier(folder.best).network.depths == from_nothing.read_depths


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
        ({"learn_epochs": 2}, "epochs: 3 leave none .* and learning 2"),
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
