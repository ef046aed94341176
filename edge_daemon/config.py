"""The configuration of a device: one TOML file, typed; every mistake told with its line.

Relative paths in the file are relative to the file, so that a configuration can be copied with
what belongs to it.
"""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from edge_daemon.calibration.document import Objective, Region
from edge_daemon.contract.base import Name, StrictModel
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.engines.names import EngineChoice, PrecisionChoice
from edge_daemon.engines.nvidia.build_settings import BuildSettings
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import ConfigError
from edge_daemon.vision.quality import QualityThresholds
from edge_daemon.vision.slide import SlideThresholds

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Settings = TypeVar("_Settings", bound=StrictModel)

SHIPPED_BUNDLES = Path(__file__).parent.parent / "deploy" / "bundles"
"""Where the bundle that comes with the product lies, in a checkout and in a wheel alike."""


class DeviceSettings(StrictModel):
    """Who this device is, in topics and messages."""

    site: Name = "lab"
    name: Name = "microscope-1"
    objective: Objective | None = None
    """The objective in use, such as ``100x/1.25 oil``: a calibration holds for one."""


class SourceSettings(StrictModel):
    """Where frames come from."""

    url: str = Field(min_length=1)
    """``camera://0``, ``camera://serial/ABC123``, ``sim://``, a folder, a picture or a video."""
    scan: bool = True
    """The pictures of a folder overlap and show one slide."""
    um_per_px: float | None = Field(default=None, gt=0)
    """Scale of the camera's pictures; read from the red cells in view when not given."""


class GpuEngineSettings(StrictModel):
    """How engines for a GPU are built, as ``BuildSettings`` explains it."""

    workspace_mb: int = Field(default=BuildSettings.workspace_mb, ge=16, le=65536)
    optimization_level: int = Field(default=BuildSettings.optimization_level, ge=0, le=5)
    dla_core: int | None = Field(default=None, ge=0, le=15)


class ModelSettings(StrictModel):
    """Which bundle, and what runs it."""

    bundle: Path | None = None
    """Folder of the bundle; the one that comes with the product when not given."""
    engine: EngineChoice = "auto"
    precision: PrecisionChoice = "auto"
    threads: int | None = Field(default=None, ge=1, le=256)
    """Processor threads of the networks; all the process may use when not given."""
    second_opinion: bool = True
    """Ask the bundle's larger network, where it has one, about cells that were not cleared."""
    engine_cache: Path | None = None
    """Folder of networks compiled on this machine; the user's cache folder when not given."""
    gpu_engines: GpuEngineSettings = GpuEngineSettings()
    """How these engines are built."""

    @property
    def options(self) -> EngineOptions:
        """The same, without the bundle."""
        build = BuildSettings(**self.gpu_engines.model_dump())
        return EngineOptions(self.engine, self.precision, self.threads, self.engine_cache, build)


class CalibrationSettings(StrictModel):
    """What is known of this microscope, and how it is set up now."""

    file: Path | None = None
    """Made by ``leuko-edge calibrate``; frames are taken as they are when not given."""
    binning: int = Field(default=1, ge=1, le=16)
    """Pixels of the sensor that the camera joins to one, on each side."""
    region: Region | None = None
    """Left, top, width and height on the sensor; all of it when not given."""


class SlideSettings(StrictModel):
    """What a slide is called and which counts mean what."""

    name: Name | None = None
    """Name of the slide; a name from date and time when not given."""
    thresholds: SlideThresholds = SlideThresholds()


class OutboxSettings(StrictModel):
    """Where undelivered results wait."""

    path: Path = Path("leuko-edge-outbox.db")
    budget_mb: int = Field(default=256, ge=1)


class Config(StrictModel):
    """Everything ``leuko-edge run`` needs to know."""

    source: SourceSettings
    broker: BrokerSettings
    device: DeviceSettings = DeviceSettings()
    models: ModelSettings = ModelSettings()
    outbox: OutboxSettings = OutboxSettings()
    quality: QualityThresholds = QualityThresholds()
    slide: SlideSettings = SlideSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    health_every_s: float = Field(default=10.0, gt=0)
    """How often the device reports its health."""


def load_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: one line with file, line number, key, what is wrong and what to do.
    """
    text = _read(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}; mend that line") from None
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_first_mistake(path, text, error)) from None
    return _with_absolute_paths(config, path.resolve().parent)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; name a configuration file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    def beside(settings: _Settings, *names: str) -> _Settings:
        paths = {name: getattr(settings, name) for name in names}
        return settings.model_copy(
            update={name: folder / path for name, path in paths.items() if path is not None}
        )

    return config.model_copy(
        update={
            "outbox": beside(config.outbox, "path"),
            "calibration": beside(config.calibration, "file"),
            "models": beside(config.models, "bundle", "engine_cache"),
            "broker": beside(config.broker, "ca_file", "cert_file", "key_file"),
        }
    )


def _first_mistake(path: Path, text: str, error: ValidationError) -> str:
    # A misspelt key is the cause where the right one is then missing.
    mistake = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    keys = [str(part) for part in mistake["loc"] if isinstance(part, str)]
    key = ".".join(keys)
    where = f"{path}:{_line_of(text, keys)}" if keys else str(path)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if mistake["type"] == "extra_forbidden":
        known = _known_keys(keys[:-1])
        near = difflib.get_close_matches(keys[-1], known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(sorted(known))}"
        return f"{where}: unknown key '{key}'; {hint}{more}"
    if mistake["type"] == "missing":
        return f"{path}: '{key}' is missing; add it{more}"
    message = str(mistake["msg"]).removeprefix("Value error, ")
    # Only a plain value is repeated: a whole table could hold a password.
    value = mistake["input"]
    shown = f" = {value!r}" if isinstance(value, int | float | str) and "broker" not in key else ""
    return f"{where}: {key}{shown}: {message}{more}"


def _known_keys(table: list[str]) -> list[str]:
    model: Any = Config
    for key in table:
        model = model.model_fields[key].annotation
    return list(model.model_fields)


def _line_of(text: str, keys: list[str]) -> int:
    """The line that sets ``keys``, or the line of the deepest table around it; 1 if neither."""
    table: list[str] = []
    best, best_depth = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\s*([A-Za-z0-9_.\-]+)\s*\]", line)
        if header:
            table = header[1].split(".")
            here = table
        else:
            setting = re.match(r"\s*([A-Za-z0-9_.\-]+)\s*=", line)
            if not setting:
                continue
            here = table + setting[1].split(".")
        if here == keys[: len(here)] and len(here) > best_depth:
            best, best_depth = number, len(here)
    return best
