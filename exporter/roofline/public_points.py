"""What others have measured and published on Orin, held against the bound.

These are the only measurements on the page, and none of them is ours. The MLPerf ones are NVIDIA's
own submissions: TensorRT, INT8, CUDA graphs, and the GPU alone, since the system descriptions have
the DLAs take part in the Offline scenario only. Taken is the mean latency of the log. Submissions
for power (``MaxQ``) name their clocks; the others do not, and are taken to have run at the highest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx

from exporter.roofline.bound import bound_s
from exporter.roofline.devices import (
    AGX_ORIN,
    ORIN_NANO,
    ORIN_NANO_SUPER,
    ORIN_NX,
    Device,
    Source,
)
from exporter.roofline.layers import count_layers
from exporter.roofline.network import ELEMENT_BYTES, Arithmetic, Network
from exporter.roofline.reference_networks import resnet50, ssd_mobilenet_v1


@dataclass(frozen=True)
class PublicPoint:
    """A latency that somebody published, of a network whose graph is known."""

    name: str
    graph: Callable[[], onnx.ModelProto]
    device: Device
    batch: int
    measured_ms: float
    source: Source

    def network(self) -> Network:
        """The same network by the same counter, INT8 throughout."""
        return count_layers(self.graph(), self.name, batch=self.batch, float32="int8")

    def bound_ms(self) -> float:
        """What it takes at least."""
        return 1e3 * bound_s(self.network(), self.device)


@dataclass(frozen=True)
class CountedPoint:
    """A latency of a network of which only operations and parameters are published.

    The bound is one roofline for the whole network, looser than the one layer by layer.
    """

    name: str
    operations: float
    parameters: float
    arithmetic: Arithmetic
    device: Device
    measured_ms: float
    source: Source

    def bound_ms(self) -> float:
        """What it takes at least."""
        calculated = self.operations / self.device.matrix_peak(self.arithmetic)
        read = self.parameters * ELEMENT_BYTES[self.arithmetic] / self.device.bandwidth
        return 1e3 * max(calculated, read)


@dataclass(frozen=True)
class MeasuredPeak:
    """What somebody got out of a device with a kernel made for it."""

    what: str
    device: Device
    unit: str
    measured: float
    derived: float
    source: Source


def _mlperf(version: str, system: str, network: str, scenario: str) -> Source:
    commit = {
        "3.1": "eaf622a25c00f2b4b1d2c4f5b4f430570429d24a",
        "2.0": "e1f8956d1b96cb0b2c57e085ddd4e9b022159725",
    }[version]
    return Source(
        f"MLPerf Inference {version}, NVIDIA {system}, {scenario}",
        f"https://github.com/mlcommons/inference_results_v{version}/tree/{commit}/closed/NVIDIA/"
        f"results/{system}/{network}/{scenario}",
    )


_AGX = replace(AGX_ORIN, mode="1300 MHz (taken)")
_AGX_32 = replace(_AGX, name="AGX Orin 32 GB preview")
_AGX_32_MAXQ = replace(_AGX_32, mode="930.75 MHz", gpu_mhz=930.75)
_NX = replace(ORIN_NX, mode="918 MHz (taken)")
_NX_AS_NANO = replace(
    ORIN_NX, mode="624.75 MHz, memory 2133 MHz", gpu_mhz=624.75, bandwidth_gb_s=68
)
_NANO = replace(ORIN_NANO, mode="625 MHz (taken)")


def _resnet(device: Device, batch: int, ms: float, version: str, system: str) -> PublicPoint:
    scenario = "SingleStream" if batch == 1 else "MultiStream"
    source = _mlperf(version, system, "resnet50", scenario)
    return PublicPoint("ResNet-50", resnet50, device, batch, ms, source)


def _mobilenet(device: Device, ms: float, system: str) -> PublicPoint:
    source = _mlperf("2.0", system, "ssd-mobilenet", "SingleStream")
    return PublicPoint("SSD-MobileNet-v1", ssd_mobilenet_v1, device, 1, ms, source)


POINTS = (
    _resnet(_AGX, 1, 0.636, "3.1", "Orin_TRT"),
    _resnet(_AGX, 8, 2.164, "3.1", "Orin_TRT"),
    _resnet(_NX, 1, 1.079, "3.1", "Orin_NX_TRT"),
    _resnet(_NX, 8, 5.080, "3.1", "Orin_NX_TRT"),
    _resnet(_NX_AS_NANO, 8, 8.088, "3.1", "Orin_NX_TRT_MaxQ"),
    _resnet(_AGX_32_MAXQ, 1, 0.912, "2.0", "Orin_TRT_MaxQ"),
    _mobilenet(_AGX_32, 0.469, "Orin_TRT"),
    _mobilenet(_AGX_32_MAXQ, 0.581, "Orin_TRT_MaxQ"),
)
"""ResNet-50 in batches of one and eight, and the one network with depthwise convolutions that was
measured so. Its latency holds the suppression of boxes, its bound does not."""

_YOLO = Source(
    "H. Choi 2026, YOLOv8 on Orin Nano, trtexec",
    "https://github.com/hokwangchoi/jetson-orin-nano-benchmarks/tree/main/vision-benchmarks",
)
COUNTED_POINTS = (
    CountedPoint("YOLOv8n 640", 8.7e9, 3.2e6, "fp16", ORIN_NANO_SUPER, 4.43, _YOLO),
    CountedPoint("YOLOv8n 640", 8.7e9, 3.2e6, "int8", ORIN_NANO_SUPER, 3.49, _YOLO),
)

_ROOFLINE = Source(
    "ApxInf, pull request 74: a measured roofline of sm_87",
    "https://github.com/infinigence/ApxInf/pull/74",
)
_GEMM = Source(
    "torch-performance-test-data, issue 110: matrix products on an Orin Nano",
    "https://github.com/zzc0721/torch-performance-test-data/issues/110",
)
MEASURED_PEAKS = (
    MeasuredPeak("reading memory", AGX_ORIN, "GB/s", 152.8, AGX_ORIN.bandwidth_gb_s, _ROOFLINE),
    MeasuredPeak(
        "BF16 product", AGX_ORIN, "TFLOPS", 34.1, AGX_ORIN.tensor_peak("fp16") / 1e12, _ROOFLINE
    ),
    MeasuredPeak(
        "FP16 product", _NANO, "TFLOPS", 10.18, ORIN_NANO.tensor_peak("fp16") / 1e12, _GEMM
    ),
    MeasuredPeak(
        "TF32 product", _NANO, "TFLOPS", 4.92, ORIN_NANO.tensor_peak("tf32") / 1e12, _GEMM
    ),
    MeasuredPeak("FP32 product", _NANO, "TFLOPS", 1.31, ORIN_NANO.cuda_peak("fp32") / 1e12, _GEMM),
)
"""The last one is 2 % above its peak, as a clock of 640 MHz would explain. The power mode of that
device is not published; its figures fit the 625 MHz of the 15 W mode. A BF16 product that it is
said to have made at 10.91 TFLOPS is above the peak by 7 % and left out."""


def fractions() -> tuple[float, ...]:
    """What share of the bound each of :data:`POINTS` reached."""
    return tuple(point.bound_ms() / point.measured_ms for point in POINTS)


def lowest_fraction() -> float:
    """The least share of the bound among the points."""
    return min(fractions())


@dataclass(frozen=True)
class KernelCost:
    """How two batches of one network split into work and what each kernel costs besides."""

    device: Device
    fraction: float
    """Share of the bound at which the work of further pictures is done."""
    kernel_us: float
    """What is left over, by the number of kernels."""


def kernel_costs() -> tuple[KernelCost, ...]:
    """Latency as ``bound / fraction + kernels * cost``, from ResNet-50 at batches of 1 and 8."""
    costs = []
    for one, eight in (POINTS[0:2], POINTS[2:4]):
        fraction = (eight.bound_ms() - one.bound_ms()) / (eight.measured_ms - one.measured_ms)
        rest_ms = one.measured_ms - one.bound_ms() / fraction
        kernels = len(one.network().layers)
        costs.append(KernelCost(one.device, fraction, 1e3 * rest_ms / kernels))
    return tuple(costs)
