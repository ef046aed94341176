"""From run folders to a draft: figures belong to weights, and patients stay unnamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_daemon.errors import DataError
from exporter.bundle.assemble import assemble
from exporter.bundle.draft import BundleDraft
from exporter.bundle.runs import flattened, load_classifier_run, load_detector_run
from exporter.errors import ExportError
from tests.exporter.small_models import DATA, DETECTOR
from trainer.data.cnmc import digest_of, read_manifest
from trainer.data.data_manifest import DataManifest
from trainer.detector.saved import save_detector
from trainer.models.classifier import (
    CellClassifier,
    ClassifierGeometry,
    Depths,
    saved_classifier,
)
from trainer.models.detector import Detector

MANIFEST = """\
file,label,subject,group,split,fg_frac,bmp_sha256
a.webp,ALL,1,G1,train,0.2,aa
b.webp,HEM,2,G2,train,0.2,bb
c.webp,ALL,3,G3,val,0.2,cc
"""
THRESHOLDS = dict(DETECTOR.score_thresholds)
CALIBRATION = {
    "temperature": 1.4,
    "abstain_band": [0.2, 0.8],
    "blast_threshold": 0.5,
    "rule": "as written",
    "size": 160,
    "crop_um": 19.8,
    "single_cell_um_per_px": 0.044,
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a manifest of three cells."""
    (tmp_path / "data" / "cnmc2019").mkdir(parents=True)
    (tmp_path / "data" / "cnmc2019" / "manifest.csv").write_text(MANIFEST)
    return tmp_path / "data"


@pytest.fixture
def detector_run(tmp_path: Path, data: Path) -> Path:
    """A run as ``leuko-train fit`` leaves it."""
    run = tmp_path / "detector-1"
    run.mkdir()
    save_detector(Detector(), DETECTOR, run / "best.pt")
    scores = {"wbc": 0.98, "rbc": 0.9, "platelet": 0.8, "map50": 0.893, "wbc_recall": 0.99}
    _write_json(run / "metrics.json", {"thresholds": THRESHOLDS, "bccd/val": scores})
    config = {"data": str(data), "cut_out_cells": 800, "recipe": "detector.toml"}
    _write_json(run / "config.json", config)
    return run


@pytest.fixture
def classifier_run(tmp_path: Path, data: Path) -> Path:
    """A run as ``leuko-train fit`` leaves it."""
    run = tmp_path / "classifier-1"
    run.mkdir()
    torch.save(saved_classifier(CellClassifier(), ClassifierGeometry()), run / "best.pt")
    black = {
        "auroc": 0.9,
        "auroc_interval_95": [0.85, 0.95],
        "by_group": {"G3": {"auroc": 0.7}},
    }
    blood = {"white_cells": 215, "called_blast": 0.05}
    metrics = {"calibration": CALIBRATION, "on_black": black, "normal_blood": blood}
    _write_json(run / "metrics.json", metrics)
    cells = digest_of(read_manifest(data / "cnmc2019"))
    _write_json(run / "config.json", {"data": str(data), "cells": cells, "recipe": "mine.toml"})
    return run


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content))


def test_the_detector_comes_with_its_figures(detector_run: Path) -> None:
    run = load_detector_run(detector_run)
    assert run.role.spec == DETECTOR
    assert run.role.metrics["bccd.val.map50"] == 0.893
    assert run.role.metrics["bccd.val.wbc_recall"] == 0.99
    assert "thresholds.wbc" not in run.role.metrics


def test_the_classifier_comes_with_its_calibration_and_no_patient(classifier_run: Path) -> None:
    run = load_classifier_run(classifier_run)
    assert run.role.spec.temperature == 1.4
    assert run.role.spec.abstain_band == (0.2, 0.8)
    assert run.role.metrics == {
        "on_black.auroc": 0.9,
        "on_black.auroc_interval_95.low": 0.85,
        "on_black.auroc_interval_95.high": 0.95,
        "normal_blood.white_cells": 215.0,
        "normal_blood.called_blast": 0.05,
    }


def test_provenance_names_data_split_and_commands(detector_run: Path, classifier_run: Path) -> None:
    os.utime(detector_run / "best.pt", (1_795_000_000,) * 2)
    os.utime(classifier_run / "best.pt", (1_790_000_000,) * 2)
    provenance = assemble(detector_run, classifier_run, name="x", version="1.0.0").provenance
    assert provenance.created == datetime.fromtimestamp(1_795_000_000, tz=timezone.utc)
    assert provenance.train_groups_sha256 == hashlib.sha256(b"G1\nG2").hexdigest()
    names = [source.name for source in provenance.data]
    assert len(names) == len(set(names)) == 4
    fit_first, fit_second, export = provenance.command.splitlines()
    assert fit_first == "leuko-train fit detector.toml --out detector-1"
    assert fit_second == "leuko-train fit mine.toml --out classifier-1"
    assert export.startswith("leuko-export bundle --detector detector-1 --classifier classifier-1")
    assert str(detector_run.parent) not in provenance.model_dump_json()


def test_source_date_epoch_sets_the_time(
    detector_run: Path, classifier_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    draft = assemble(detector_run, classifier_run, name="x", version="1.0.0")
    assert draft.provenance.created == datetime(1970, 1, 2, tzinfo=timezone.utc)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ExportError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        assemble(detector_run, classifier_run, name="x", version="1.0.0")


def test_figures_of_other_weights_are_refused(detector_run: Path) -> None:
    other = DETECTOR.model_copy(update={"score_thresholds": dict.fromkeys(THRESHOLDS, 0.9)})
    save_detector(Detector(), other, detector_run / "best.pt")
    os.utime(detector_run / "best.pt", (1, 1))
    with pytest.raises(ExportError, match=r"metrics\.json does not belong to best\.pt"):
        load_detector_run(detector_run)


def test_figures_older_than_the_weights_are_refused(classifier_run: Path) -> None:
    os.utime(classifier_run / "metrics.json", (1, 1))
    with pytest.raises(ExportError, match=r"is older than best\.pt.*leuko-train evaluate"):
        load_classifier_run(classifier_run)


def test_a_run_that_was_never_measured_says_so(classifier_run: Path) -> None:
    (classifier_run / "metrics.json").unlink()
    with pytest.raises(ExportError, match=r"metrics\.json is missing.*not measured"):
        load_classifier_run(classifier_run)


def test_another_manifest_than_that_of_the_training_is_refused(
    classifier_run: Path, data: Path
) -> None:
    (data / "cnmc2019" / "manifest.csv").write_text(MANIFEST.replace("G2", "G9"))
    with pytest.raises(ExportError, match="not the one that the run was trained on"):
        load_classifier_run(classifier_run)


def test_the_data_travel_with_the_draft_when_every_run_says_them(
    detector_run: Path, classifier_run: Path
) -> None:
    DATA.write(detector_run / "data.json")
    assert assembled(detector_run, classifier_run).data is None
    DATA.write(classifier_run / "data.json")
    assert assembled(detector_run, classifier_run).data == DATA


def test_runs_on_different_data_make_no_bundle(detector_run: Path, classifier_run: Path) -> None:
    DATA.write(detector_run / "data.json")
    one = DATA.sets[0].model_copy(update={"digest": "sha256:" + "ef" * 32})
    DataManifest(sets=(one,)).write(classifier_run / "data.json")
    with pytest.raises(ExportError, match="trained on different data"):
        assembled(detector_run, classifier_run)


def assembled(detector_run: Path, classifier_run: Path) -> BundleDraft:
    return assemble(detector_run, classifier_run, name="x", version="1.0.0")


def test_a_fold_of_a_cross_validation_is_refused(classifier_run: Path) -> None:
    config = json.loads((classifier_run / "config.json").read_text())
    _write_json(classifier_run / "config.json", {**config, "fold": 2})
    with pytest.raises(ExportError, match=r"fold 2 of a cross-validation.*leave fold out"):
        load_classifier_run(classifier_run)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nowhere is not a run folder"):
        load_detector_run(tmp_path / "nowhere")
    with pytest.raises(DataError, match="checkpoint"):
        load_detector_run(tmp_path)


def test_what_was_not_measured_is_left_out() -> None:
    figures = {"a": {"b": None, "c": float("nan"), "d": 1, "e": "words"}, "bccd/val": 2.5}
    assert flattened(figures) == {"a.d": 1.0, "bccd.val": 2.5}


def test_a_larger_classifier_may_give_a_second_opinion(
    detector_run: Path, classifier_run: Path, tmp_path: Path
) -> None:
    larger = Path(shutil.copytree(classifier_run, tmp_path / "hybrid-1"))
    draft = assemble(detector_run, classifier_run, larger, name="x", version="1.0.0")
    assert [role.name for role in draft.roles] == ["detector", "classifier", "second_opinion"]
    assert draft.metrics["second_opinion.on_black.auroc"] == 0.9
    assert "--second-opinion hybrid-1 --name x" in draft.provenance.command


@pytest.mark.parametrize(
    ("depths", "weights", "credited"),
    [
        (None, "imagenet", ["EfficientNet-Lite0"]),
        ({"vgg19": (4,), "resnet50": (3,)}, "imagenet", ["VGG19", "ResNet50"]),
        ({"resnet50": (3,)}, "none", []),
    ],
)
def test_credit_goes_to_the_weights_it_started_from(
    classifier_run: Path, depths: Depths | None, weights: str, credited: list[str]
) -> None:
    network = CellClassifier(depths)
    torch.save(saved_classifier(network, ClassifierGeometry()), classifier_run / "best.pt")
    config = json.loads((classifier_run / "config.json").read_text())
    _write_json(classifier_run / "config.json", config | {"weights": weights})
    os.utime(classifier_run / "best.pt", (1, 1))
    sources = [source.name for source in load_classifier_run(classifier_run).data]
    assert [name.split()[0] for name in sources[3:]] == credited
