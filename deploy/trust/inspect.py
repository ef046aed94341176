"""What a repository says of itself, and what a device would say of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from tuf.api.metadata import Root, Signed, Targets

from deploy.trust.errors import TrustError
from deploy.trust.keys import ROLES, key_file_name
from deploy.trust.repository import Repository
from edge_daemon.contract.target import TargetAbout
from edge_daemon.update.trust import TrustedRepository, provision


@dataclass(frozen=True)
class RoleStanding:
    """One role of the repository, as devices see it."""

    role: str
    version: int
    expires: datetime
    threshold: int
    keys: tuple[str, ...]
    """Names of the files of its private keys."""


@dataclass(frozen=True)
class Listed:
    """One target."""

    path: str
    bytes: int
    published: bool
    about: TargetAbout


@dataclass(frozen=True)
class Standing:
    """All of it."""

    roles: tuple[RoleStanding, ...]
    targets: tuple[Listed, ...]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        roles = [{**asdict(role), "expires": role.expires.isoformat()} for role in self.roles]
        targets = [
            {
                "path": one.path,
                "bytes": one.bytes,
                "published": one.published,
                **one.about.model_dump(mode="json", by_alias=True, exclude_none=True),
            }
            for one in self.targets
        ]
        return {"roles": roles, "targets": targets}


def standing(repository: Repository) -> Standing:
    """How the repository in a folder stands.

    Raises:
        TrustError: it is not whole, or not signed as its root asks.
    """
    root = repository.root().signed
    seen = repository.published(root)
    signed: dict[str, Signed] = {
        "root": root,
        "targets": seen.targets.signed,
        "snapshot": seen.snapshot.signed,
        "timestamp": seen.timestamp.signed,
    }
    return Standing(
        tuple(_role_standing(role, signed[role], root) for role in ROLES),
        tuple(_listed(repository.newest_targets(root).signed, seen.targets.signed)),
    )


def check(
    source: str, root: bytes, now: Callable[[], datetime], tell: Callable[[str], None]
) -> int:
    """Read a repository as a new device does, to the last byte; how many targets are sound.

    Args:
        source: a folder, ``file://``, ``http://`` or ``https://``.
        root: what the device would have pinned.
        now: UTC.
        tell: is told each target that is sound.

    Raises:
        UpdateError: what the device would say.
    """
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch)
        provision(state, root)
        device = TrustedRepository(state, source, clock=now)
        offers = device.refresh()
        for offer in offers:
            device.fetch(offer).unlink()
            tell(offer.path)
    return len(offers)


@dataclass(frozen=True)
class Offered:
    """One thing that a device is offered."""

    path: str
    about: TargetAbout


def offered(source: str, root: bytes, now: Callable[[], datetime]) -> tuple[Offered, ...]:
    """What a repository offers to a new device; nothing of it is fetched.

    Raises:
        UpdateError: what the device would say.
    """
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch)
        provision(state, root)
        found = TrustedRepository(state, source, clock=now).refresh()
        return tuple(Offered(one.path, one.about) for one in found)


def root_to_pin(source: str, root: Path | None) -> bytes:
    """The root that a check starts from: a file, or the first one of a repository in a folder.

    Raises:
        TrustError: it cannot be read.
    """
    file = root or Path(source) / "metadata" / "1.root.json"
    try:
        return file.read_bytes()
    except OSError as error:
        raise TrustError(
            f"cannot read {file}: {error.strerror}; name the root that devices pin with --root"
        ) from None


def _role_standing(role: str, signed: Signed, root: Root) -> RoleStanding:
    asked = root.roles[role]
    keys = tuple(key_file_name(role, keyid) for keyid in asked.keyids)
    return RoleStanding(role, signed.version, signed.expires, asked.threshold, keys)


def _listed(newest: Targets, published: Targets) -> Iterator[Listed]:
    for path, target in sorted(newest.targets.items()):
        about = TargetAbout.model_validate(target.custom)
        yield Listed(path, target.length, path in published.targets, about)
