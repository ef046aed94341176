"""Every cell is judged once, by a network that never saw its patient group."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from edge_daemon.errors import DataError
from tests.trainer.small_sets import small_classifier
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.groups import trained_on
from trainer.compare import METRICS, REPORT, compare
from trainer.cross_validation import cross_validate
from trainer.data.cnmc import read_manifest
from trainer.detector.config import DetectorConfig
from trainer.models.classifier import load_classifier
from trainer.predictions import PREDICTIONS, Predictions, load_predictions
from trainer.training.run_folder import BEST, fold_folder

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ClassifierConfig:
    return replace(small_classifier(tmp_path_factory.mktemp("data")), folds=2)


@pytest.fixture(scope="module")
def out(config: ClassifierConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    cross_validate(config, "small.toml", folder, QUIET, name="small")
    return folder


@pytest.fixture(scope="module")
def predictions(out: Path) -> Predictions:
    return load_predictions(out / PREDICTIONS)


def test_every_cell_is_judged_once(config: ClassifierConfig, predictions: Predictions) -> None:
    cells = {record.file for record in read_manifest(config.data / "cnmc2019")}
    assert sorted(predictions.file) == sorted(cells)
    assert predictions.conditions == ("on_black", "composited", "own_stain")
    assert predictions.model == "small"


def test_no_network_saw_the_group_it_judges(
    config: ClassifierConfig, predictions: Predictions
) -> None:
    for fold in range(2):
        judged = set(predictions.group[predictions.fold == fold])
        seen = {cell.group for cell in trained_on(replace(config, fold=fold))}
        assert judged
        assert not judged & seen


def test_it_says_what_the_model_costs(predictions: Predictions) -> None:
    told = predictions.description
    assert told["input_px"] == 32
    assert 0.5e6 < float(told["parameters"]) < 1e6
    assert 0 < float(told["gflops"]) < 0.1
    assert float(told["latency_ms"]) > 0


def test_what_is_done_is_not_done_again(
    config: ClassifierConfig, out: Path, predictions: Predictions
) -> None:
    before = (out / "fold-0" / "best.pt").stat().st_mtime_ns
    again = cross_validate(config, "small.toml", out, QUIET, name="small")
    assert again is not None
    assert (out / "fold-0" / "best.pt").stat().st_mtime_ns == before
    for kind in predictions.conditions:
        np.testing.assert_array_equal(again.logits[kind], predictions.logits[kind])


def test_a_comparison_reads_it(out: Path, tmp_path: Path) -> None:
    compare([out / PREDICTIONS], tmp_path, rounds=40)
    assert (tmp_path / METRICS).exists()
    assert "Where it looks" not in (tmp_path / REPORT).read_text()


def test_a_comparison_shows_where_the_networks_of_the_folds_look(
    config: ClassifierConfig, out: Path, tmp_path: Path
) -> None:
    compare([out / PREDICTIONS], tmp_path, data=config.data, rounds=40)
    page = (tmp_path / REPORT).read_text()
    assert page.count('alt="Where small looks in cell') == 8


def test_predictions_without_their_networks_show_no_such_pictures(
    config: ClassifierConfig, out: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.npz"
    shutil.copy(out / PREDICTIONS, moved)
    compare([moved], tmp_path, data=config.data, rounds=40)
    assert "Where it looks" not in (tmp_path / REPORT).read_text()


def test_one_fold_alone_or_a_detector_is_refused(config: ClassifierConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fold is 1; leave it out"):
        cross_validate(replace(config, fold=1), "one.toml", tmp_path, QUIET)
    with pytest.raises(DataError, match="only classifiers are cross-validated"):
        cross_validate(DetectorConfig(config.data), "det.toml", tmp_path, QUIET)


def test_a_fold_starts_from_backbones_that_never_saw_its_patients(
    config: ClassifierConfig, out: Path, tmp_path: Path
) -> None:
    continued = replace(config, start_from={"efficientnet_lite0": out}, weights="none")
    cross_validate(continued, "continued.toml", tmp_path, QUIET)
    for fold in range(2):
        before, after = (
            load_classifier(fold_folder(folder, fold) / BEST).network.backbones.state_dict()
            for folder in (out, tmp_path)
        )
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_fold_does_not_start_from_a_run_that_saw_all_patients(
    config: ClassifierConfig, out: Path, tmp_path: Path
) -> None:
    single = fold_folder(out, 0)
    with pytest.raises(DataError, match=r"start_from\.efficientnet_lite0: no .* same fold"):
        cross_validate(
            replace(config, start_from={"efficientnet_lite0": single}), "one.toml", tmp_path, QUIET
        )


def test_a_split_by_image_is_marked_as_one_and_never_taken_for_the_other(
    config: ClassifierConfig, out: Path, tmp_path: Path
) -> None:
    cross_validate(config, "small.toml", tmp_path, QUIET, split="images")
    leaked = load_predictions(tmp_path / PREDICTIONS)
    assert leaked.split == "images"
    on_both_sides = [
        group for group in set(leaked.group) if len(set(leaked.fold[leaked.group == group])) > 1
    ]
    assert on_both_sides
    with pytest.raises(DataError, match='\'split\' was "groups" and is now "images"'):
        cross_validate(config, "small.toml", out, QUIET, split="images")


def test_a_split_by_image_trains_nothing_for_use(config: ClassifierConfig) -> None:
    with pytest.raises(DataError, match="trains nothing for use"):
        replace(config, split="images")
