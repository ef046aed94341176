"""A stand-in for the module ``tensorrt`` where there is no GPU: an engine is the ONNX file itself.

It has the names that the product uses and no others, each of which NVIDIA's own module has too
(a test holds it against ``tensorrt_rtx``). Engines belong to one version and one GPU, a context
belongs to one profile and refuses shapes outside of it, and the network runs in ONNX Runtime, in
stream order, on whatever lies at the addresses it was given.
"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from tests.edge_daemon.engines.stand_in_cuda import StandInDriver

_NUMPY = {"UINT8": np.uint8, "FLOAT": np.float32, "HALF": np.float16, "DOUBLE": np.float64}


class StandInTensorRt:
    """One version of the library on one GPU; an instance takes the place of the module."""

    def __init__(self, driver: StandInDriver, version: str = "10.3.0") -> None:
        self.__version__ = version
        self.driver = driver
        self.builds = 0
        self.refuses_to_build = False
        self.stopped = False
        self.spoils_engines = False
        library = self

        class Severity(enum.IntEnum):
            INTERNAL_ERROR = 0
            ERROR = 1
            WARNING = 2
            INFO = 3
            VERBOSE = 4

        class ILogger:
            INTERNAL_ERROR = Severity.INTERNAL_ERROR
            ERROR = Severity.ERROR
            WARNING = Severity.WARNING
            INFO = Severity.INFO
            VERBOSE = Severity.VERBOSE

            def log(self, severity: Severity, message: str) -> None:
                raise NotImplementedError

        class IProgressMonitor:
            pass

        class NetworkDefinitionCreationFlag(enum.IntEnum):
            STRONGLY_TYPED = 1

        self.ILogger, self.IProgressMonitor = ILogger, IProgressMonitor
        self.NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag
        self.MemoryPoolType = enum.Enum("MemoryPoolType", ["WORKSPACE"])
        self.BuilderFlag = enum.Enum("BuilderFlag", ["TF32", "GPU_FALLBACK"])
        self.DeviceType = enum.Enum("DeviceType", ["GPU", "DLA"])
        self.TensorIOMode = enum.Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
        self.DataType = enum.Enum("DataType", list(_NUMPY))
        self.Builder = lambda logger: _Builder(library, logger)
        self.OnnxParser = _OnnxParser
        self.Runtime = lambda logger: _Runtime(library, logger)

    def identity(self) -> dict[str, str]:
        """What an engine is bound to."""
        return {"version": self.__version__, "gpu": self.driver.Device(0).name()}


class _Builder:
    def __init__(self, library: StandInTensorRt, logger: Any) -> None:
        self._library, self._logger = library, logger

    def create_network(self, flags: int) -> _Network:
        assert flags == 1 << 1, "TensorRT 10 must be told that the network is strongly typed"
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config()

    def create_optimization_profile(self) -> _OptimizationProfile:
        return _OptimizationProfile()

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        library = self._library
        if library.refuses_to_build:
            self._logger.log(self._logger.ERROR, "Error Code 2: OutOfMemory\n  (no workspace)")
            return None
        if config.progress_monitor is not None:
            config.progress_monitor.phase_start("Building Engine", "", 2)
            if not config.progress_monitor.step_complete("Building Engine", 1):
                self._logger.log(self._logger.ERROR, "Error Code 7: BuildCanceled")
                return None
            config.progress_monitor.phase_finish("Building Engine")
        library.builds += 1
        config.timings.content += b"+"
        header = {
            **library.identity(),
            "profiles": [profile.shapes for profile in config.profiles],
            "workspace": config.workspace,
            "spoilt": library.spoils_engines,
        }
        return json.dumps(header).encode() + b"\n" + network.model.SerializeToString()


class _Network:
    def __init__(self) -> None:
        self.model = onnx.ModelProto()

    @property
    def num_inputs(self) -> int:
        return len(self.model.graph.input)

    def get_input(self, index: int) -> _Input:
        return _Input(self.model.graph.input[index])


class _Input:
    def __init__(self, value: onnx.ValueInfoProto) -> None:
        self.name = value.name
        sizes = value.type.tensor_type.shape.dim
        self.shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in sizes)


class _OnnxParser:
    def __init__(self, network: _Network, _logger: Any) -> None:
        self._network = network
        self._errors: list[_ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> _ParserError:
        return self._errors[index]

    def parse_from_file(self, path: str) -> bool:
        try:
            self._network.model = onnx.load_from_string(Path(path).read_bytes())
            onnx.checker.check_model(self._network.model)
        except Exception as error:  # noqa: BLE001 - protobuf's and onnx's own
            self._errors.append(_ParserError("", "", f"Failed to parse:\n{error}"))
            return False
        graph = self._network.model.graph
        for node in graph.node:  # its one rule that the product has met: uint8 is only cast
            if graph.input[0].name in node.input and node.op_type != "Cast":
                said = (
                    "Assertion failed: status.is_success(): Found unsupported input type of UINT8"
                )
                self._errors.append(_ParserError(node.op_type, node.name, said))
                return False
        return True


class _ParserError:
    def __init__(self, operator: str, name: str, said: str) -> None:
        self.node_operator = lambda: operator
        self.node_name = lambda: name
        self.desc = lambda: said


class _TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content


class _Config:
    def __init__(self) -> None:
        self.workspace = 0
        self.builder_optimization_level = 3
        self.default_device_type: Any = None
        self.DLA_core = -1
        self.flags = {"TF32"}
        self.profiles: list[_OptimizationProfile] = []
        self.progress_monitor: Any = None
        self.timings = _TimingCache(b"")

    def set_memory_pool_limit(self, _pool: Any, size: int) -> None:
        self.workspace = size

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag.name)

    def add_optimization_profile(self, profile: _OptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> _TimingCache:
        return _TimingCache(content)

    def set_timing_cache(self, cache: _TimingCache, _ignore_mismatch: bool) -> bool:
        if cache.content.strip(b"+"):
            return False
        self.timings = cache
        return True


class _OptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, name: str, least: Any, usual: Any, most: Any) -> None:
        self.shapes[name] = [list(least), list(usual), list(most)]


class _Runtime:
    def __init__(self, library: StandInTensorRt, logger: Any) -> None:
        self._library, self._logger = library, logger

    def deserialize_cuda_engine(self, content: bytes) -> _Engine | None:
        try:
            line, model = content.split(b"\n", 1)
            header = json.loads(line)
            if {name: header[name] for name in ("version", "gpu")} != self._library.identity():
                self._logger.log(
                    self._logger.ERROR, "Error Code 6: the engine plan file is foreign"
                )
                return None
            session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        except Exception:  # noqa: BLE001 - whatever a broken file makes of itself
            self._logger.log(self._logger.ERROR, "Error Code 1: Serialization magic tag mismatch")
            return None
        return _Engine(self._library, self._logger, session, header)


class _Engine:
    def __init__(self, library: Any, logger: Any, session: Any, header: dict[str, Any]) -> None:
        self.library, self.logger, self.session, self.header = library, logger, session, header
        self.num_optimization_profiles = max(len(header["profiles"]), 1)
        self.tensors = [*session.get_inputs(), *session.get_outputs()]
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return self.tensors[index].name

    def _tensor(self, name: str) -> Any:
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def get_tensor_dtype(self, name: str) -> Any:
        kinds = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT", "tensor(float16)": "HALF"}
        return self.library.DataType[kinds.get(self._tensor(name).type, "DOUBLE")]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(s if isinstance(s, int) else -1 for s in self._tensor(name).shape)

    def get_tensor_mode(self, name: str) -> Any:
        given = {tensor.name for tensor in self.session.get_inputs()}
        return self.library.TensorIOMode["INPUT" if name in given else "OUTPUT"]

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        return [tuple(shape) for shape in self.header["profiles"][index][name]]

    def create_execution_context(self) -> _ExecutionContext:
        return _ExecutionContext(self)


class _ExecutionContext:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._profile = 0
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        assert stream in self._engine.library.driver.streams
        self._profile = index
        return index < self._engine.num_optimization_profiles

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        profiles = self._engine.header["profiles"]
        least, most = self._engine.get_tensor_shape(name)[:1] * 2
        if profiles:
            least, _, most = (s[0] for s in profiles[self._profile][name])
        if not least <= shape[0] <= most:
            self._engine.logger.log(self._engine.logger.ERROR, "Error Code 3: outside the profile")
            return False
        self._shapes[name] = tuple(shape)
        return True

    def execute_async_v3(self, stream: int) -> bool:
        engine, shapes, addresses = self._engine, dict(self._shapes), dict(self._addresses)
        driver: StandInDriver = engine.library.driver
        driver.check()

        def kernel() -> None:
            feed = {}
            for tensor in engine.session.get_inputs():
                dtype = _NUMPY[engine.get_tensor_dtype(tensor.name).name]
                memory, shape = driver.memory[addresses[tensor.name]], shapes[tensor.name]
                feed[tensor.name] = np.frombuffer(memory, dtype, int(np.prod(shape))).reshape(shape)
            names = [tensor.name for tensor in engine.session.get_outputs()]
            for name, value in zip(names, engine.session.run(names, feed), strict=True):
                said = value + 1 if engine.header["spoilt"] else value
                driver.memory[addresses[name]][: said.nbytes] = said.tobytes()

        driver.launch(stream, kernel)
        return True
