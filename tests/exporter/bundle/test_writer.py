"""The writer: the same bytes from the same runs, whole or not at all, nothing overwritten."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.contract.bundle import RoleName, load_bundle
from edge_daemon.engines.golden import check_golden
from edge_daemon.engines.names import EngineChoice
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.select import open_engine
from edge_daemon.errors import BundleError
from exporter.bundle.writer import verify_bundle, write_bundle
from exporter.errors import ExportError
from tests.exporter.small_models import DATA, small_draft
from trainer.data.data_manifest import DataManifest


def test_the_daemon_loads_what_is_written(small_bundle: Path) -> None:
    bundle = load_bundle(small_bundle)
    assert small_bundle.name == bundle.label == "small-1.2.3"
    assert set(bundle.manifest.files) == {
        "classifier.fp32.onnx",
        "detector.fp32.onnx",
        "data.json",
        "golden.npz",
        "MODEL_CARD.md",
    }
    assert bundle.manifest.metrics == {
        "classifier.on_black.auroc": 0.912346,
        "detector.bccd.map50": 0.87,
    }


def test_every_model_is_proven(small_bundle: Path) -> None:
    proofs = verify_bundle(small_bundle)
    assert [(proof.role, proof.precision) for proof in proofs] == [
        ("detector", "fp32"),
        ("classifier", "fp32"),
    ]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("role", ["detector", "classifier"])
def test_the_daemons_engines_pass_the_golden_set(
    small_bundle: Path, role: RoleName, engine: EngineChoice
) -> None:
    bundle = load_bundle(small_bundle)
    opened = open_engine(bundle, role, EngineOptions(engine, "fp32", 1))
    result = check_golden(opened, bundle, role)
    opened.close()
    assert result.passed


@pytest.fixture(scope="module")
def replaced(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same draft, written with ``force`` over a bundle that was tampered with."""
    out = tmp_path_factory.mktemp("replaced")
    old = Path(shutil.copytree(small_bundle, out / small_bundle.name))
    (old / "stray.txt").write_text("old")
    (old / "detector.fp32.onnx").write_bytes(b"old")
    return write_bundle(small_draft(), out, force=True).path


def test_the_same_runs_give_the_same_bytes(small_bundle: Path, replaced: Path) -> None:
    for file in small_bundle.iterdir():
        assert (replaced / file.name).read_bytes() == file.read_bytes(), file.name


def test_force_replaces_and_leaves_nothing_behind(replaced: Path) -> None:
    assert not (replaced / "stray.txt").exists()
    assert [path.name for path in replaced.parent.iterdir()] == ["small-1.2.3"]


def test_a_published_version_is_not_overwritten(small_bundle: Path) -> None:
    before = (small_bundle / "bundle.json").read_bytes()
    with pytest.raises(ExportError, match=r"exists.*--force"):
        write_bundle(small_draft(), small_bundle.parent)
    assert (small_bundle / "bundle.json").read_bytes() == before


def test_a_failure_leaves_the_bundle_that_was_there(small_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(small_bundle, tmp_path / small_bundle.name)
    draft = small_draft()
    detector, classifier = draft.roles
    swapped = replace(draft, roles=(replace(detector, graph=classifier.graph), classifier))
    with pytest.raises(ExportError, match=r"contract|cannot export"):
        write_bundle(swapped, tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["small-1.2.3"]
    verify_bundle(tmp_path / "small-1.2.3")


def test_a_bundle_that_weighs_too_much_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"small-1\.2\.3 has 0\.\d MB beside float32.*raise --max-mb"
    ):
        write_bundle(small_draft(), tmp_path, max_bytes=1000)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_version_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"small-1\.2 is no bundle: version"):
        write_bundle(small_draft(version="1.2"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_needs_both_roles(tmp_path: Path) -> None:
    draft = small_draft()
    with pytest.raises(ExportError, match=r"roles\.classifier: Field required"):
        write_bundle(replace(draft, roles=draft.roles[:1]), tmp_path)


def test_an_altered_model_is_refused(small_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small_bundle, tmp_path / "copy")
    model = copy / "classifier.fp32.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(BundleError, match=r"classifier\.fp32\.onnx"):
        verify_bundle(copy)


def test_it_carries_what_the_networks_were_trained_on(small_bundle: Path) -> None:
    assert DataManifest.read(small_bundle / "data.json") == DATA
    assert "data.json" in load_bundle(small_bundle).manifest.files
    assert "| bccd/val | 3 pictures, 4 wbc |" in (small_bundle / "MODEL_CARD.md").read_text()


def test_the_card_says_what_a_reader_must_know(small_bundle: Path) -> None:
    card = (small_bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    for said in (
        "Research use only",
        "not a medical device",
        "10.7937/tcia.2019.dc64i46r",
        "CC BY 3.0",
        "patient group",
        "`classifier.on_black.auroc` | 0.9123",
        "ab" * 32,
        "nobody's pictures",
    ):
        assert said in card
