"""Engines on a GPU: found or built, proven, run in parts, and given back, all to the last byte.

On stand-ins for TensorRT and CUDA (beside this file): what is tested is the product's own part in
it, which is order, buffers, threads, files and words.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.contract.bundle import Bundle, load_bundle
from edge_daemon.engines.golden import GoldenResult
from edge_daemon.engines.nvidia import cuda
from edge_daemon.engines.nvidia.build_settings import BatchRange, BuildSettings
from edge_daemon.engines.nvidia.engine_cache import EngineCache
from edge_daemon.engines.nvidia.engine_record import EngineRecord
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.select import open_engine
from edge_daemon.engines.tensorrt import TensorRtEngine
from edge_daemon.errors import EngineError, LostDeviceError
from edge_daemon.inference import Models
from tests.edge_daemon.engines import stand_in_tensorrt
from tests.edge_daemon.engines.stand_in_cuda import StandInDriver
from tests.edge_daemon.engines.stand_in_tensorrt import StandInTensorRt
from tests.edge_daemon.tiny_bundle import CROP, write_tiny_bundle


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return load_bundle(tiny_bundle)


def opened(bundle: Bundle, **options: object) -> TensorRtEngine:
    engine = open_engine(bundle, "classifier", EngineOptions("tensorrt", **options))
    assert isinstance(engine, TensorRtEngine)
    return engine


def grey_crops(count: int) -> np.ndarray:
    """The crop of row i is blue by i grey levels."""
    crops = np.zeros((count, CROP, CROP, 3), np.uint8)
    crops[..., 2] = np.arange(count)[:, None, None] % 256
    return crops


def blue_logits(count: int) -> np.ndarray:
    return np.array([[0.0, 0.1 * (i % 256) - 2.0] for i in range(count)], np.float32).reshape(-1, 2)


class TestRunning:
    @pytest.mark.parametrize("count", [0, 1, 4, 5, 32, 33, 64, 200])
    def test_any_batch_is_cut_into_parts_and_put_together_in_order(
        self, gpu_machine, bundle, count
    ):
        engine = opened(bundle)
        logits = engine.run({"crops": grey_crops(count)})["logits"]
        np.testing.assert_allclose(logits, blue_logits(count), atol=1e-4)

    def test_a_few_crops_use_the_profile_for_few(self, gpu_machine, bundle):
        engine = opened(bundle)
        small, large = engine._profiles
        assert (small.most, large.most) == (4, 32)
        assert [(rows, profile.most) for rows, profile in engine._parts(37)] == [
            (slice(0, 32), 32),
            (slice(32, 37), 32),
        ]
        assert [profile.most for _, profile in engine._parts(3)] == [4]

    def test_the_next_part_is_copied_in_while_the_one_before_is_computed(self, gpu_machine, bundle):
        engine = opened(bundle)
        waits = gpu_machine.driver.waits
        engine.run({"crops": grey_crops(32)})
        assert gpu_machine.driver.waits == waits + 1
        stream = next(iter(gpu_machine.driver.streams.values()))
        longest = 0
        real = gpu_machine.driver.launch

        def watched(handle, kernel):
            nonlocal longest
            real(handle, kernel)
            longest = max(longest, len(stream.queue))

        gpu_machine.driver.launch = watched
        engine.run({"crops": grey_crops(96)})
        assert longest > 4  # a copy, a kernel, a copy and a mark of the part before still wait

    def test_outputs_stay_when_the_next_batch_comes(self, gpu_machine, bundle):
        engine = opened(bundle)
        first = engine.run({"crops": grey_crops(40)})["logits"]
        engine.run({"crops": 255 - grey_crops(40)})
        np.testing.assert_allclose(first, blue_logits(40), atol=1e-4)

    def test_after_close_nothing_is_left_on_the_gpu(self, gpu_machine, bundle):
        first, second = opened(bundle), opened(bundle)
        first.run({"crops": grey_crops(3)})
        assert gpu_machine.driver.retained == 1, "engines of one thread share its context"
        first.close()
        second.run({"crops": grey_crops(3)})
        second.close()
        driver = gpu_machine.driver
        assert (driver.memory, driver.retained) == ({}, 0)
        assert not any(driver.current.values())

    def test_too_little_memory_is_one_line_and_leaves_nothing_behind(self, gpu_machine, bundle):
        opened(bundle).close()
        gpu_machine.driver.memory_bytes = 1000
        with pytest.raises(EngineError, match=r"no memory left.*smaller --precision") as told:
            opened(bundle)
        assert not isinstance(told.value, LostDeviceError)
        assert (gpu_machine.driver.memory, gpu_machine.driver.retained) == ({}, 0)

    def test_too_little_memory_is_no_reason_to_build_again(self, gpu_machine, bundle):
        opened(bundle).close()
        (before,) = gpu_machine.cache.engines()
        gpu_machine.driver.memory_bytes = 1000
        with pytest.raises(EngineError, match="no memory left"):
            opened(bundle)
        assert gpu_machine.tensorrt.builds == 1
        assert gpu_machine.cache.engines() == [before]

    def test_a_broken_gpu_is_told_from_a_failed_frame(self, gpu_machine, bundle):
        engine = opened(bundle)
        gpu_machine.driver.kernels_until_failure = 1
        engine.run({"crops": grey_crops(1)})
        with pytest.raises(LostDeviceError, match="unspecified launch failure"):
            engine.run({"crops": grey_crops(1)})
        with pytest.raises(LostDeviceError, match="only a new process"):
            engine.run({"crops": grey_crops(1)})
        engine.close()

    def test_another_thread_is_refused(self, gpu_machine, bundle):
        engine, told = opened(bundle), []

        def run() -> None:
            with pytest.raises(EngineError, match="thread that did not open it"):
                engine.run({"crops": grey_crops(1)})
            told.append(True)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert told == [True]
        engine.run({"crops": grey_crops(1)})


class TestEngineCache:
    def test_an_engine_is_built_once_and_then_found(self, gpu_machine, bundle):
        opened(bundle).close()
        opened(bundle).close()
        assert gpu_machine.tensorrt.builds == 1
        (kept,) = gpu_machine.cache.engines()
        assert kept.fault is None
        assert kept.record is not None
        assert kept.record.golden is not None
        assert kept.record.golden.passed

    @pytest.mark.parametrize(
        ("spoil", "why"),
        [
            (lambda path: path.write_bytes(path.read_bytes()[:-9]), "truncated"),
            (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "altered"),
            (lambda path: path.unlink(), "No such file"),
            (lambda path: path.with_suffix(".json").unlink(), "its build did not end"),
            (lambda path: path.with_suffix(".json").write_text("{"), "no readable record"),
        ],
    )
    def test_what_is_not_as_it_was_written_is_built_again_with_the_reason(
        self, gpu_machine, bundle, spoil, why, caplog
    ):
        opened(bundle).close()
        spoil(gpu_machine.cache.engines()[0].path)
        with caplog.at_level(logging.WARNING):
            opened(bundle).close()
        assert gpu_machine.tensorrt.builds == 2
        assert why in caplog.text
        assert [kept.fault for kept in gpu_machine.cache.engines()] == [None]

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda m: setattr(m.tensorrt, "__version__", "10.16.0"), "10.3.0 instead of 10.16.0"),
            (
                lambda m: setattr(m.driver.Device, "compute_capability", lambda _self: (8, 6)),
                r"[8, 7] instead of [8, 6]",
            ),
        ],
    )
    def test_another_version_or_gpu_makes_another_engine(
        self, gpu_machine, bundle, change, why, caplog
    ):
        opened(bundle).close()
        change(gpu_machine)
        opened(bundle).close()
        assert why in caplog.text
        assert len(gpu_machine.cache.engines()) == 2

    def test_other_settings_make_another_engine(self, gpu_machine, bundle):
        opened(bundle).close()
        opened(bundle, build=BuildSettings(workspace_mb=64)).close()
        assert gpu_machine.tensorrt.builds == 2

    def test_another_jetpack_makes_another_engine(self, gpu_machine, bundle, monkeypatch, tmp_path):
        opened(bundle).close()
        release = tmp_path / "nv_tegra_release"
        release.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
        monkeypatch.setattr(
            "edge_daemon.engines.nvidia.engine_record._jetson_release.__defaults__", (release,)
        )
        opened(bundle).close()
        platforms = {k.record.key.platform for k in gpu_machine.cache.engines() if k.record}
        assert platforms == {None, "R36.4.3"}

    def test_the_same_graph_in_a_newer_bundle_keeps_its_engine(self, gpu_machine, tmp_path):
        for version in ("0.1.0", "0.2.0"):
            opened(load_bundle(write_tiny_bundle(tmp_path / "two", version))).close()
        assert gpu_machine.tensorrt.builds == 1

    def test_an_engine_that_the_library_refuses_is_built_again(self, gpu_machine, bundle, caplog):
        opened(bundle).close()
        (kept,) = gpu_machine.cache.engines()
        assert kept.record is not None
        gpu_machine.cache.store("classifier", kept.record.key, b"no engine", 0.1)
        opened(bundle).close()
        assert gpu_machine.tensorrt.builds == 2
        assert "Serialization magic tag mismatch" in caplog.text

    def test_an_engine_that_fails_its_golden_set_is_never_used(self, gpu_machine, bundle):
        gpu_machine.tensorrt.spoils_engines = True
        with pytest.raises(EngineError, match=r"fails its golden set.*start again"):
            opened(bundle)
        assert gpu_machine.driver.retained == 0
        gpu_machine.tensorrt.spoils_engines = False
        opened(bundle).close()
        assert gpu_machine.tensorrt.builds == 2

    def test_an_engine_that_answers_with_no_number_leaves_a_readable_record(
        self, gpu_machine, bundle, monkeypatch
    ):
        nothing = GoldenResult(difference=float("nan"), tolerance=1e-3)
        monkeypatch.setattr("edge_daemon.engines.nvidia.opened.check_golden", lambda *_: nothing)
        with pytest.raises(EngineError, match="fails its golden set"):
            opened(bundle)
        (kept,) = gpu_machine.cache.engines()
        assert kept.fault == "failed its golden set"

    def test_networks_that_were_opened_are_closed_when_a_later_one_fails(self, gpu_machine, bundle):
        bundle.model("classifier", "fp32").unlink()
        with pytest.raises(EngineError, match="is missing"):
            Models.open(bundle, EngineOptions("tensorrt"))
        assert (gpu_machine.driver.memory, gpu_machine.driver.retained) == ({}, 0)

    def test_a_graph_that_is_not_known_names_operator_and_layer(self, gpu_machine, bundle):
        import onnx

        path = bundle.model("classifier", "fp32")
        model = onnx.load(path)
        cast = model.graph.node[0]
        cast.op_type, cast.name = "Identity", "node_identity"
        del cast.attribute[:]
        path.write_bytes(model.SerializeToString())
        with pytest.raises(
            EngineError, match=r"Identity node_identity: .*unsupported input"
        ) as told:
            opened(bundle)
        assert "\n" not in str(told.value)
        assert gpu_machine.cache.engines() == []

    def test_a_build_that_fails_says_what_the_library_said(self, gpu_machine, bundle):
        gpu_machine.tensorrt.refuses_to_build = True
        with pytest.raises(EngineError, match=r"cannot build .*OutOfMemory \(no workspace\)"):
            opened(bundle)
        assert gpu_machine.driver.retained == 0

    def test_a_folder_that_cannot_be_written_is_told_before_minutes_are_spent(
        self, gpu_machine, bundle, tmp_path
    ):
        (tmp_path / "file").write_text("")
        with pytest.raises(
            EngineError, match=r"cannot write engines into .*/file/.*another folder"
        ):
            opened(bundle, engine_cache=tmp_path / "file" / "engines")
        assert gpu_machine.tensorrt.builds == 0

    def test_a_full_disk_keeps_the_engine_before(self, gpu_machine, bundle, monkeypatch):
        opened(bundle).close()
        (before,) = gpu_machine.cache.engines()
        assert before.record is not None

        def full(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(EngineError, match="No space left on device"):
            gpu_machine.cache.store("classifier", before.record.key, b"other", 1.0)
        monkeypatch.undo()
        (after,) = gpu_machine.cache.engines()
        assert (after.fault, after.record) == (None, before.record)
        assert not list(gpu_machine.cache.folder.glob("*.partial"))

    def test_a_kill_in_the_middle_of_writing_leaves_no_engine(self, tmp_path):
        script = f"""
import os, signal
from pathlib import Path
from edge_daemon.whole_files import write_whole
real = os.fsync
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
path = Path({str(tmp_path)!r}) / "classifier.fp32.0123456789abcdef.engine"
write_whole(path, b"x" * 999)
"""
        done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
        assert done.returncode == -9
        cache = EngineCache(tmp_path)
        assert cache.engines() == []
        (gone,) = cache.prune(keep=[])
        assert gone.name.endswith(".partial")
        assert list(tmp_path.iterdir()) == []

    def test_a_kill_between_engine_and_record_is_noticed(self, gpu_machine, bundle):
        opened(bundle).close()
        (kept,) = gpu_machine.cache.engines()
        kept.path.with_suffix(".json").unlink()
        (found,) = gpu_machine.cache.engines()
        assert found.fault == "has no record: its build did not end"

    def test_pruning_keeps_what_is_named(self, gpu_machine, bundle):
        opened(bundle).close()
        opened(bundle, build=BuildSettings(workspace_mb=64)).close()
        keep, drop = (kept.path for kept in gpu_machine.cache.engines())
        assert gpu_machine.cache.prune([keep]) == [drop]
        assert [kept.path for kept in gpu_machine.cache.engines()] == [keep]

    def test_measurements_of_earlier_builds_are_used_again(self, gpu_machine, bundle):
        for workspace in (64, 128):
            opened(bundle, build=BuildSettings(workspace_mb=workspace)).close()
        assert gpu_machine.cache.timing() == b"++"
        (gpu_machine.cache.folder / "timing.cache").write_bytes(b"of another device")
        opened(bundle, build=BuildSettings(workspace_mb=256)).close()
        assert gpu_machine.cache.timing() == b"+"

    def test_a_record_round_trips(self, gpu_machine, bundle):
        opened(bundle).close()
        (kept,) = gpu_machine.cache.engines()
        assert kept.record is not None
        assert EngineRecord.model_validate_json(kept.record.model_dump_json()) == kept.record


def test_a_batch_range_is_ordered():
    with pytest.raises(ValueError, match="least <= usual <= most"):
        BatchRange(4, 2, 8)


class TestCudaGpu:
    def test_a_gpu_that_is_not_there_is_one_line(self):
        with pytest.raises(EngineError, match=r"GPU 3 cannot be opened: .*invalid device ordinal"):
            cuda.CudaGpu(StandInDriver(), index=3)

    def test_without_pycuda_the_reason_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr(cuda, "find_spec", lambda _name: None)
        cuda.why_no_gpu.cache_clear()
        assert cuda.why_no_gpu() == "pycuda is not installed; pip install 'leukoedge[jetson]'"
        cuda.why_no_gpu.cache_clear()

    def test_each_thread_has_its_own_and_closes_it(self):
        driver = StandInDriver()
        mine = cuda.open_gpu(lambda: driver)
        others = []

        def run() -> None:
            other = cuda.open_gpu(lambda: driver)
            others.append(other)
            other.close()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert others[0] is not mine
        assert cuda.open_gpu(lambda: driver) is mine
        mine.close()
        mine.close()
        assert driver.retained == 0


def test_the_stand_in_has_only_names_that_nvidias_module_has_too():
    trt = pytest.importorskip(
        "tensorrt_rtx_bindings", reason="NVIDIA publishes TensorRT for RTX for x86-64 Linux only"
    )
    library = StandInTensorRt(StandInDriver())
    enums = {"MemoryPoolType", "BuilderFlag", "DeviceType", "TensorIOMode"}
    enums |= {"NetworkDefinitionCreationFlag"}
    for name in enums:
        members = set(getattr(library, name).__members__)
        assert members <= set(getattr(trt, name).__members__), name
    classes = {
        "Builder": stand_in_tensorrt._Builder,
        "ILogger": library.ILogger,
        "INetworkDefinition": stand_in_tensorrt._Network,
        "OnnxParser": stand_in_tensorrt._OnnxParser,
        "ParserError": stand_in_tensorrt._ParserError,
        "IBuilderConfig": stand_in_tensorrt._Config,
        "IOptimizationProfile": stand_in_tensorrt._OptimizationProfile,
        "ITimingCache": stand_in_tensorrt._TimingCache,
        "Runtime": stand_in_tensorrt._Runtime,
        "ICudaEngine": stand_in_tensorrt._Engine,
        "IExecutionContext": stand_in_tensorrt._ExecutionContext,
    }
    for name, mine in classes.items():
        assert _public(mine) <= _public(getattr(trt, name)), name


def _public(owner: type) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_")}
