"""The bundle in this repository does on real data what its manifest and docs/results.md say."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.commands.classify import single_cell_crop
from edge_daemon.commands.models import find_bundle, open_models
from edge_daemon.inference import Models
from edge_daemon.sources.reading import read_picture
from edge_daemon.vision.detect import Detections
from trainer.data.cnmc import of_split, read_manifest
from trainer.data.fields import read_field_sets
from trainer.detector.metrics import match, mean_average_precision
from trainer.statistics.ranking import auroc


@pytest.fixture(scope="module")
def models():
    with open_models(None) as opened:
        yield opened


def test_it_is_small_enough_to_send():
    bundle = find_bundle(None)
    assert sum(path.stat().st_size for path in bundle.path.iterdir()) <= 30e6


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_both_engines_pass_its_golden_set(engine):
    """Opening holds every network against the golden set."""
    with open_models(None, engine, "fp32") as models:
        assert models.description.startswith(models.bundle.label)


class TestDetector:
    """What the daemon reports of real fields, at its own thresholds and arithmetic."""

    @pytest.fixture(scope="class")
    def reported(self, models: Models, leuko_data):
        sets = {}
        for field_set in read_field_sets(leuko_data, "val"):
            found: list[Detections] = [
                models.detect(read_picture(r.image)) for r in field_set.records
            ]
            sets[field_set.name] = (found, [(r.boxes, r.kinds) for r in field_set.records])
        return sets

    @pytest.mark.parametrize("name", ["bccd/val", "txl-pbc/val"])
    def test_mean_average_precision(self, reported, name):
        assert mean_average_precision(match(*reported[name])) >= 0.85

    @pytest.mark.parametrize("name", ["bccd/val", "txl-pbc/val"])
    def test_recall_of_white_cells(self, reported, name):
        recall = match(*reported[name])["wbc"].recall(0.0)
        assert recall is not None
        assert recall >= 0.97

    def test_no_frame_is_saturated(self, reported):
        assert not any(item.saturated for found, _ in reported.values() for item in found)


def test_classifier_on_black_is_as_good_as_its_manifest_says(models, leuko_data):
    """The daemon's own reading of the pictures gives the figure the trainer measured."""
    folder = leuko_data / "cnmc2019"
    cells = of_split(read_manifest(folder), "val")
    role = models.classifier_role
    crops = np.stack([single_cell_crop(read_picture(folder / c.file), role, None) for c in cells])
    measured = auroc(
        np.array([cell.label == "blast" for cell in cells]), models.classify(crops).p_blast
    )
    assert measured == pytest.approx(
        models.bundle.manifest.metrics["classifier.on_black.auroc"], abs=0.01
    )
    assert measured > models.bundle.manifest.metrics["classifier.cell_area_baseline.auroc"]
