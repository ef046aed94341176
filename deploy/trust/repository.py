"""The repository as a folder of plain files, read with suspicion and written file by file.

``metadata/`` and ``targets/`` are what a web server, a share or a stick carries. No file but
``metadata/timestamp.json`` ever changes: what is new gets a new name, and nobody sees it before
``timestamp.json`` is replaced, last and as a whole. So a process that is killed, or a disk that is
full, leaves the repository as it was before, plus files that nobody looks at.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, T, TargetFile, Targets, Timestamp

from deploy.trust.errors import TrustError
from deploy.trust.keys import KeyRing
from edge_daemon.locks import FileLock
from edge_daemon.whole_files import PARTIAL_SUFFIX, write_whole

LIFETIME_DAYS = "x-leukoedge-days"
"""Field of a role in the root: how long what it signs is good for. Signed by the root keys, so
whoever publishes every day cannot make it longer."""


@dataclass(frozen=True)
class Published:
    """What devices see now."""

    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]


class Repository:
    """The folder, and what is known of it."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.folder = folder
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self.draft = self.targets / "adding"
        """Where something new is made, so that it can be renamed into its place."""

    def root(self) -> Metadata[Root]:
        """The newest root, vouched for by every one before it.

        Raises:
            TrustError: there is none, or the chain is broken.
        """
        if not self.metadata.is_dir():
            raise TrustError(
                f"{self.folder} is no repository; make one with leuko-deploy repo init"
            )
        previous: Metadata[Root] | None = None
        for version in range(1, self.newest(Root) + 1):
            file = self.metadata / f"{version}.root.json"
            root = _read(file, Root)
            before = None if previous is None else previous.signed
            try:
                proof = root.signed.get_root_verification_result(
                    before, root.signed_bytes, root.signatures
                )
            except ValueError as error:
                raise _damaged(file, error) from None
            if not proof or root.signed.version != version:
                raise TrustError(
                    f"{file} is not signed as root {max(version - 1, 1)} asks; use a whole copy"
                )
            previous = root
        if previous is None:
            raise TrustError(
                f"{self.metadata} has no 1.root.json: copied halfway? use a whole copy"
            )
        return previous

    def newest(self, role: type[Signed]) -> int:
        """The highest version of a role that lies there, published or not; 0 when none does."""
        pattern = re.compile(rf"([1-9]\d*)\.{role.type}\.json")
        found = (pattern.fullmatch(file.name) for file in self.metadata.glob("*.json"))
        return max((int(match.group(1)) for match in found if match), default=0)

    def newest_targets(self, root: Root) -> Metadata[Targets]:
        """The newest list of targets, published or not.

        Raises:
            TrustError: it is damaged, or not signed as ``root`` asks.
        """
        file = self.metadata / f"{self.newest(Targets)}.targets.json"
        return _verified(_read(file, Targets), root, file)

    def published(self, root: Root) -> Published:
        """What devices see, as a device would verify it.

        Raises:
            TrustError: the folder is not whole, or not signed as ``root`` asks.
        """
        file = self.metadata / "timestamp.json"
        timestamp = _verified(_read(file, Timestamp), root, file)
        file = self.metadata / f"{timestamp.signed.snapshot_meta.version}.snapshot.json"
        snapshot = _verified(_read(file, Snapshot), root, file)
        file = self.metadata / f"{snapshot.signed.meta['targets.json'].version}.targets.json"
        return Published(timestamp, snapshot, _verified(_read(file, Targets), root, file))

    def place_of(self, target: TargetFile) -> Path:
        """Where the bytes of a target lie: their digest is part of the name."""
        folder, _, name = target.path.rpartition("/")
        return self.targets / folder / f"{target.hashes['sha256']}.{name}"

    def write(self, signed: Metadata[T]) -> None:
        """Put a new version there. Nobody looks at it before a timestamp leads to it.

        Raises:
            TrustError: the disk refuses; nothing has changed for devices.
        """
        role = signed.signed.type
        name = f"{role}.json" if role == Timestamp.type else f"{signed.signed.version}.{role}.json"
        with writing(self.metadata / name):
            write_whole(self.metadata / name, signed.to_bytes())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes the repository meanwhile; what a killed process left is swept up.

        Raises:
            TrustError: somebody does, or the folder cannot be written.
        """
        try:
            lock = FileLock(self.folder / ".lock")
        except BlockingIOError:
            raise TrustError(
                f"another leuko-deploy is at work in {self.folder}; wait for it"
            ) from None
        except OSError as error:
            raise TrustError(f"cannot work in {self.folder}: {error.strerror}") from None
        try:
            with writing(self.folder):
                shutil.rmtree(self.draft, ignore_errors=True)
                for partial in self.folder.rglob(f"*{PARTIAL_SUFFIX}"):
                    partial.unlink()
            yield
        finally:
            lock.release()


def sign(signed: T, role: str, root: Root, ring: KeyRing, now: datetime) -> Metadata[T]:
    """Metadata that is good from now on for as long as the root says, signed by its role's key.

    Of several keys (while one is exchanged) the newest at hand signs.

    Raises:
        TrustError: none of the keys is at hand.
    """
    keyids = list(reversed(root.roles[role].keyids))
    at_hand = [keyid for keyid in keyids if ring.find(role, keyid) is not None]
    if not at_hand:
        raise ring.missing(role, keyids)
    signed.expires = now + lifetime(root, role)
    document = Metadata(signed)
    document.sign(ring.signer(role, root.keys[at_hand[0]]))
    return document


def lifetime(root: Root, role: str) -> timedelta:
    """How long what a role signs is good for.

    Raises:
        TrustError: the root does not say; it was made by another tool.
    """
    days = root.roles[role].unrecognized_fields.get(LIFETIME_DAYS)
    if not isinstance(days, int) or days < 1:
        raise TrustError(
            f"the root does not say how long a {role} is good for: another tool's root"
        )
    return timedelta(days=days)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """An error of the disk is one line. Raises :class:`TrustError`."""
    try:
        yield
    except OSError as error:
        raise TrustError(
            f"cannot write {place}: {error.strerror}; for devices nothing has changed"
        ) from None


def _read(file: Path, role: Callable[..., T]) -> Metadata[T]:
    try:
        document: Metadata[T] = Metadata[T].from_bytes(file.read_bytes())
    except FileNotFoundError:
        raise TrustError(f"{file} is missing: copied halfway? use a whole copy") from None
    except OSError as error:
        raise TrustError(f"cannot read {file}: {error.strerror}") from None
    except RepositoryError as error:
        raise _damaged(file, error) from None
    if type(document.signed) is not role:
        raise _damaged(file, ValueError(f"it is a {document.signed.type}"))
    return document


def _verified(document: Metadata[T], root: Root, file: Path) -> Metadata[T]:
    try:
        root.verify_delegate(document.signed.type, document.signed_bytes, document.signatures)
    except (RepositoryError, ValueError) as error:
        raise _damaged(file, error) from None
    return document


def _damaged(file: Path, error: Exception) -> TrustError:
    why = str(error).partition("\n")[0]
    return TrustError(f"{file} is damaged or altered ({why}); use a whole copy of the repository")
