"""Each precision is proven before it is used, and read by its own calibration."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_daemon.contract.bundle import MANIFEST, file_entry, load_bundle
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import GoldenSetError
from edge_daemon.inference import Models
from tests.edge_daemon.tiny_bundle import CROP

BLUE_ENOUGH = np.full((1, CROP, CROP, 3), (90, 90, 125), np.uint8)


@pytest.fixture
def with_another_int8(tiny_bundle: Path) -> Path:
    """The tiny bundle, whose classifier is there a second time as INT8, never quite sure."""
    content = json.loads((tiny_bundle / MANIFEST).read_text())
    classifier = content["roles"]["classifier"]
    classifier["models"]["int8"] = classifier["models"]["fp32"]
    band = {"temperature": 50.0, "blast_threshold": 0.5, "abstain_band": [0.01, 0.99]}
    classifier["calibrations"] = {"int8": band}
    (tiny_bundle / MANIFEST).write_text(json.dumps(content))
    return tiny_bundle


@pytest.mark.parametrize(("precision", "label"), [("fp32", "blast"), ("int8", "uncertain")])
def test_answers_are_read_by_the_calibration_of_their_precision(
    with_another_int8: Path, precision: Precision, label: str
) -> None:
    options = EngineOptions("onnxruntime", precision)
    with Models.open(load_bundle(with_another_int8), options, ("classifier",)) as models:
        said = models.classify(BLUE_ENOUGH)
    assert said.labels == (label,)
    assert (said.p_blast > 0.7).all() == (precision == "fp32")


def test_geometry_is_the_roles_own_in_every_precision(with_another_int8: Path) -> None:
    models = load_bundle(with_another_int8).manifest.roles.classifier
    for precision in models.models:
        role = models.read_in(precision)
        assert (role.size, role.crop_um) == (models.spec.size, models.spec.crop_um)


@pytest.fixture
def with_wrong_int8(tiny_bundle: Path) -> Path:
    """The tiny bundle with a classifier in INT8 that answers otherwise than its golden set says."""
    model = onnx.load(tiny_bundle / "classifier.fp32.onnx")
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype == np.float32:
            constant.CopyFrom(numpy_helper.from_array(values * np.float32(3), constant.name))
    onnx.save(model, tiny_bundle / "classifier.int8.onnx")
    content = json.loads((tiny_bundle / MANIFEST).read_text())
    content["roles"]["classifier"]["models"]["int8"] = "classifier.int8.onnx"
    entry = file_entry(tiny_bundle / "classifier.int8.onnx").model_dump()
    content["files"]["classifier.int8.onnx"] = entry
    (tiny_bundle / MANIFEST).write_text(json.dumps(content))
    return tiny_bundle


def test_where_nobody_chose_a_wrong_precision_gives_way_and_the_log_says_so(
    with_wrong_int8: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Models.open(load_bundle(with_wrong_int8), EngineOptions("openvino")) as models:
        assert models.engines[1].precision == "fp32"
        assert models.classify(BLUE_ENOUGH).labels == ("blast",)
    (line,) = [record.message for record in caplog.records]
    assert "classifier of tiny-0.1.0 in int8 fails its golden set" in line
    assert line.endswith("fp32 is taken in its place")


def test_what_was_refused_is_not_loaded_at_the_next_start_until_something_changes(
    with_wrong_int8: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = EngineOptions("openvino", engine_cache=tmp_path / "engines")
    for _ in range(2):
        with Models.open(load_bundle(with_wrong_int8), options, ("classifier",)) as models:
            assert models.engines[1].precision == "fp32"
    first, second = [record.message for record in caplog.records]
    assert first == second, "it is told at every start"
    (note,) = (tmp_path / "engines" / "refused").iterdir()
    assert note.read_text().strip() in first
    note.unlink()
    with Models.open(load_bundle(with_wrong_int8), options, ("classifier",)):
        assert note.exists(), "it was tried again"


def test_a_wrong_precision_that_was_asked_for_is_refused(with_wrong_int8: Path) -> None:
    options = EngineOptions("openvino", "int8")
    with pytest.raises(GoldenSetError, match=r"in int8 fails .*; use another --engine or --pre"):
        Models.open(load_bundle(with_wrong_int8), options, ("classifier",))
