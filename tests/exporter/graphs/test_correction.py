"""What fewer bits do to all answers alike is taken out, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from exporter.errors import ExportError
from exporter.graphs.correction import mean_answer, moved
from exporter.graphs.from_torch import export_graph
from exporter.graphs.reference import ReferenceSession
from exporter.graphs.rendered import proofs_for, rendered_inputs
from exporter.graphs.rewriting import answering_nodes, write_graph
from exporter.graphs.signature import check_signature
from tests.exporter.small_models import CLASSIFIER, SmallClassifier

OFFSET = np.array([0.5, -0.25])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    file = tmp_path_factory.mktemp("correction") / "classifier.fp32.onnx"
    export_graph(SmallClassifier(), CLASSIFIER, file, proofs=proofs_for(CLASSIFIER))
    return file


@pytest.fixture(scope="module")
def elsewhere(source: Path) -> Path:
    file = source.with_name("moved.onnx")
    write_graph(moved(onnx.load(source), "logits", OFFSET), file)
    return file


def test_every_answer_is_moved_by_the_same(source: Path, elsewhere: Path) -> None:
    crops = rendered_inputs(CLASSIFIER, 12, 3)
    before, after = (ReferenceSession(file).run(crops)["logits"] for file in (source, elsewhere))
    np.testing.assert_allclose(after - before, np.tile(OFFSET, (12, 1)), atol=1e-6)


def test_moved_back_by_what_the_pictures_say_it_answers_as_before(
    source: Path, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    biased = SmallClassifier()
    with torch.no_grad():
        biased.fc.bias += torch.from_numpy(OFFSET).float()
    file, back = tmp_path / "biased.onnx", tmp_path / "back.onnx"
    export_graph(biased, CLASSIFIER, file, proofs=proofs_for(CLASSIFIER))
    pictures = [rendered_inputs(CLASSIFIER, 12, 3), rendered_inputs(CLASSIFIER, 5, 4)]
    said, wanted = (
        mean_answer(ReferenceSession(graph), pictures, "logits") for graph in (file, source)
    )
    np.testing.assert_allclose(said - wanted, OFFSET, atol=1e-5)
    write_graph(moved(onnx.load(file), "logits", wanted - said), back)
    others = rendered_inputs(CLASSIFIER, 7, 9)
    np.testing.assert_allclose(
        ReferenceSession(back).run(others)["logits"],
        ReferenceSession(source).run(others)["logits"],
        atol=1e-5,
    )


def test_it_is_a_graph_of_the_contract_and_is_read_as_an_answer(elsewhere: Path) -> None:
    model = onnx.load(elsewhere)
    check_signature(model, CLASSIFIER, "it")
    assert "node_logits_correction" in answering_nodes(model.graph)


def test_without_pictures_there_is_nothing_to_hold_it_to(source: Path) -> None:
    with pytest.raises(ExportError, match="no pictures"):
        mean_answer(ReferenceSession(source), [], "logits")
