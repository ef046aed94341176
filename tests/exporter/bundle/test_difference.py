"""What is different in another bundle, and nothing else, is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edge_daemon.errors import BundleError
from exporter.bundle.difference import differences
from exporter.bundle.writer import write_bundle
from tests.exporter.small_models import small_draft


def said(before: Path, after: Path) -> dict[str, list[str]]:
    topics: dict[str, list[str]] = {}
    for one in differences(before, after):
        topics.setdefault(one.topic, []).append(str(one))
    return topics


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another classifier with another band and one figure more, beside the same detector."""
    draft = small_draft("1.3.0")
    detector, classifier = draft.roles
    torch.manual_seed(8)
    graph = type(classifier.graph)()
    torch.nn.init.constant_(graph.fc.bias, 3.0)
    with torch.no_grad():
        graph.fc.bias[0] = -3.0
    spec = classifier.spec.model_copy(update={"abstain_band": (0.2, 0.8)})
    metrics = {"on_black.auroc": 0.95, "composited.auroc": 0.9}
    roles = (detector, replace(classifier, graph=graph, spec=spec, metrics=metrics))
    return write_bundle(replace(draft, roles=roles), tmp_path_factory.mktemp("other")).path


def test_a_bundle_is_no_different_from_itself(small_bundle: Path) -> None:
    assert differences(small_bundle, small_bundle) == ()


def test_another_version_of_the_same_graphs_is_no_difference(
    small_bundle: Path, tmp_path: Path
) -> None:
    assert differences(small_bundle, write_bundle(small_draft("9.9.9"), tmp_path).path) == ()


def test_graphs_that_changed_are_named_and_the_others_are_not(
    small_bundle: Path, other: Path
) -> None:
    contents = "\n".join(said(small_bundle, other)["contents"])
    assert "graph of classifier fp32" in contents
    assert "detector" not in contents


def test_calibration_and_figures_are_told_with_both_values(small_bundle: Path, other: Path) -> None:
    topics = said(small_bundle, other)
    assert topics["calibration"] == ["classifier abstain_band: [0.3, 0.7] -> [0.2, 0.8]"]
    assert topics["figures"] == [
        "classifier.composited.auroc: none -> 0.9",
        "classifier.on_black.auroc: 0.9123 -> 0.95",
    ]


def test_cells_that_are_called_something_else_are_counted(small_bundle: Path, other: Path) -> None:
    decisions = said(small_bundle, other)["decisions"]
    assert decisions
    assert all(line.startswith("classifier, ") for line in decisions)
    assert all(line.endswith("-> blast") for line in decisions)


def test_what_is_no_bundle_is_refused(small_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        differences(small_bundle, tmp_path)
