"""The rollout file: what it brings, to which devices, in which waves, and what must hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationError, model_validator

from deploy.rollout.errors import RolloutError
from edge_daemon.contract.base import Fraction, Name, StrictModel
from edge_daemon.contract.target import DAEMON_NAME, Release, release_order

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GateName: TypeAlias = Literal[
    "ready", "trial", "shadow", "errors", "throughput", "temperature", "control"
]
DeviceName: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
]
Seconds: TypeAlias = Annotated[float, Field(ge=0.0, le=366 * 86400.0)]
_DAY_S = 86400.0


class BundleWanted(StrictModel):
    """Which bundle, and the way back."""

    name: Name
    version: Release
    back_to: Release | Literal["none"]
    """Version that holds the old content, higher than ``version``: a device never goes down a
    version. ``none``: there is no way back, and devices that have it keep it."""

    @model_validator(mode="after")
    def _back_is_higher(self) -> BundleWanted:
        back, version = self.back_to, self.version
        if back != "none" and release_order(back) <= release_order(version):
            raise ValueError(
                f"back_to {back} is not higher than {version}: a device never goes down a version "
                "(leuko-deploy repo add OLD-BUNDLE --as-version)"
            )
        return self

    def label(self, version: str) -> str:
        """A version of it, for people."""
        return f"{self.name}-{version}"


class DaemonWanted(StrictModel):
    """Which version of the daemon, and the way back."""

    version: Release
    back_to: Release | Literal["none"]
    """Version that was built from the old source, higher than ``version``: a device never goes
    down a version. ``none``: there is no way back, and devices that kept it keep it."""

    @property
    def name(self) -> str:
        """As the repository names it."""
        return DAEMON_NAME

    @model_validator(mode="after")
    def _back_is_higher(self) -> DaemonWanted:
        back, version = self.back_to, self.version
        if back != "none" and release_order(back) <= release_order(version):
            raise ValueError(
                f"back_to {back} is not higher than {version}: a device never goes down a version "
                "(build the old source as a higher one)"
            )
        return self

    def label(self, version: str) -> str:
        """A version of it, for people."""
        return f"daemon {version}"


class DevicesChosen(StrictModel):
    """Which devices."""

    sites: tuple[Name, ...] = ()
    names: tuple[DeviceName, ...] = ()
    """``SITE/DEVICE``, beside those of the sites."""
    all: bool = False
    """Every device that is enrolled."""
    exclude: tuple[DeviceName, ...] = ()
    offline: Literal["leave_out", "order"] = "leave_out"
    """Of devices that are not there when the plan is made: ``order`` gives them their order with
    their wave, which waits for them."""

    @model_validator(mode="after")
    def _names_some(self) -> DevicesChosen:
        if not (self.all or self.sites or self.names):
            raise ValueError("names no device: give sites, names, or all = true")
        return self


class WaveWanted(StrictModel):
    """Devices that are ordered together. Exactly one of the first five says which."""

    devices: tuple[DeviceName, ...] = ()
    count: Annotated[int, Field(ge=1)] | None = None
    """So many more."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """As many more as make this share of all devices of the rollout, earlier waves counted."""
    sites: tuple[Name, ...] = ()
    """What is left of these sites."""
    by_site: bool = False
    """What is left, one wave for each site."""
    look_on: bool = False
    """The bundle first looks on as a candidate, and is used when its judgements are close."""
    soak_s: Seconds = 3600.0
    """How long each device must have been well before the next wave begins."""

    @model_validator(mode="after")
    def _says_which(self) -> WaveWanted:
        chosen = (self.devices, self.count, self.share, self.sites, self.by_site)
        if sum(bool(one) for one in chosen) != 1:
            raise ValueError("say which devices by one of devices, count, share, sites, by_site")
        return self


class Gates(StrictModel):
    """What must hold on a device, judged by what it reports."""

    off: tuple[Literal["shadow", "errors", "throughput", "temperature", "control"], ...] = ()
    """Gates that are not asked; that a device is ready, and did not fail its trial, always is."""
    ready_within_s: Seconds = 1800.0
    """A device that has the new bundle and is not online for so long stops the rollout."""
    min_frames: Annotated[int, Field(ge=0)] = 100
    """Frames that must have been screened with the new bundle before anything is said of errors
    and throughput; 0 does not wait for any."""
    most_errors: Fraction = 0.02
    """Share of frames that failed or were dropped."""
    least_throughput: Fraction = 0.8
    """Frames per second, as a share of those before."""
    hottest_c: float = 95.0
    control: Literal["if_run", "required"] = "if_run"
    """Whether a control must have passed with the new bundle, or only must not have failed."""
    min_cells: Annotated[int, Field(ge=1)] = 200
    """Cells that a candidate must have judged before anything is said of its disagreement."""
    most_disagreement: Fraction = 0.05
    """Share of those cells of which it says something else, or that only one of both finds."""


def _careful(*, look_on: bool) -> tuple[WaveWanted, ...]:
    return (
        WaveWanted(count=1, look_on=look_on, soak_s=_DAY_S),
        WaveWanted(share=0.25, soak_s=_DAY_S),
        WaveWanted(share=1.0),
    )


class Rollout(StrictModel):
    """The whole file."""

    name: Name
    """Of the rollout, in its journal and in the registry."""
    repository: Annotated[str, Field(min_length=1)]
    """Folder or address of the signed repository that the devices use."""
    root: Path | None = None
    """The root that devices pin; the first one of a repository in a folder."""
    bundle: BundleWanted | None = None
    daemon: DaemonWanted | None = None
    """In the place of ``bundle``."""
    devices: DevicesChosen
    waves: Annotated[tuple[WaveWanted, ...], Field(min_length=1)] = _careful(look_on=True)
    """One device, at which a bundle first looks on; a quarter; all."""
    enough: Annotated[float, Field(gt=0.0, le=1.0)] = 0.75
    """Share of a wave that must be well before the next one; the others may be away."""
    patience_s: Seconds = 7 * _DAY_S
    """After so long without enough of a wave the rollout is paused, and a person has to look."""
    undo: Literal["by_itself", "by_hand"] = "by_itself"
    """What becomes of devices already updated when a gate stops the rollout."""
    gates: Gates = Gates()

    @property
    def wanted(self) -> BundleWanted | DaemonWanted:
        """What it brings."""
        wanted = self.bundle or self.daemon
        assert wanted is not None  # noqa: S101 - as checked when it was read
        return wanted

    @model_validator(mode="before")
    @classmethod
    def _no_daemon_looks_on(cls, table: Any) -> Any:
        if isinstance(table, dict) and "daemon" in table and "waves" not in table:
            return {**table, "waves": _careful(look_on=False)}
        return table

    @model_validator(mode="after")
    def _brings_one_thing(self) -> Rollout:
        if (self.bundle is None) == (self.daemon is None):
            raise ValueError("say what it brings by one of [bundle] and [daemon]")
        if self.daemon is not None and any(wave.look_on for wave in self.waves):
            raise ValueError("look_on is for bundles: no second daemon can look on")
        return self


def read_rollout(file: Path) -> Rollout:
    """The rollout that a file describes; its relative paths are beside the file.

    Raises:
        RolloutError: a line for each fault.
    """
    try:
        table: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
        read = Rollout.model_validate(table)
    except OSError as error:
        raise RolloutError(f"cannot read {file}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RolloutError(f"{file} is no TOML: {error}") from None
    except ValidationError as error:
        raise RolloutError("\n".join(_lines(file, error))) from None
    changes: dict[str, Any] = {}
    if "://" not in read.repository:
        changes["repository"] = str(file.parent / read.repository)
    if read.root is not None:
        changes["root"] = file.parent / read.root
    return read.model_copy(update=changes)


def _lines(file: Path, error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        where = ".".join(
            str(step) for step in fault["loc"] if not str(step).startswith(("constr", "literal"))
        )
        what = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            what = "there is no such setting"
        lines.append(f"{file}: {where or 'all of it'}: {what}")
    return lines
