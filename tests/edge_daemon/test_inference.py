"""Each precision is read by its own calibration, where the bundle has one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.contract.bundle import MANIFEST, load_bundle
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.options import EngineOptions
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
