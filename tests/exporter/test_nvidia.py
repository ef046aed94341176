"""NVIDIA's own parser and builder take every graph we export, in every precision, without a GPU.

TensorRT for RTX builds ahead of time for a GPU that is not here. Its engines are not run: that
they compute the right thing is for the golden set on the device.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.roles import ClassifierRole, DetectorRole
from edge_daemon.engines.nvidia.build_settings import BuildSettings
from edge_daemon.engines.nvidia.builder import build_engine
from edge_daemon.engines.nvidia.gpu import GpuInfo
from edge_daemon.engines.nvidia.library import NvidiaLibrary, load_library
from edge_daemon.errors import EngineError
from exporter.errors import ExportError
from exporter.graphs.fp16 import halve
from exporter.graphs.from_torch import export_graph
from exporter.graphs.int8 import LEAST_PICTURES, calibrate
from exporter.graphs.rendered import proofs_for, rendered_inputs
from exporter.graphs.rewriting import write_graph
from exporter.graphs.signature import RoleSpec
from exporter.nvidia import build_all, chatter_logged
from tests.soak import SOAKING
from trainer.models.classifier import ARCHITECTURES, CellClassifier, ClassifierGeometry
from trainer.models.classifier import ClassifierGraph as Classifier
from trainer.models.detector import Detector, DetectorGraph

pytest.importorskip(
    "tensorrt_rtx_bindings", reason="NVIDIA publishes TensorRT for RTX for x86-64 Linux only"
)

RTX_3060 = GpuInfo("RTX 3060", (8, 6), 12 << 30)
DETECTOR = DetectorRole(
    input_height=96, input_width=128, score_thresholds={"wbc": 0.5, "rbc": 0.5, "platelet": 0.5}
)
CLASSIFIER = ClassifierRole(
    size=80, crop_um=19.8, abstain_band=(0.3, 0.7), single_cell_um_per_px=0.044, novelty_limit=1.0
)
QUICKLY = BuildSettings(optimization_level=0)


@pytest.fixture(scope="module")
def library() -> NvidiaLibrary:
    return load_library("tensorrt_rtx")


ROLES = ("detector", "edge", *(("hybrid",) if SOAKING else ()))
"""The hybrid's 160 million weights take minutes to export, quantise and build."""


@pytest.fixture(scope="module", params=ROLES)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RoleSpec, Path]:
    """The real architectures with weights of chance, as the exporter writes them."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    spec: RoleSpec = CLASSIFIER
    graph: torch.nn.Module
    if request.param == "detector":
        spec, graph = DETECTOR, DetectorGraph(Detector())
    else:
        network = CellClassifier(
            ARCHITECTURES[request.param], colours=request.param == "edge", members=1, hidden=8
        )
        graph = Classifier(network, ClassifierGeometry(size=80, visible=64))
    file = folder / "fp32.onnx"
    export_graph(graph, spec, file, proofs=proofs_for(spec))
    return spec, file


def pictures(spec: RoleSpec) -> Iterator[NDArray[np.uint8]]:
    one = rendered_inputs(spec, 1, 7)
    yield np.concatenate([one] * LEAST_PICTURES)


@pytest.fixture(scope="module")
def precisions(exported: tuple[RoleSpec, Path]) -> dict[str, Path]:
    spec, source = exported
    keep = isinstance(spec, ClassifierRole)
    files = {"fp32": source, "fp16": source.with_name("fp16.onnx")}
    halve(source, files["fp16"], keep_answers=keep)
    files["int8"] = source.with_name("int8.onnx")
    quantised = source.with_name("quantised.onnx")
    write_graph(calibrate(source, pictures(spec), "minmax", digest="ab" * 32).mixed(()), quantised)
    halve(quantised, files["int8"], keep_answers=keep)
    return files


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_exported_graph_parses_and_builds(
    library: NvidiaLibrary, precisions: dict[str, Path], precision: str
) -> None:
    engine, _ = build_engine(library, precisions[precision], RTX_3060, QUICKLY)
    assert len(engine) > 10_000


def test_a_build_can_be_followed_and_stopped(
    library: NvidiaLibrary, precisions: dict[str, Path]
) -> None:
    seen: list[tuple[str, int, int]] = []

    def watch(phase: str, done: int, steps: int) -> bool:
        seen.append((phase, done, steps))
        return True

    build_engine(library, precisions["fp16"], RTX_3060, QUICKLY, progress=watch)
    assert seen
    assert all(0 <= done <= steps for _, done, steps in seen)
    with pytest.raises(EngineError, match=r"cannot build .*[Cc]ancel"):
        build_engine(library, precisions["fp16"], RTX_3060, QUICKLY, progress=lambda *_: False)


def test_a_gpu_that_the_library_does_not_know_is_told(
    library: NvidiaLibrary, precisions: dict[str, Path]
) -> None:
    orin = GpuInfo("Orin", (8, 7), 8 << 30)
    with pytest.raises(EngineError, match=r"does not know Orin \(SM87\); use --engine tensorrt"):
        build_engine(library, precisions["fp32"], orin, QUICKLY)


def test_a_file_that_is_no_graph_is_one_line(library: NvidiaLibrary, tmp_path: Path) -> None:
    file = tmp_path / "none.onnx"
    file.write_bytes(b"no graph")
    with pytest.raises(EngineError, match="cannot read") as told:
        build_engine(library, file, RTX_3060, QUICKLY)
    assert "\n" not in str(told.value)


def test_every_graph_of_a_bundle_is_built_and_kept_where_asked(
    small_bundle: Path, tmp_path: Path
) -> None:
    built = list(build_all(load_bundle(small_bundle), "8.6", tmp_path / "engines"))
    assert [(one.role, one.precision) for one in built] == [
        ("detector", "fp32"),
        ("classifier", "fp32"),
    ]
    for one in built:
        file = tmp_path / "engines" / f"{one.role}.{one.precision}.engine"
        assert file.stat().st_size == one.size_bytes
    assert "built by TensorRT for RTX" in str(built[0])


def test_what_the_builder_remarks_goes_into_the_log(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "exporter.nvidia")
    with chatter_logged():
        os.write(1, b"WARNING: in op node_clamp_1_min\n")
        os.write(2, b"(foreignNode) Converting conv weight scales to fp32.\n")
    print("detector int8: built")
    assert capfd.readouterr() == ("detector int8: built\n", "")
    assert [one.getMessage()[:12] for one in caplog.records] == ["WARNING: in ", "(foreignNode"]


def test_a_folder_that_cannot_be_written_is_told(small_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"cannot write .*; name another --out"):
        next(build_all(load_bundle(small_bundle), "8.6", tmp_path / "file"))
