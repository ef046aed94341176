"""The bundle in this repository does on real data what its manifest and docs/results.md say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.commands.classify import single_cell_crop
from edge_daemon.commands.models import find_bundle, open_models
from edge_daemon.engines.options import EngineOptions
from edge_daemon.inference import Models
from edge_daemon.sources.reading import read_picture
from edge_daemon.vision.detect import Detections
from trainer.classifier.neither import crops_of_neither
from trainer.data.cell_import import import_cells
from trainer.data.cnmc import of_split, read_manifest
from trainer.data.device_crops import crops_of_blood
from trainer.data.fields import read_field_sets
from trainer.data.published_cells import compact_cells
from trainer.data.reading import read_strictly
from trainer.data.smear_fields import real_fields
from trainer.detector.metrics import match, mean_average_precision
from trainer.models.classifier import ClassifierGeometry
from trainer.statistics.ranking import auroc


@pytest.fixture(scope="module")
def models():
    with open_models(None) as opened:
        yield opened


def test_it_is_small_enough_to_send():
    """float16 and INT8 of both networks with all that goes with them; float32 is beside them."""
    bundle = find_bundle(None)
    sizes = {path.name: path.stat().st_size for path in bundle.path.iterdir()}
    float32 = {bundle.model(role, "fp32").name for role in bundle.roles}
    assert sum(size for name, size in sizes.items() if name not in float32) <= 30e6


@pytest.mark.parametrize("precision", ["fp32", "auto"])
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_every_network_passes_its_golden_set(engine, precision):
    """Opening holds every network against the golden set."""
    with open_models(None, EngineOptions(engine, precision)) as models:
        assert models.description.startswith(models.bundle.label)


def test_what_the_gate_let_through(models):
    roles = models.bundle.manifest.roles
    assert set(roles.detector.models) == {"fp32", "fp16", "int8"}
    assert set(roles.classifier.models) == {"fp32", "fp16", "int8"}
    assert set(roles.classifier.calibrations) == {"int8"}


@pytest.fixture(scope="module")
def reported(models: Models, leuko_data: Path):
    """Of each validation set what the daemon reports, and what is marked."""
    sets = {}
    for field_set in read_field_sets(leuko_data, "val"):
        found: list[Detections] = [
            models.detect(models.scaled(read_picture(r.image))) for r in field_set.records
        ]
        sets[field_set.name] = (found, [(r.boxes, r.kinds) for r in field_set.records])
    return sets


@pytest.fixture(scope="module")
def cells(leuko_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """C-NMC as the training had it: patients that share a cell are one group."""
    folder = tmp_path_factory.mktemp("import") / "cnmc2019"
    import_cells(read_strictly(compact_cells(leuko_data / "cnmc2019")), folder, name="cnmc2019")
    return folder


class TestDetector:
    """What the daemon reports of real fields, at its own thresholds and arithmetic."""

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


class TestClassifier:
    """What the daemon says of cells of patients that no training saw."""

    def test_no_patient_is_on_both_sides(self, models: Models, cells: Path) -> None:
        groups = sorted({cell.group for cell in of_split(read_manifest(cells), "train")})
        digest = hashlib.sha256("\n".join(groups).encode()).hexdigest()
        assert digest == models.bundle.manifest.provenance.train_groups_sha256

    def test_on_black_it_is_as_good_as_its_manifest_says(self, models: Models, cells: Path) -> None:
        """The daemon's own reading of the pictures gives the figure the trainer measured."""
        held_out = of_split(read_manifest(cells), "val")
        role = models.classifier_role
        crops = [single_cell_crop(read_picture(cells / c.file), role, None) for c in held_out]
        is_blast = np.array([cell.label == "blast" for cell in held_out])
        measured = auroc(is_blast, models.classify(np.stack(crops)).p_blast)
        figures = models.bundle.manifest.metrics
        assert measured == pytest.approx(figures["classifier.on_black.auroc"], abs=0.01)
        assert measured > figures["classifier.cell_area_baseline.auroc"]

    def test_what_is_no_cell_is_called_neither_blast_nor_mostly_normal(
        self, models: Models, leuko_data: Path
    ) -> None:
        """Red cells, platelets and places without a white cell, of frames no training saw."""
        role = models.classifier_role
        sets = read_field_sets(leuko_data, "val")
        fields = real_fields(sets)
        geometry = ClassifierGeometry(role.size, role.crop_um)
        no_cells = np.empty((0, role.size, role.size, 3), np.uint8)
        for what, crops in crops_of_neither(sets, fields, no_cells, geometry).items():
            if len(crops):
                labels = models.classify(crops).labels
                assert "blast" not in labels, what
                assert labels.count("uncertain") >= 0.8 * len(labels), what

    def test_white_cells_of_normal_blood_are_mostly_decided_and_hardly_ever_blasts(
        self, models: Models, leuko_data: Path
    ) -> None:
        role = models.classifier_role
        fields = real_fields(read_field_sets(leuko_data, "val"))
        crops = crops_of_blood(fields, crop_um=role.crop_um, size=role.size)
        labels = models.classify(crops).labels
        assert labels.count("blast") <= 0.02 * len(labels)
        assert labels.count("normal") >= 0.9 * len(labels)
