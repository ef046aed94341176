"""What each part of the features is worth, by networks that never saw the patient they judge."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from edge_daemon.errors import DataError
from tests.trainer.small_sets import small_classifier
from trainer.ablation import ABLATION, ALL, Effort, ablate, choices_of, read_ablation
from trainer.classifier.config import ClassifierConfig
from trainer.compare import METRICS, REPORT, compare
from trainer.cross_validation import cross_validate
from trainer.models.cell_colours import CellColours
from trainer.models.classifier import ARCHITECTURES, CellClassifier
from trainer.predictions import PREDICTIONS, load_predictions

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ClassifierConfig:
    return replace(small_classifier(tmp_path_factory.mktemp("data")), folds=2)


@pytest.fixture(scope="module")
def runs(config: ClassifierConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    cross_validate(config, "small.toml", folder, QUIET, name="small")
    ablate(folder, QUIET)
    return folder


def test_the_edge_network_can_do_without_each_depth_the_area_or_the_colours() -> None:
    choices = choices_of(CellClassifier(ARCHITECTURES["edge"]))
    left_out = {name: int((~kept).sum()) for name, kept in choices.items()}
    stage = {n: left_out[f"without efficientnet_lite0 stage {n}"] for n in (1, 2, 3, 4)}
    assert left_out[ALL] == 0
    assert left_out["the last stage alone"] == stage[1] + stage[2] + stage[3]
    assert left_out["without area"] == 2
    assert left_out["without colours"] == CellColours.width


def test_the_hybrid_can_do_without_a_whole_backbone() -> None:
    network = CellClassifier(ARCHITECTURES["hybrid"], colours=False)
    choices = choices_of(network)
    assert {"vgg19 alone", "resnet50 alone"} <= set(choices)
    both = choices["vgg19 alone"].astype(int) + choices["resnet50 alone"]
    parts = network.parts()
    assert (both[parts["area"]] == 2).all()
    assert (np.delete(both, np.arange(parts["area"].start, parts["area"].stop)) == 1).all()
    assert "without vgg19 stage 4" in choices


def test_parts_are_all_features_once() -> None:
    network = CellClassifier(ARCHITECTURES["strong"])
    covered = np.concatenate([np.arange(network.fusion.width)[p] for p in network.parts().values()])
    assert covered.tolist() == list(range(network.fusion.width))


def test_with_all_features_the_committee_says_what_it_said(runs: Path) -> None:
    honest, whole = load_predictions(runs / PREDICTIONS), read_ablation(runs)[0]
    assert whole.model == ALL
    for condition in whole.conditions:
        np.testing.assert_allclose(whole.logits[condition], honest.logits[condition], atol=1e-3)


def test_every_choice_judges_every_cell(runs: Path, config: ClassifierConfig) -> None:
    honest, found = load_predictions(runs / PREDICTIONS), read_ablation(runs)
    assert {one.model for one in found} == set(
        choices_of(CellClassifier(config.read_depths, colours=config.counts_colours))
    )
    for one in found[1:]:
        assert one.file.tolist() == honest.file.tolist()
        assert (one.logits["on_black"] != found[0].logits["on_black"]).any()


def test_a_comparison_shows_it_with_what_each_choice_changes(runs: Path, tmp_path: Path) -> None:
    compare([runs / PREDICTIONS], tmp_path, rounds=40)
    page = (tmp_path / REPORT).read_text()
    assert "What each part is worth" in page
    assert "without colours" in page
    metrics = json.loads((tmp_path / METRICS).read_text())
    one = next(
        choice
        for choice in metrics["choices"]
        if (choice["choice"], choice["condition"]) == ("without area", "composited")
    )
    said = next(found for found in read_ablation(runs) if found.model == "without area")
    expected = roc_auc_score(said.is_blast, said.margin("composited"))
    assert one["auroc"]["value"] == pytest.approx(expected)
    assert one["change"]["low"] <= one["change"]["value"] <= one["change"]["high"]


def test_a_fold_that_is_done_is_not_done_again(runs: Path) -> None:
    fold = runs / ABLATION / "fold-1.npz"
    before = fold.stat().st_mtime_ns
    ablate(runs, QUIET)
    assert fold.stat().st_mtime_ns == before


def test_fewer_steps_are_told_and_not_mixed_with_more(
    config: ClassifierConfig, tmp_path: Path
) -> None:
    cross_validate(config, "small.toml", tmp_path, QUIET, name="small")
    ablate(tmp_path, QUIET, effort=Effort(steps=3, arithmetic="bfloat16"))
    assert all(
        one.description == {"committee_steps": 3, "arithmetic": "bfloat16"}
        for one in read_ablation(tmp_path)
    )
    compare([tmp_path / PREDICTIONS], tmp_path / "report", rounds=40)
    assert (
        "Of small, all choices alike: the committees were trained in 3 steps and the network "
        "looked in bfloat16." in " ".join((tmp_path / "report" / REPORT).read_text().split())
    )
    with pytest.raises(DataError, match=r"fold-0.npz was made with .*bfloat16.*: say the same"):
        ablate(tmp_path, QUIET)


def test_what_is_no_cross_validation_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no predictions at"):
        ablate(tmp_path, QUIET)
