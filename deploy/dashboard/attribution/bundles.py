"""Where the bundles of the devices lie on this machine, found by the digest that messages carry.

Folders are looked into each time something is asked for: a bundle that was copied there since the
start is found without one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.dashboard.attribution.errors import AttributionError
from edge_daemon.contract.bundle import MANIFEST
from edge_daemon.errors import ConfigError

_MOST_BYTES = 4 << 20  # no manifest is larger, see edge_daemon.contract.bundle


@dataclass(frozen=True)
class Here:
    """A bundle on this machine, its files still to be verified."""

    folder: Path
    label: str
    digest: str


class Bundles:
    """Folders of bundles, and folders that are bundles themselves."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Raises :class:`ConfigError` for one that is no folder."""
        for folder in folders:
            if not folder.is_dir():
                raise ConfigError(
                    f"--bundles {folder} is no folder: name one of bundles, or a bundle"
                )
        self._folders = tuple(folders)

    def find(self, digest: str | None, name: str | None) -> Path:
        """The folder of the bundle with that digest.

        Args:
            digest: ``sha256:<hex>``, as a message said; None where it said none.
            name: name and version, where they are known, for the words.

        Raises:
            AttributionError: it is not here; the line says which one, and what to do.
        """
        if digest is None:
            raise AttributionError(
                "the device did not say which bundle judged this cell: it cannot be asked again"
            )
        here = list(self._here())
        for one in here:
            if one.digest == digest:
                return one.folder
        if name is not None and any(one.label == name for one in here):
            raise AttributionError(
                f"the bundle {name} that is here is another one than judged this cell "
                f"({_short(digest)}): copy the device's own into a folder that --bundles names"
            )
        raise AttributionError(
            f"the bundle {name or 'of unknown name'} ({_short(digest)}), which judged this cell, "
            "is not on this server: copy it into a folder that --bundles names"
        )

    def _here(self) -> Iterator[Here]:
        for folder in self._folders:
            inside = [folder] if (folder / MANIFEST).is_file() else sorted(_children(folder))
            for one in inside:
                found = _read(one)
                if found is not None:
                    yield found


def _children(folder: Path) -> list[Path]:
    try:
        return [one for one in folder.iterdir() if (one / MANIFEST).is_file()]
    except OSError:  # gone since, or not ours to read: nothing is here then
        return []


def _read(folder: Path) -> Here | None:
    try:
        with (folder / MANIFEST).open("rb") as file:
            text = file.read(_MOST_BYTES)
        said = json.loads(text)
        label = f"{said['name']}-{said['version']}"
    except (OSError, ValueError, TypeError, KeyError):
        return None  # half copied, or no manifest: whoever needs it is told that it is not here
    return Here(folder, label, f"sha256:{hashlib.sha256(text).hexdigest()}")


def _short(digest: str) -> str:
    return digest[: len("sha256:") + 12]
