"""Bundles on this device: staged, tried, committed or rolled back, whatever happens in between.

One small file says which bundle is active and which one is being tried. It is replaced as a whole,
so that a power cut at any moment leaves one state or the next. A bundle that is being tried is not
the active one yet: a process that dies with it, in a segmentation fault of a driver or for want of
power, starts again with the bundle that was good.
"""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edge_daemon.contract.bundle import Bundle, load_bundle
from edge_daemon.errors import BundleError
from edge_daemon.whole_files import to_disk, write_whole

STATE = "active.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BundleState:
    """What is written down. Labels are names of folders in the store; None is what ships."""

    active: str | None = None
    previous: str | None = None
    """Active before; where a person may go back to."""
    trying: str | None = None
    """Opened to be proven, and not committed."""
    fault: str | None = None
    """Why the last one that was tried is not the active one."""


class BundleStore:
    """A folder of bundles, and which one is active."""

    def __init__(self, folder: Path) -> None:
        """Open the store; a trial that did not come to its end is over.

        Raises:
            BundleError: the folder cannot be used, or its state cannot be read.
        """
        self.folder = folder
        self._state = self._read()
        if self._state.trying is not None:
            log.warning("bundle %s was being tried when the daemon ended", self._state.trying)
            self.roll_back("the daemon ended while it was being tried")

    @property
    def state(self) -> BundleState:
        """Which bundle is active, and what became of the last that was tried."""
        return self._state

    def path(self, label: str) -> Path:
        """Folder of a staged bundle.

        Raises:
            BundleError: it is not staged.
        """
        path = self.folder / label
        if "/" in label or label.startswith(".") or not path.is_dir():
            staged = ", ".join(self.staged()) or "none"
            raise BundleError(f"bundle {label[:80]!r} is not staged here; staged are: {staged}")
        return path

    def staged(self) -> list[str]:
        """Labels of the bundles in the store."""
        try:
            return sorted(p.parent.name for p in self.folder.glob("[!.]*/bundle.json"))
        except OSError:
            return []

    def active(self) -> Path | None:
        """Folder of the active bundle; None when it is the one that ships."""
        return None if self._state.active is None else self.path(self._state.active)

    def stage(self, source: Path) -> Bundle:
        """Copy a bundle into the store, verified to the last byte; nothing is active because of it.

        Raises:
            BundleError: it is not a sound bundle, or cannot be copied; nothing of it is left.
        """
        bundle = load_bundle(source)
        place = self.folder / bundle.label
        if place.exists():
            there = load_bundle(place)
            if there.digest == bundle.digest:
                return there
            raise BundleError(
                f"another bundle {bundle.label} is staged ({there.digest[:19]}...): a published "
                "version never changes; give this one another version"
            )
        draft = self.folder / f".{bundle.label}.{uuid.uuid4().hex[:8]}"
        try:
            draft.mkdir(parents=True)
            for name in (*bundle.manifest.files, "bundle.json"):
                shutil.copyfile(source / name, draft / name)
                to_disk(draft / name)
            load_bundle(draft)  # what was written, not what was read
            to_disk(draft)
            draft.rename(place)
            to_disk(self.folder)
        except OSError as error:
            raise BundleError(
                f"cannot stage {bundle.label} into {self.folder}: {error.strerror}; make room, and "
                "stage it again"
            ) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return load_bundle(place)

    def begin(self, label: str) -> Path:
        """A staged bundle is going to be tried; its folder.

        Raises:
            BundleError: it is not staged, or the state cannot be written.
        """
        path = self.path(label)
        self._write(replace(self._state, trying=label, fault=None))
        return path

    def commit(self) -> None:
        """What was tried is good: it is the active one from now on, at every start.

        Raises:
            BundleError: the state cannot be written; the one before is still active.
        """
        tried = self._state.trying
        if tried is None:
            raise BundleError("no bundle is being tried")
        self._write(BundleState(active=tried, previous=self._state.active))

    def roll_back(self, fault: str) -> None:
        """What was tried is not good; the active one stays."""
        label = self._state.trying
        self._write(replace(self._state, trying=None, fault=f"{label}: {fault}"[:500]))

    def prune(self) -> list[str]:
        """Delete bundles that are neither active nor previous; what is gone."""
        keep = {self._state.active, self._state.previous, self._state.trying}
        gone = [label for label in self.staged() if label not in keep]
        for label in gone:
            shutil.rmtree(self.folder / label, ignore_errors=True)
        return gone

    def _read(self) -> BundleState:
        file = self.folder / STATE
        try:
            return BundleState(**json.loads(file.read_bytes()))
        except FileNotFoundError:
            return BundleState()
        except (OSError, ValueError, TypeError) as error:
            raise BundleError(
                f"{file} cannot be read ({error}); delete it to go back to the bundle that ships"
            ) from None

    def _write(self, state: BundleState) -> None:
        text = json.dumps(asdict(state), indent=1) + "\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / STATE, text.encode())
        except OSError as error:
            raise BundleError(
                f"cannot write {self.folder / STATE}: {error.strerror}; nothing has changed"
            ) from None
        self._state = state
