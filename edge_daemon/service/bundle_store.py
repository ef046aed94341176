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
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edge_daemon.contract.bundle import Bundle, load_bundle
from edge_daemon.contract.envelope import as_reason
from edge_daemon.errors import BundleError
from edge_daemon.whole_files import to_disk, write_whole

STATE = "active.json"
MOST_SHADOW_STARTS = 3
"""So often may the daemon start with a candidate in shadow that has not proven itself, and end
without a word: a fault in a driver takes the process with it, and screening as well."""

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
    shadow: str | None = None
    """Candidate that sees the same frames and changes no result."""
    shadow_starts: int = 0
    """Starts with it since it has proven itself."""
    shadow_fault: str | None = None
    """Why the last candidate is not in shadow any more."""


def active_in(folder: Path) -> Path | None:
    """Folder of the bundle that is active in a store, for who only looks; None: what ships.

    Raises:
        BundleError: its state cannot be read.
    """
    label = _read(folder).active
    return None if label is None else folder / label


class BundleStore:
    """A folder of bundles, and which one is active."""

    def __init__(self, folder: Path) -> None:
        """Open the store; a trial that did not come to its end is over.

        Raises:
            BundleError: the folder cannot be used, or its state cannot be read.
        """
        self.folder = folder
        self._state = _read(folder)
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
        state = replace(self._state, active=tried, previous=self._state.active)
        if state.shadow == tried:  # what is active is no candidate
            state = replace(state, shadow=None, shadow_starts=0)
        self._write(replace(state, trying=None, fault=None))

    def roll_back(self, fault: str) -> None:
        """What was tried is not good; the active one stays."""
        label = self._state.trying
        self._write(replace(self._state, trying=None, fault=as_reason(f"{label}: {fault}")))

    def put_into_shadow(self, label: str | None) -> None:
        """A staged bundle is the candidate from now on, at every start; None: there is none.

        Raises:
            BundleError: it is not staged, or the state cannot be written.
        """
        if label is not None:
            self.path(label)
        self._write(replace(self._state, shadow=label, shadow_starts=0, shadow_fault=None))

    def start_shadow(self) -> Path | None:
        """The daemon starts; folder of the candidate to open, None when there is none.

        Raises:
            BundleError: it is not staged any more, or never came through; or the state cannot be
                written.
        """
        label = self._state.shadow
        if label is None:
            return None
        if self._state.shadow_starts >= MOST_SHADOW_STARTS:
            raise BundleError(
                f"the daemon ended {MOST_SHADOW_STARTS} times while {label} was in shadow; put it "
                "there again with bundle-shadow if something else was the cause"
            )
        path = self.path(label)
        self._write(replace(self._state, shadow_starts=self._state.shadow_starts + 1))
        return path

    def prove_shadow(self) -> None:
        """The candidate has come through a good while: starts are counted anew."""
        if self._state.shadow_starts:
            self._write(replace(self._state, shadow_starts=0))

    def refuse_shadow(self, label: str, fault: str) -> None:
        """A bundle that should look on is no good; whoever looks on already stays.

        Raises:
            BundleError: the state cannot be written.
        """
        self._write(replace(self._state, shadow_fault=as_reason(f"{label}: {fault}")))

    def put_shadow_aside(self, fault: str) -> None:
        """The candidate is no good: there is none from now on."""
        self._write(
            replace(self._state, shadow=None, shadow_starts=0, shadow_fault=as_reason(fault))
        )

    def prune(self, keep: Collection[str] = ()) -> list[str]:
        """Delete bundles that are neither active nor previous nor in shadow nor in ``keep``.

        Returns:
            What is gone.
        """
        state = self._state
        kept = {state.active, state.previous, state.trying, state.shadow, *keep}
        gone = [label for label in self.staged() if label not in kept]
        for label in gone:
            shutil.rmtree(self.folder / label, ignore_errors=True)
        return gone

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


def _read(folder: Path) -> BundleState:
    file = folder / STATE
    try:
        return BundleState(**json.loads(file.read_bytes()))
    except FileNotFoundError:
        return BundleState()
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(
            f"{file} cannot be read ({error}); delete it to go back to the bundle that ships"
        ) from None
