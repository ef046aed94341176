"""What a ``sim://`` address may say: every parameter with its limits, read without guessing.

A parameter that is misspelt must not silently give another slide, so unknown names, repeated
names and values out of range are refused in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Literal, TypeAlias, get_args
from urllib.parse import unquote

from edge_daemon.errors import SourceError

Scale: TypeAlias = Literal["known", "unknown"]
Stage: TypeAlias = Literal["reported", "none"]
Target: TypeAlias = Literal["smear", "blank", "micrometer"]
Split: TypeAlias = Literal["all", "train", "val"]


@dataclass(frozen=True)
class SimulatedSettings:
    """One simulated microscope and its slide; see :mod:`edge_daemon.sources.simulated`."""

    seed: int = 7
    fields: int = 60
    overlap: float = 0.3
    red: float = 17.0
    white: float = 1.2
    platelets: float = 1.6
    blasts: float = 0.2
    width: int = 640
    height: int = 480
    um_per_px: float = 0.075
    scale: Scale = "known"
    stage: Stage = "reported"
    jitter: float = 1.5
    backlash: float = 4.0
    focus: float = 0.5
    vignetting: float = 0.12
    noise: float = 2.5
    stain: float = 0.3
    defects: float = 0.0
    fps: float = 0.0
    visible: float = 0.5
    cells: str = ""
    backgrounds: str = ""
    split: Split = "all"
    target: Target = "smear"
    pitch: float = 10.0
    angle: float = 0.0
    sweep: float = 0.0
    motion: float = 0.0
    cast: float = 0.0
    tear: float = 0.0
    freeze: int = 0
    unplug: int = 0
    outage: float = 3.0
    jumps: int = 0
    drift: float = 0.0

    @property
    def has_camera_faults(self) -> bool:
        """The camera fails, and not only the slide, the stage and the optics."""
        return bool(self.tear or self.freeze or self.unplug)

    @property
    def real_pixels(self) -> bool:
        """Cells and background come from folders, not from the renderer."""
        return bool(self.cells)


_LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "fields": (1, 10_000),
    "overlap": (0.0, 0.8),
    "red": (0.0, 60.0),
    "white": (0.0, 8.0),
    "platelets": (0.0, 60.0),
    "blasts": (0.0, 1.0),
    "width": (64, 4096),
    "height": (64, 4096),
    "um_per_px": (0.03, 0.5),
    "jitter": (0.0, 50.0),
    "backlash": (0.0, 50.0),
    "focus": (0.0, 10.0),
    "vignetting": (0.0, 0.9),
    "noise": (0.0, 40.0),
    "stain": (0.0, 2.0),
    "defects": (0.0, 1.0),
    "fps": (0.0, 1000.0),
    "visible": (0.05, 1.0),
    "pitch": (0.5, 1000.0),
    "angle": (-90.0, 90.0),
    "sweep": (0.0, 20.0),
    "motion": (0.0, 20.0),
    "cast": (0.0, 1.0),
    "tear": (0.0, 1.0),
    "freeze": (0, 1_000),
    "unplug": (0, 1_000),
    "outage": (0.1, 3_600.0),
    "jumps": (0, 1_000),
    "drift": (0.0, 50.0),
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "scale": get_args(Scale),
    "stage": get_args(Stage),
    "split": get_args(Split),
    "target": get_args(Target),
}

PARAMETERS: tuple[str, ...] = tuple(field.name for field in fields(SimulatedSettings))
"""Names of all parameters, in the order in which they are documented."""


def parse_settings(spec: str) -> SimulatedSettings:
    """Settings from ``sim://?name=value&...``; what is not named keeps its default.

    Raises:
        SourceError: the address is malformed, names an unknown parameter, or a value out of range.
    """
    scheme, _, rest = spec.partition("://")
    before, question, query = rest.partition("?")
    if scheme != "sim" or before.strip("/"):
        raise SourceError(
            f"{spec}: the simulated microscope is written sim://?name=value&name=value: "
            f"put every setting after the question mark"
        )
    values: dict[str, str] = {}
    for pair in query.split("&") if question and query else ():
        name, equals, value = pair.partition("=")
        name = unquote(name)
        if name not in PARAMETERS:
            raise SourceError(f"{spec}: unknown parameter {name!r}{_hint(name)}")
        if not equals:
            raise SourceError(f"{spec}: {name} has no value: write {name}=...")
        if name in values:
            raise SourceError(f"{spec}: {name} is given twice: keep one")
        values[name] = unquote(value)
    settings = SimulatedSettings(**_converted(spec, values))  # type: ignore[arg-type]
    if bool(settings.cells) != bool(settings.backgrounds):
        missing = "backgrounds" if settings.cells else "cells"
        raise SourceError(f"{spec}: real pixels need both folders: add {missing}=FOLDER")
    if settings.split != "all" and not settings.real_pixels:
        raise SourceError(f"{spec}: split chooses real cells: add cells= and backgrounds=")
    return settings


def _converted(spec: str, values: Mapping[str, str]) -> dict[str, int | float | str]:
    kinds = {field.name: type(field.default) for field in fields(SimulatedSettings)}
    converted: dict[str, int | float | str] = {}
    for name, text in values.items():
        if name in _CHOICES and text not in _CHOICES[name]:
            raise SourceError(f"{spec}: {name}={text}: give one of {', '.join(_CHOICES[name])}")
        if name not in _LIMITS:
            converted[name] = text
            continue
        low, high = _LIMITS[name]
        whole = kinds[name] is int
        try:
            number = int(text) if whole else float(text)
        except ValueError:
            what = "a whole number" if whole else "a number"
            raise SourceError(f"{spec}: {name}={text}: give {what}") from None
        if not low <= number <= high:
            raise SourceError(f"{spec}: {name}={text}: give a value from {low:g} to {high:g}")
        converted[name] = number
    return converted


def _hint(name: str) -> str:
    close = get_close_matches(name, PARAMETERS, n=1)
    meant = f", did you mean {close[0]}" if close else ""
    return f"{meant}: allowed are {', '.join(PARAMETERS)}"
