"""``leuko-train fit``, ``resume`` and ``evaluate``: from a settings file to a run that exports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from exporter.bundle.runs import load_classifier_run, load_detector_run
from tests.trainer.small_sets import write_sets
from trainer.data.data_manifest import DataManifest
from trainer.data.training_data import manifest_of_training_data
from trainer.models.efficientnet_lite import EfficientNetLite

CLASSIFIER = """
task = "classifier"
data = "data"
weights = "weights.pt"
mask_epochs = 1
shown_views = 1
epochs = 2
crops_per_epoch = 8
batch = 4
rendered_cells = 2
rendered_fields = 1
workers = 0
[geometry]
size = 40
visible = 32
[committee]
members = 2
hidden = 8
steps = 20
batch = 8
"""
DETECTOR = """
task = "detector"
data = "data"
weights = "weights.pt"
epochs = 1
batch = 2
cut_out_cells = 2
rendered = false
[shape]
channels = 8
head_convs = 1
[frames]
height = 64
width = 96
coarse_fraction = 0.0
repeats = [1, 1]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fit")
    write_sets(root / "data")
    torch.manual_seed(0)
    torch.save(EfficientNetLite().state_dict(), root / "weights.pt")
    (root / "classifier.toml").write_text(CLASSIFIER)
    (root / "detector.toml").write_text(DETECTOR)
    return root


def environment() -> dict[str, str]:
    repository = str(Path(__file__).resolve().parents[2])
    own = {name: value for name, value in os.environ.items() if name != "LEUKO_DATA"}
    return {**own, "PYTHONPATH": repository, "OMP_NUM_THREADS": "1"}


def leuko_train(
    folder: Path, *arguments: str, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *launcher, "-m", "trainer.cli", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_classifier_is_trained_measured_resumed_and_exported(folder: Path) -> None:
    done = leuko_train(folder, "fit", "classifier.toml", "--out", "classifier")
    assert done.returncode == 0, done.stderr
    run = folder / "classifier"
    assert json.loads((run / "config.json").read_text())["recipe"] == "classifier.toml"
    assert "on_black" in json.loads((run / "metrics.json").read_text())
    manifest = DataManifest.read(run / "data.json")
    sets = ["bccd/train", "bccd/val", "cnmc2019", "txl-pbc/train", "txl-pbc/val"]
    assert sorted(one.name for one in manifest.sets) == sets
    assert manifest == manifest_of_training_data(folder / "data")
    (run / "metrics.json").unlink()
    again = leuko_train(folder, "resume", "classifier")
    assert again.returncode == 0, again.stderr
    assert "AUROC" in again.stdout
    exported = load_classifier_run(run)
    assert exported.command == "leuko-train fit classifier.toml --out classifier"


def test_a_student_is_distilled_from_it_and_says_from_whom(folder: Path) -> None:
    if not (folder / "classifier").exists():
        leuko_train(folder, "fit", "classifier.toml", "--out", "classifier")
    options = ("--share", "0.3", "--folds", "2", "--out", "student")
    learn = ("distill", "classifier.toml", "--teacher", "classifier", *options)
    done = leuko_train(folder, *learn)
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "student" / "config.json").read_text())["distillation"]
    assert (told["teacher"], told["share"]) == (str(folder / "classifier"), 0.3)
    exported = load_classifier_run(folder / "student")
    assert exported.command == f"leuko-train {' '.join(learn)}"


def test_killed_in_the_middle_and_resumed_it_ends_in_the_same_weights(folder: Path) -> None:
    """``kill -9`` at whatever the training is doing after its first epoch is on disk."""
    settings = CLASSIFIER.replace("epochs = 2", "epochs = 5").replace(
        "mask_epochs = 1", "mask_epochs = 3"
    )
    (folder / "killed.toml").write_text(
        settings.replace("crops_per_epoch = 8", "crops_per_epoch = 64")
    )
    assert leuko_train(folder, "fit", "killed.toml", "--out", "whole").returncode == 0
    started = subprocess.Popen(
        [sys.executable, "-m", "trainer.cli", "fit", "killed.toml", "--out", "killed"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    log, deadline = folder / "killed" / "log.jsonl", time.monotonic() + 120
    while not log.exists() and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    started.kill()
    assert started.wait() == -signal.SIGKILL
    assert len(log.read_text().splitlines()) < 5
    resumed = leuko_train(folder, "resume", "killed")
    assert resumed.returncode == 0, resumed.stderr
    for file in ("last.pt", "best.pt"):
        whole, killed = (
            torch.load(folder / run / file, weights_only=True) for run in ("whole", "killed")
        )
        part = "averaged" if file == "last.pt" else "weights"
        assert all(torch.equal(value, killed[part][name]) for name, value in whole[part].items())


def test_torchrun_trains_in_two_processes_and_one_of_them_writes(folder: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    fit = ("fit", "classifier.toml", "--out", "in-two")
    done = leuko_train(folder, *fit, launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("measuring in-two") == 1
    metrics = json.loads((folder / "in-two" / "metrics.json").read_text())
    assert 0 <= metrics["on_black"]["auroc"] <= 1
    history = (folder / "in-two" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [0, 1]


def test_a_detector_is_trained_measured_and_exported(folder: Path) -> None:
    done = leuko_train(folder, "fit", "detector.toml", "--out", "detector")
    assert done.returncode == 0, done.stderr
    (folder / "detector" / "metrics.json").unlink()
    measured = leuko_train(folder, "evaluate", "detector")
    assert measured.returncode == 0, measured.stderr
    metrics = json.loads((folder / "detector" / "metrics.json").read_text())
    assert {"bccd/val", "txl-pbc/val", "pooled", "pasted", "rendered"} <= set(metrics)
    assert load_detector_run(folder / "detector").role.metrics["bccd.val.map50"] >= 0


def test_a_mistake_is_one_line_and_an_exit_code(folder: Path) -> None:
    (folder / "typo.toml").write_text(DETECTOR.replace("epochs", "epoch"))
    done = leuko_train(folder, "fit", "typo.toml", "--out", "typo")
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "did you mean epochs" in done.stderr
    assert not (folder / "typo").exists()
