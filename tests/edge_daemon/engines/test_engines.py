"""What every engine must do: the contract test that each implementation runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.golden import TOLERANCES
from edge_daemon.engines.golden import check_golden
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.select import open_engine, usable_engines
from edge_daemon.errors import BundleError, EngineError
from tests.edge_daemon.tiny_bundle import CROP, SIDE

CPU_ENGINES = ("openvino", "onnxruntime")
ENGINES = (*CPU_ENGINES, "tensorrt")
"""TensorRT on stand-ins for its library and for CUDA."""


def test_without_a_gpu_both_cpu_engines_may_be_chosen_and_openvino_is_preferred(monkeypatch):
    monkeypatch.setattr("edge_daemon.engines.select.why_no_gpu", lambda: "there is none")
    assert usable_engines() == CPU_ENGINES


def test_with_a_gpu_tensorrt_is_preferred(gpu_machine, tiny_bundle):
    assert usable_engines() == ("tensorrt", *CPU_ENGINES)
    engine = open_engine(load_bundle(tiny_bundle), "classifier")
    assert engine.name == "tensorrt:Stand-in Orin"
    engine.close()


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "tensorrt":
        request.getfixturevalue("gpu_machine")
    return request.param


@pytest.fixture
def classifier(name: str, tiny_bundle: Path):
    engine = open_engine(load_bundle(tiny_bundle), "classifier", EngineOptions(name, "fp32", 1))
    yield engine
    engine.close()


class TestEngineContract:
    def test_says_what_it_is(self, classifier, name):
        assert classifier.name.startswith(name)
        assert classifier.precision == "fp32"

    def test_declares_its_tensors(self, classifier):
        (given,), (out,) = classifier.inputs, classifier.outputs
        assert (given.name, given.dtype, given.shape) == (
            "crops",
            np.dtype(np.uint8),
            (None, CROP, CROP, 3),
        )
        assert (out.name, out.shape) == ("logits", (None, 2))

    @pytest.mark.parametrize("batch", [1, 3, 32, 131])
    def test_runs_batches_of_any_size(self, classifier, batch):
        blue = np.zeros((batch, CROP, CROP, 3), np.uint8)
        blue[..., 2] = 255
        logits = classifier.run({"crops": blue})["logits"]
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, np.tile([0.0, 23.5], (batch, 1)), atol=1e-4)

    def test_outputs_are_the_callers_to_keep(self, classifier):
        crops = np.zeros((1, CROP, CROP, 3), np.uint8)
        first = classifier.run({"crops": crops})["logits"].copy()
        kept = classifier.run({"crops": crops})["logits"]
        classifier.run({"crops": crops + 255})
        np.testing.assert_array_equal(kept, first)

    def test_takes_arrays_that_are_not_contiguous(self, classifier):
        wide = np.random.default_rng(0).integers(0, 255, (2, CROP, 2 * CROP, 3), dtype=np.uint8)
        strided = wide[:, :, ::2]
        np.testing.assert_allclose(
            classifier.run({"crops": strided})["logits"],
            classifier.run({"crops": np.ascontiguousarray(strided)})["logits"],
        )

    @pytest.mark.parametrize(
        ("inputs", "told"),
        [
            ({}, "input crops: uint8 .* is missing"),
            ({"crops": np.zeros((1, CROP, CROP, 3), np.float32)}, "was given float32"),
            ({"crops": np.zeros((1, CROP, CROP), np.uint8)}, r"was given uint8 \[1, 32, 32\]"),
            ({"crops": np.zeros((1, CROP, CROP + 1, 3), np.uint8)}, "was given"),
            ({"picture": np.zeros((1, CROP, CROP, 3), np.uint8)}, "'picture' is not one of"),
        ],
    )
    def test_refuses_other_inputs_by_name(self, classifier, inputs, told):
        with pytest.raises(EngineError, match=told):
            classifier.run(inputs)

    def test_refuses_to_run_after_close(self, classifier):
        classifier.close()
        with pytest.raises(EngineError, match="closed"):
            classifier.run({"crops": np.zeros((1, CROP, CROP, 3), np.uint8)})

    def test_a_file_that_is_no_network_is_one_line(self, name, tiny_bundle):
        bundle = load_bundle(tiny_bundle)
        (tiny_bundle / "detector.fp32.onnx").write_bytes(b"no network")
        with pytest.raises(EngineError, match=r"cannot (load|read) .*detector.fp32.onnx") as told:
            open_engine(bundle, "detector", EngineOptions(name))
        assert "\n" not in str(told.value)

    def test_a_file_that_is_gone_is_one_line(self, name, tiny_bundle):
        bundle = load_bundle(tiny_bundle)
        (tiny_bundle / "detector.fp32.onnx").unlink()
        with pytest.raises(EngineError, match="is missing; copy the bundle again"):
            open_engine(bundle, "detector", EngineOptions(name))

    @pytest.mark.parametrize("role", ["detector", "classifier"])
    def test_passes_its_golden_set(self, name, tiny_bundle, role):
        bundle = load_bundle(tiny_bundle)
        engine = open_engine(bundle, role, EngineOptions(name, "fp32"))
        result = check_golden(engine, bundle, role)
        engine.close()
        assert result.passed
        assert result.tolerance == TOLERANCES["fp32"]


def test_the_golden_set_fails_an_engine_that_says_something_else(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    with np.load(tiny_bundle / "golden.npz") as arrays:
        golden = dict(arrays)
    golden["classifier/logits"] = golden["classifier/logits"] + 0.5
    np.savez(tiny_bundle / "golden.npz", **golden)
    engine = open_engine(bundle, "classifier", EngineOptions("onnxruntime", "fp32"))
    assert not check_golden(engine, bundle, "classifier").passed


def test_a_golden_output_that_is_not_a_number_is_no_pass(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    with np.load(tiny_bundle / "golden.npz") as arrays:
        golden = dict(arrays)
    golden["classifier/logits"] = np.full_like(golden["classifier/logits"], np.nan)
    np.savez(tiny_bundle / "golden.npz", **golden)
    engine = open_engine(bundle, "classifier", EngineOptions("onnxruntime", "fp32"))
    assert not check_golden(engine, bundle, "classifier").passed


def test_engines_agree_on_the_detector(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    frame = np.random.default_rng(1).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)
    first, second = (
        open_engine(bundle, "detector", EngineOptions(name, "fp32")).run({"image": frame})
        for name in CPU_ENGINES
    )
    assert first.keys() == second.keys()
    for output in first:
        np.testing.assert_allclose(first[output], second[output], atol=2e-3)


def test_a_precision_the_bundle_lacks_is_refused_with_those_it_has(tiny_bundle):
    with pytest.raises(BundleError, match="has no int8 detector; it has fp32"):
        open_engine(load_bundle(tiny_bundle), "detector", EngineOptions(precision="int8"))


def test_a_role_the_bundle_lacks_is_refused(tiny_bundle):
    with pytest.raises(BundleError, match="has no role 'second_opinion'"):
        open_engine(load_bundle(tiny_bundle), "second_opinion")


SIGNALLED_AFTER_ENGINES_CAME_AND_WENT = """
import signal, sys
from pathlib import Path
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.select import open_engine

signal.signal(signal.SIGTERM, lambda *_: print("stopping"))
bundle = load_bundle(Path(sys.argv[1]))
older = open_engine(bundle, "detector", EngineOptions("openvino", "fp32"))
younger = open_engine(bundle, "classifier", EngineOptions("openvino", "fp32"))
older.close()
del older
younger.close()
del younger
signal.raise_signal(signal.SIGTERM)
"""


def test_a_signal_finds_its_handler_after_engines_came_and_went(tiny_bundle):
    """On processors with AMX, OpenVINO puts a signal stack under the process and takes it away."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED_AFTER_ENGINES_CAME_AND_WENT, str(tiny_bundle)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "stopping\n"), done.stderr
