"""A graph is written only when it computes what PyTorch does and is what the contract says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from exporter.errors import ExportError
from exporter.graphs.from_torch import OPSET, PARITY_TOLERANCE, export_graph, measure_parity
from exporter.graphs.reference import ReferenceSession
from exporter.graphs.rendered import proofs_for
from exporter.graphs.signature import check_signature, signature_of
from tests.exporter.small_models import CLASSIFIER, DETECTOR, SmallClassifier, SmallDetector


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    file = tmp_path_factory.mktemp("graph") / "classifier.fp32.onnx"
    parity = export_graph(
        SmallClassifier(), CLASSIFIER, file, proofs=proofs_for(CLASSIFIER), metadata={"a": "b"}
    )
    assert parity.max_abs <= PARITY_TOLERANCE
    assert parity.pictures > 10
    return file


def test_the_classifier_takes_any_batch(classifier: Path) -> None:
    session = ReferenceSession(classifier)
    for count in (1, 3, 17):
        logits = session.run(np.zeros((count, 64, 64, 3), np.uint8))["logits"]
        assert logits.shape == (count, 2)


def test_the_graph_is_as_the_contract_says(classifier: Path) -> None:
    model = onnx.load(classifier)
    check_signature(model, CLASSIFIER, "the classifier")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert [(prop.key, prop.value) for prop in model.metadata_props] == [("a", "b")]


def test_the_file_does_not_say_where_it_was_made(classifier: Path) -> None:
    content = classifier.read_bytes()
    for trace in (b"site-packages", b".py", str(Path.cwd()).encode(), b"stack_trace"):
        assert trace not in content


def test_a_detector_has_a_static_shape(tmp_path: Path) -> None:
    file = tmp_path / "detector.fp32.onnx"
    export_graph(SmallDetector(), DETECTOR, file, proofs=proofs_for(DETECTOR))
    assert signature_of(DETECTOR).input.shape == (1, 96, 128, 3)
    check_signature(onnx.load(file), DETECTOR, "the detector")


def test_a_file_of_other_weights_is_not_equal(classifier: Path) -> None:
    torch.manual_seed(2)
    parity = measure_parity(SmallClassifier().eval(), classifier, proofs_for(CLASSIFIER))
    assert parity.max_abs > PARITY_TOLERANCE


class _Unequal(SmallClassifier):
    """Computes something else while it is exported: what a bug in an exporter looks like."""

    def forward(self, crops: Tensor) -> Tensor:
        logits = super().forward(crops)
        return logits + 0.001 if torch.compiler.is_exporting() else logits


def test_a_graph_that_differs_from_pytorch_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"differs from PyTorch by 1\.\d+e-03"):
        export_graph(_Unequal(), CLASSIFIER, tmp_path / "x.onnx", proofs=proofs_for(CLASSIFIER))
    assert list(tmp_path.iterdir()) == []


class _CutsFirst(SmallClassifier):
    """Cuts and turns uint8 pixels, which TensorRT refuses."""

    def forward(self, crops: Tensor) -> Tensor:
        return super().forward(crops[:, 2:, 2:, :])


def test_pixels_are_cast_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="its uint8 input crops to Slice; TensorRT can only cast"):
        export_graph(_CutsFirst(), CLASSIFIER, tmp_path / "x.onnx", proofs=proofs_for(CLASSIFIER))


class _ThreeLogits(nn.Module):
    def forward(self, crops: Tensor) -> Tensor:
        return crops.float().mean(dim=(1, 2))


def test_a_graph_against_the_contract_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"logits float32\[N, 3\].*contract wants.*\[N, 2\]"):
        export_graph(_ThreeLogits(), CLASSIFIER, tmp_path / "x.onnx", proofs=proofs_for(CLASSIFIER))
    assert list(tmp_path.iterdir()) == []


def test_without_pictures_nothing_is_proven(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no pictures"):
        export_graph(SmallClassifier(), CLASSIFIER, tmp_path / "x.onnx", proofs=[])
    assert list(tmp_path.iterdir()) == []
