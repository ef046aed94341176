"""The golden set: rendered, small, the same bytes every time, and it notices other weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.roles import ClassifierRole, DetectorRole
from edge_daemon.errors import BundleError
from exporter.bundle.golden import MAX_BYTES, compare_golden, write_golden
from exporter.errors import ExportError
from exporter.graphs.rendered import rendered_inputs
from tests.exporter.small_models import CLASSIFIER, DETECTOR

FULL_SIZE_DETECTOR = DetectorRole(
    input_height=480, input_width=640, score_thresholds=DETECTOR.score_thresholds
)
FULL_SIZE_CLASSIFIER = ClassifierRole(
    size=160, crop_um=19.8, abstain_band=(0.3, 0.7), single_cell_um_per_px=0.044
)


def test_it_holds_inputs_and_outputs_of_every_role(small_bundle: Path) -> None:
    with np.load(small_bundle / "golden.npz") as golden:
        shapes = {name: golden[name].shape for name in golden.files}
        assert golden["classifier/input"].dtype == np.uint8
    assert shapes["detector/input"] == (1, 96, 128, 3)
    assert shapes["detector/scores_8"] == (1, 3, 12, 16)
    assert shapes["detector/boxes_32"] == (1, 4, 3, 4)
    assert shapes["classifier/input"][1:] == (64, 64, 3)
    assert shapes["classifier/logits"] == (shapes["classifier/input"][0], 2)


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    entries = {"classifier/input": np.arange(12, dtype=np.uint8)}
    write_golden(tmp_path / "a.npz", entries)
    write_golden(tmp_path / "b.npz", dict(reversed(entries.items())))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_set_that_weighs_too_much_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, MAX_BYTES + 1, dtype=np.uint8)
    with pytest.raises(ExportError, match="bytes"):
        write_golden(tmp_path / "golden.npz", {"classifier/input": noise})
    assert not (tmp_path / "golden.npz").exists()


@pytest.mark.parametrize("spec", [FULL_SIZE_DETECTOR, FULL_SIZE_CLASSIFIER])
def test_the_inputs_are_drawn_alike_every_time(spec: DetectorRole | ClassifierRole) -> None:
    once, again = (rendered_inputs(spec, 2, seed=3) for _ in range(2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, rendered_inputs(spec, 2, seed=4))


def test_crops_show_cells_on_a_smear_and_on_black() -> None:
    pictures = rendered_inputs(CLASSIFIER, 8, seed=0)
    corners = pictures[:, :2, :2].reshape(8, -1).max(axis=1)
    assert (corners[:4] > 0).all()
    assert (corners[4:] == 0).all()
    middle = pictures[:, 28:36, 28:36].astype(float).mean(axis=(1, 2))
    assert (middle[:, 2] > middle[:, 1]).all()  # every cell's middle is blue to purple


def test_a_model_answers_its_own_set(small_bundle: Path) -> None:
    bundle = load_bundle(small_bundle)
    for role in ("detector", "classifier"):
        difference = compare_golden(bundle.golden, role, bundle.model(role, "fp32"))
        assert difference.max_abs < 1e-5


def test_other_weights_are_noticed(small_bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(small_bundle / "classifier.fp32.onnx")
    bias = next(i for i in model.graph.initializer if i.name.endswith("fc.bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(np.float32([1.0, -1.0]), bias.name))
    onnx.save(model, tmp_path / "other.onnx")
    difference = compare_golden(small_bundle / "golden.npz", "classifier", tmp_path / "other.onnx")
    assert difference.share > 0.1


def test_a_truncated_set_is_one_line(small_bundle: Path, tmp_path: Path) -> None:
    golden = tmp_path / "golden.npz"
    shutil.copy(small_bundle / "golden.npz", golden)
    golden.write_bytes(golden.read_bytes()[:500])
    with pytest.raises(BundleError, match=r"cannot read .*copy the bundle again"):
        compare_golden(golden, "classifier", small_bundle / "classifier.fp32.onnx")


def test_a_role_without_answers_is_named(small_bundle: Path) -> None:
    with pytest.raises(BundleError, match="no golden set for second_opinion"):
        compare_golden(
            small_bundle / "golden.npz", "second_opinion", small_bundle / "classifier.fp32.onnx"
        )
