"""What an engine depends on, and what is known of one that was built."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from edge_daemon.contract.roles import Precision, StrictModel
from edge_daemon.engines.nvidia.build_settings import BuildSettings
from edge_daemon.engines.nvidia.gpu import GpuInfo
from edge_daemon.engines.nvidia.library import NvidiaLibrary

_L4T_RELEASE = Path("/etc/nv_tegra_release")
"""Where a Jetson says which release of its operating system it runs."""


class EngineKey(StrictModel):
    """Everything that an engine depends on."""

    onnx_sha256: str
    library: str
    version: str
    gpu: str
    compute_capability: tuple[int, int]
    platform: str | None
    """Release of Jetson Linux; None elsewhere."""
    precision: Precision
    settings: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the key, hexadecimal."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def difference(self, other: EngineKey) -> str:
        """What is not the same, for a line in the log."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        return ", ".join(
            f"{name} {theirs[name]} instead of {mine[name]}"
            for name in mine
            if mine[name] != theirs[name]
        )


class GoldenRecord(StrictModel):
    """What the golden set said of an engine."""

    difference: float
    tolerance: float
    passed: bool


class EngineRecord(StrictModel):
    """What is known of one engine file."""

    key: EngineKey
    bytes: int = Field(ge=1)
    sha256: str
    built: datetime
    build_s: float = Field(ge=0)
    golden: GoldenRecord | None = None


def engine_key(
    onnx_sha256: str,
    precision: Precision,
    library: NvidiaLibrary,
    gpu: GpuInfo,
    settings: BuildSettings,
) -> EngineKey:
    """The key of an engine that is built here."""
    return EngineKey(
        onnx_sha256=onnx_sha256,
        library=library.name,
        version=library.version,
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        platform=_jetson_release(),
        precision=precision,
        settings=json.loads(json.dumps(asdict(settings))),
    )


def _jetson_release(file: Path = _L4T_RELEASE) -> str | None:
    """``R36.4.3`` from ``# R36 (release), REVISION: 4.3, ...``."""
    try:
        first = file.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        return None
    found = re.match(r"#\s*(R\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", first)
    return f"{found[1]}.{found[2]}" if found else first.strip("# ")[:60]
