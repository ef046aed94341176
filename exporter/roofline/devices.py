"""What the GPUs of the Jetson Orin family can do at most, each number with its public source.

Peaks are derived, not quoted: streaming multiprocessors times clock times operations a clock. The
TOPS of a data sheet are sparse and, but for the Orin Nano, those of the whole module: they count
matrices half of which is zero, and the two deep-learning accelerators (DLA), which the daemon does
not use. Halving what is left of them for the GPU gives the derived peaks again
(:attr:`Device.published_sparse_tops`, and a test), which is how we know that a tensor core of Orin
does as much a clock as one of the A100, for which the rate is published.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.roofline.network import Arithmetic

TENSOR_OPERATIONS: dict[Arithmetic, int] = {"int8": 4096, "fp16": 2048, "tf32": 1024, "fp32": 0}
"""Dense operations a clock and multiprocessor on its four tensor cores, a multiply-accumulate
being two. NVIDIA Ampere Architecture In-Depth: 256 FP16 multiply-accumulates a tensor core, INT8
twice and TF32 half of that. float32 as such is not theirs."""

CUDA_OPERATIONS: dict[Arithmetic, int] = {"int8": 512, "fp16": 512, "tf32": 256, "fp32": 256}
"""The same on its 128 CUDA cores. The data sheet of the Orin Nano has FP16 at twice FP32
(2.56 and 1.28 TFLOPS). For int8 nothing is published; it is taken to be as fast as FP16."""


@dataclass(frozen=True)
class Source:
    """Where a number can be looked up."""

    title: str
    url: str


NANO_SHEET = Source(
    "NVIDIA, Jetson Orin Nano Series Modules Data Sheet, DS-11105-001 v1.5",
    "https://developer.nvidia.com/downloads/jetson-orin-nano-series-data-sheet",
)
NX_SHEET = Source(
    "NVIDIA, Jetson Orin NX Series Modules Data Sheet, DS-10712-001 v1.7",
    "https://developer.nvidia.com/downloads/jetson-orin-nx-series-data-sheet",
)
AGX_SHEET = Source(
    "NVIDIA, Jetson AGX Orin Series Modules Data Sheet, DS-10662-001 v1.8 (a distributor's copy)",
    "https://static.generation-robots.com/media/Jetson-AGX-Orin-Data-Sheet.pdf",
)
AMPERE = Source(
    "NVIDIA, Ampere Architecture In-Depth",
    "https://developer.nvidia.com/blog/nvidia-ampere-architecture-in-depth/",
)
DEPTHWISE = Source(
    "PyTorch, pull request 22302: depthwise convolutions do not use tensor cores (comments)",
    "https://github.com/pytorch/pytorch/pull/22302",
)
POWER_MODES = Source(
    "NVIDIA, nvpmodel configuration of the Super modes (as kept by LineageOS)",
    "https://github.com/LineageOS/android_device_nvidia_concord/tree/lineage-23.0/nvpmodel",
)
SOURCES = (NANO_SHEET, NX_SHEET, AGX_SHEET, AMPERE, DEPTHWISE, POWER_MODES)


@dataclass(frozen=True)
class Device:
    """A module in a power mode, at the highest clocks which that mode allows."""

    name: str
    mode: str
    multiprocessors: int
    gpu_mhz: float
    bandwidth_gb_s: float
    published_sparse_tops: tuple[float, float] = (0.0, 0.0)
    """INT8 of the module as the data sheet prints it, and the share of its DLAs."""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name}, {self.mode}"

    def tensor_peak(self, arithmetic: Arithmetic) -> float:
        """Dense operations a second on tensor cores."""
        return self.multiprocessors * self.gpu_mhz * 1e6 * TENSOR_OPERATIONS[arithmetic]

    def cuda_peak(self, arithmetic: Arithmetic) -> float:
        """Operations a second on CUDA cores."""
        return self.multiprocessors * self.gpu_mhz * 1e6 * CUDA_OPERATIONS[arithmetic]

    def matrix_peak(self, arithmetic: Arithmetic) -> float:
        """Operations a second of a product that tensor cores may take where they can."""
        return self.tensor_peak(arithmetic) or self.cuda_peak(arithmetic)

    @property
    def bandwidth(self) -> float:
        """Bytes a second between GPU and memory."""
        return self.bandwidth_gb_s * 1e9


ORIN_NANO = Device(
    "Orin Nano 8 GB",
    "15 W",
    multiprocessors=8,
    gpu_mhz=625,
    bandwidth_gb_s=68,
    published_sparse_tops=(40, 0),
    note="as delivered before JetPack 6.2",
)
ORIN_NANO_SUPER = Device(
    "Orin Nano 8 GB",
    "MAXN SUPER",
    multiprocessors=8,
    gpu_mhz=1020,
    bandwidth_gb_s=102,
    published_sparse_tops=(67, 0),
    note="no power limit; the 25 W mode stops at 918 MHz",
)
ORIN_NX = Device(
    "Orin NX 16 GB",
    "MAXN",
    multiprocessors=8,
    gpu_mhz=918,
    bandwidth_gb_s=102,
    published_sparse_tops=(100, 40),
    note="the 25 W mode stops at 408 MHz",
)
ORIN_NX_SUPER = Device(
    "Orin NX 16 GB",
    "MAXN SUPER",
    multiprocessors=8,
    gpu_mhz=1173,
    bandwidth_gb_s=102,
    published_sparse_tops=(157, 80),
    note="no power limit; also the highest clock of the 40 W mode",
)
AGX_ORIN = Device(
    "AGX Orin 64 GB",
    "MAXN",
    multiprocessors=16,
    gpu_mhz=1300,
    bandwidth_gb_s=204.8,
    published_sparse_tops=(275, 105),
    note="no power limit",
)
DEVICES = (ORIN_NANO, ORIN_NANO_SUPER, ORIN_NX, ORIN_NX_SUPER, AGX_ORIN)
