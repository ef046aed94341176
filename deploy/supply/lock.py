"""A lock of requirements, as `make lock` writes it: versions, digests, markers, who asks for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import InvalidMarker, Marker

from edge_daemon.errors import ConfigError

_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)(?: *; *([^\\]*))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_ASKED_BY = re.compile(r"^ {4}# +(?:via +)?([A-Za-z0-9][\w.-]*)(?: \(.*\))?$")


@dataclass(frozen=True)
class Pin:
    """One release."""

    name: str
    version: str
    marker: Marker | None
    """Where it is installed; None: everywhere."""
    sha256: tuple[str, ...]
    """Of each file of the release that may be installed."""
    asked_by: tuple[str, ...]
    """Names of the packages that need it; ``leukoedge`` for the project itself."""

    def applies(self, python: str, platform: str = "linux") -> bool:
        """Whether it is installed with this Python, such as 3.10, on this ``sys_platform``."""
        if self.marker is None:
            return True
        where = {"python_version": python, "python_full_version": f"{python}.0"}
        return self.marker.evaluate({**where, "sys_platform": platform})


def read_lock(path: Path) -> list[Pin]:
    """Every release in it, in the order of the file.

    Raises:
        ConfigError: it cannot be read, or a release in it has no digest.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"lock {path} cannot be read: {error}") from None
    pins = []
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text):
        found = _PIN.match(entry)
        if found is None:
            if entry.lstrip().startswith("#"):  # the head of the file
                continue
            first = entry.strip().split("\n")[0][:80]
            raise ConfigError(f"lock {path}: {first!r} is no pinned release: run `make lock`")
        name, version, marker = found.groups()
        digests = tuple(_HASH.findall(entry))
        if not digests:
            raise ConfigError(f"lock {path}: {name} {version} has no digest: run `make lock`")
        asked_by = [_ASKED_BY.match(line) for line in entry.split("\n")]
        try:
            where = Marker(marker.strip()) if marker and marker.strip() else None
        except InvalidMarker as error:
            raise ConfigError(f"lock {path}: {name}: {error}") from None
        names = tuple(one.group(1) for one in asked_by if one is not None and one.group(1) != "via")
        pins.append(Pin(name, version, where, digests, names))
    if not pins:
        raise ConfigError(f"lock {path} pins nothing")
    return pins
