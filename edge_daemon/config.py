"""The configuration of a device: one TOML file, typed; every mistake told with its line.

Relative paths in the file are relative to the file, so that a configuration can be copied with
what belongs to it.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator

from edge_daemon.calibration.document import Objective, Region
from edge_daemon.contract.base import Name, StrictModel
from edge_daemon.contract.messages import CommandName
from edge_daemon.control_settings import ControlSettings
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.engines.names import EngineChoice, PrecisionChoice
from edge_daemon.engines.nvidia.build_settings import BuildSettings
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import ConfigError
from edge_daemon.http_settings import HttpSettings
from edge_daemon.update_settings import UpdateSettings
from edge_daemon.vision.quality import QualityThresholds
from edge_daemon.vision.slide import SlideThresholds

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Settings = TypeVar("_Settings", bound=StrictModel)

ENVIRONMENT = "LEUKO_EDGE__"
"""What variables of the environment begin with that take the place of keys in the file."""

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
    """Folder of the bundle. When not given, the one that was activated by command; before that, the
    one that comes with the product."""
    store: Path = Path("bundles")
    """Where bundles are staged to be activated by command."""
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


class LabelSettings(StrictModel):
    """How the label that the camera sees begins a slide, where ``start`` is ``by_label``."""

    barcodes: bool = False
    """Read EAN-13 beside QR codes. Only where labels have no other linear code: of Code 128 and
    Code 39, which it does not know, OpenCV makes wrong EAN numbers."""
    pattern: str | None = Field(default=None, max_length=500)
    """Regular expression for the whole text of a label; what does not match begins nothing."""
    read_same: int = Field(default=3, ge=1, le=100)
    """Times that a label must be read the same before it means anything."""
    per_second: float = Field(default=4.0, gt=0, le=100)
    """Frames of a camera that are looked at for a label."""
    on_other: Literal["warn", "finish_and_begin"] = "warn"
    """What another label means while a slide is under way: only tell the operator, or finish that
    slide and begin the next."""

    @field_validator("pattern")
    @classmethod
    def _is_expression(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class SlideSettings(StrictModel):
    """What a slide is called and which counts mean what."""

    start: Literal["at_once", "on_command", "by_label"] = "at_once"
    """Whether a slide begins with the daemon, when a command says so, or when the camera sees its
    label (and when a command says so)."""
    resume: bool = True
    """Go on with the slide that was under way when the daemon was cut off."""
    name: Name | None = None
    """Name of the slide that begins at once; a name from date and time when not given."""
    operator: Name | None = None
    """Pseudonym of who is at the microscope, unless the command that begins a slide names one."""
    label: LabelSettings = LabelSettings()
    thresholds: SlideThresholds = SlideThresholds()


class OutboxSettings(StrictModel):
    """Where undelivered results wait."""

    path: Path = Path("leuko-edge-outbox.db")
    budget_mb: int = Field(default=256, ge=1)
    """Over it the oldest pictures of cells are given up, then results without suspicious cells."""
    keep_free_mb: int = Field(default=64, ge=1)
    """The same where the disk has less than this left; said from twice as much on."""


class LedgerSettings(StrictModel):
    """What is remembered of slides that have ended: ``leuko-edge ledger``."""

    keep_slides: int = Field(default=5000, ge=1, le=1_000_000)
    """The oldest are forgotten, with their names: about 3 kB a slide."""


class RecordSettings(StrictModel):
    """Slides written down, to be gone through again: ``leuko-edge reproduce``."""

    folder: Path | None = None
    """Folder of recordings, one folder a slide; nothing is recorded when not given. Pictures of
    patients' cells: protect it as such."""
    pictures: Literal["png", "digests"] = "png"
    """Pictures pixel for pixel (0.5 MB a frame of 640 x 480), or their digests alone."""


class CommandSettings(StrictModel):
    """Which commands this device takes, and how many."""

    allow: tuple[CommandName, ...] = (
        "slide-start",
        "slide-pause",
        "slide-resume",
        "slide-finish",
        "slide-abort",
        "bundle-activate",
        "bundle-shadow",
        "config-reload",
        "control-run",
        "status",
    )
    """Others are refused. ``bundle-stage`` reads a folder of this machine: allow it where whoever
    commands may choose that folder; ``control-accept`` says from now on what is expected of a
    control."""
    per_minute: int = Field(default=60, ge=1)
    """More are refused, and not answered each."""


class LocalSettings(StrictModel):
    """Commands of people on this machine: ``leuko-edge slide`` and ``leuko-edge command``."""

    enabled: bool = True
    socket: Path | None = None
    """Unix domain socket for the daemon's user and group; beside the outbox, with the ending
    ``.sock``, when not given."""


class Config(StrictModel):
    """Everything ``leuko-edge run`` needs to know."""

    source: SourceSettings
    broker: BrokerSettings
    device: DeviceSettings = DeviceSettings()
    models: ModelSettings = ModelSettings()
    outbox: OutboxSettings = OutboxSettings()
    quality: QualityThresholds = QualityThresholds()
    slide: SlideSettings = SlideSettings()
    commands: CommandSettings = CommandSettings()
    ledger: LedgerSettings = LedgerSettings()
    record: RecordSettings = RecordSettings()
    http: HttpSettings = HttpSettings()
    local: LocalSettings = LocalSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    control: ControlSettings = ControlSettings()
    update: UpdateSettings = UpdateSettings()
    health_every_s: float = Field(default=10.0, gt=0)
    """How often the device reports its health."""

    @property
    def local_socket(self) -> Path:
        """Where people on this machine ask the daemon."""
        return self.local.socket or self.outbox.path.with_suffix(".sock")


def load_config(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read a configuration file; what ``environment`` says goes before it.

    Variables are named :data:`ENVIRONMENT` and the keys, with ``__`` between them:
    ``LEUKO_EDGE__BROKER__URL``. Values are written as in TOML; plain text needs no quotes. Those of
    the process are taken when None.

    Raises:
        ConfigError: one line with file, line number, key, what is wrong and what to do.
    """
    text = _read(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}; mend that line") from None
    given = _from_environment(os.environ if environment is None else environment)
    for keys, value in given.items():
        _put(content, keys, value)
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_first_mistake(path, text, error, given)) from None
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


def _from_environment(environment: Mapping[str, str]) -> dict[tuple[str, ...], Any]:
    given: dict[tuple[str, ...], Any] = {}
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT):
            keys = tuple(name.removeprefix(ENVIRONMENT).lower().split("__"))
            try:
                given[keys] = tomllib.loads(f"value = {text}")["value"]
            except tomllib.TOMLDecodeError:
                given[keys] = text
    return given


def _put(content: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    table = content
    for key in keys[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{variable_of(keys)}: '{key}' is no table; check its name")
        table = inner
    table[keys[-1]] = value


def variable_of(keys: Sequence[str]) -> str:
    """The variable of the environment that sets a key."""
    return ENVIRONMENT + "__".join(keys).upper()


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    def beside(settings: _Settings, *names: str) -> _Settings:
        paths = {name: getattr(settings, name) for name in names}
        return settings.model_copy(
            update={name: folder / path for name, path in paths.items() if path is not None}
        )

    return config.model_copy(
        update={
            "outbox": beside(config.outbox, "path"),
            "record": beside(config.record, "folder"),
            "calibration": beside(config.calibration, "file"),
            "control": _control_beside(beside(config.control, "expected"), folder),
            "local": beside(config.local, "socket"),
            "update": _update_beside(
                beside(config.update, "state", "desired_file", "versions"), folder
            ),
            "models": beside(config.models, "bundle", "store", "engine_cache"),
            "broker": beside(config.broker, "ca_file", "cert_file", "key_file"),
        }
    )


def _control_beside(control: ControlSettings, folder: Path) -> ControlSettings:
    """Its source too, where it is a path and no address."""
    if control.source is None or "://" in control.source:
        return control
    return control.model_copy(update={"source": str(folder / Path(control.source).expanduser())})


def _update_beside(update: UpdateSettings, folder: Path) -> UpdateSettings:
    """Its repository too, where it is a path and no address."""
    if update.repository is None or "://" in update.repository:
        return update
    place = folder / Path(update.repository).expanduser()
    return update.model_copy(update={"repository": str(place)})


def _first_mistake(
    path: Path, text: str, error: ValidationError, given: Mapping[tuple[str, ...], Any]
) -> str:
    # A misspelt key is the cause where the right one is then missing.
    mistake = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    keys = [str(part) for part in mistake["loc"] if isinstance(part, str)]
    key = ".".join(keys)
    where = f"{path}:{_line_of(text, keys)}" if keys else str(path)
    if any(tuple(keys[: len(one)]) == one for one in given):
        where = variable_of(keys)
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
    secret = keys[:1] == ["broker"] or keys[-1:] in (["token"], ["repository"])
    shown = f" = {value!r}" if isinstance(value, int | float | str) and not secret else ""
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
