"""What OpenVINO compiled is found at the next start; nothing hangs on it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_daemon.contract.bundle import Bundle, load_bundle
from edge_daemon.engines.base import Outputs
from edge_daemon.engines.openvino import OpenVinoEngine
from edge_daemon.engines.openvino_cache import compiled_folder, prune_compiled
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.select import open_engine
from tests.edge_daemon.tiny_bundle import CROP

CROPS = np.random.default_rng(3).integers(0, 256, (3, CROP, CROP, 3), dtype=np.uint8)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return load_bundle(tiny_bundle)


def said(bundle: Bundle, engines: Path) -> Outputs:
    engine = open_engine(
        bundle, "classifier", EngineOptions("openvino", "fp32", 1, engine_cache=engines)
    )
    answers = engine.run({"crops": CROPS})
    engine.close()
    return answers


def kept(engines: Path) -> list[Path]:
    return sorted(engines.glob("openvino/*/*.blob"))


def test_a_network_is_compiled_once(bundle: Bundle, tmp_path: Path) -> None:
    first = said(bundle, tmp_path)
    (blob,) = kept(tmp_path)
    written = blob.stat().st_mtime_ns
    np.testing.assert_array_equal(said(bundle, tmp_path)["logits"], first["logits"])
    assert [file.stat().st_mtime_ns for file in kept(tmp_path)] == [written]


@pytest.mark.parametrize("damage", [b"", b"junk" * 1000, None], ids=["empty", "junk", "half"])
def test_what_rots_is_compiled_again(bundle: Bundle, tmp_path: Path, damage: bytes | None) -> None:
    first = said(bundle, tmp_path)
    (blob,) = kept(tmp_path)
    whole = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    np.testing.assert_array_equal(said(bundle, tmp_path)["logits"], first["logits"])


def test_another_graph_under_the_same_name_is_another_network(
    bundle: Bundle, tmp_path: Path
) -> None:
    one = compiled_folder(tmp_path, "a" * 64, "auto")
    assert one is not None
    assert one != compiled_folder(tmp_path, "b" * 64, "auto")
    assert one != compiled_folder(tmp_path, "a" * 64, "f32")


def test_where_nothing_can_be_kept_it_is_compiled_at_every_start(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "engines"
    place.write_text("a file")
    with caplog.at_level(logging.WARNING):
        assert said(bundle, place)["logits"].shape == (3, 2)
    assert "compiled networks cannot be kept in" in caplog.text
    assert "engine_cache" in caplog.text


def test_what_no_bundle_needs_is_pruned(bundle: Bundle, tmp_path: Path) -> None:
    said(bundle, tmp_path)
    (blob,) = kept(tmp_path)
    old = compiled_folder(tmp_path, "a" * 64, "auto")
    assert old is not None
    graphs = {entry.sha256 for entry in bundle.manifest.files.values()}
    assert prune_compiled(tmp_path, graphs) == [old]
    assert kept(tmp_path) == [blob]
    assert not old.exists()
    assert prune_compiled(tmp_path / "none", graphs) == []


def test_the_folder_is_the_users_own(bundle: Bundle, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEUKO_ENGINE_CACHE", os.fspath(tmp_path / "mine"))
    open_engine(bundle, "classifier", EngineOptions("openvino")).close()
    assert kept(tmp_path / "mine")


@pytest.mark.parametrize("compiled", ["anew", "before"])
def test_an_answer_that_is_cast_on_its_way_out_keeps_its_name(
    tmp_path: Path, compiled: str
) -> None:
    """As float16 and INT8 graphs have it: OpenVINO then knows the answer by two names."""
    file, keep_in = tmp_path / "cast.onnx", tmp_path / "kept"
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4])
    nodes = [
        helper.make_node("Cast", ["image"], ["halved"], to=TensorProto.FLOAT16),
        helper.make_node("Relu", ["halved"], ["a_name_that_comes_first"]),
        helper.make_node("Cast", ["a_name_that_comes_first"], ["scores"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(nodes, "cast", [image], [scores])
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), file)
    keep_in.mkdir()
    for _ in range(2 if compiled == "before" else 1):
        engine = OpenVinoEngine(file, "fp16", 1, exact_fp32=True, keep_in=keep_in)
        (answer,) = engine.run({"image": np.ones((1, 4), np.float32)})
        engine.close()
        assert answer == "scores"
