"""A training of the classifier can be stopped and resumed, and ends with calibrated figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edge_daemon.contract.roles import ClassifierRole
from tests.trainer.small_sets import write_sets
from trainer.evaluate_classifier import describe, evaluate_classifier
from trainer.fit_classifier import BEST, ClassifierConfig, fit_classifier
from trainer.models.classifier import ClassifierGeometry
from trainer.models.efficientnet_lite import EfficientNetLite0


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ClassifierConfig:
    data = tmp_path_factory.mktemp("data")
    write_sets(data)
    weights = data / "weights.pt"
    torch.manual_seed(0)
    torch.save(EfficientNetLite0().state_dict(), weights)
    return ClassifierConfig(
        data=data,
        weights=weights,
        geometry=ClassifierGeometry(size=40, visible=32),
        mask_epochs=1,
        linear_crops=16,
        epochs=3,
        crops_per_epoch=8,
        batch=4,
        evaluate_every=1,
        rendered_cells=2,
        rendered_fields=1,
        threads=1,
        workers=0,
    )


@pytest.fixture(scope="module")
def run(config: ClassifierConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fit_classifier(config, folder)
    return folder


def test_an_interrupted_run_ends_as_one_that_was_not(
    config: ClassifierConfig, run: Path, tmp_path: Path
) -> None:
    def power_cut(_line: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_classifier(config, tmp_path, on_epoch=power_cut)
    fit_classifier(config, tmp_path)
    whole, resumed = (
        torch.load(folder / "last.pt", weights_only=True)["averaged"] for folder in (run, tmp_path)
    )
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, msg=name)


def test_every_epoch_leaves_a_line_and_the_run_its_config(
    config: ClassifierConfig, run: Path
) -> None:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert json.loads((run / "config.json").read_text())["epochs"] == config.epochs


def test_the_figures_make_a_role_that_the_daemon_accepts(
    config: ClassifierConfig, run: Path
) -> None:
    metrics = evaluate_classifier(run / BEST, config.data, rounds=20)
    calibration = {k: v for k, v in metrics["calibration"].items() if k != "rule"}
    role = ClassifierRole.model_validate(calibration)
    assert role.size == config.geometry.size
    assert metrics["cell_area_baseline"]["auroc"] == 1.0  # the drawn blasts are all larger
    assert json.loads((run / "metrics.json").read_text())["on_black"] is not None
    assert "AUROC" in describe(metrics)


def test_another_seed_draws_other_crops(
    config: ClassifierConfig, run: Path, tmp_path: Path
) -> None:
    fit_classifier(replace(config, seed=1, epochs=2), tmp_path)
    one = torch.load(run / BEST, weights_only=True)["weights"]
    other = torch.load(tmp_path / BEST, weights_only=True)["weights"]
    assert any(not torch.equal(one[name], other[name]) for name in one)
