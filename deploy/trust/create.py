"""A repository begins: its keys, its first root, and nothing on offer yet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from tuf.api.metadata import Metadata, Role, Root, Targets

from deploy.trust.errors import TrustError
from deploy.trust.keys import ROLES, KeyRing
from deploy.trust.publish import publish
from deploy.trust.repository import LIFETIME_DAYS, Repository, sign
from deploy.trust.signing import sign_root
from edge_daemon.whole_files import PARTIAL_SUFFIX

LEAST_ROOT_THRESHOLD = 2
LIFETIMES_DAYS: Mapping[str, int] = MappingProxyType(
    {"root": 730, "targets": 365, "snapshot": 90, "timestamp": 30}
)
"""How long a signature is good for. A timestamp of 30 days lets a stick travel to a site without a
network, and shows within 30 days that somebody keeps a device on old updates."""


@dataclass(frozen=True)
class RootKeys:
    """How many root keys there are, and how many of them must sign."""

    number: int = 3
    threshold: int = LEAST_ROOT_THRESHOLD

    def __post_init__(self) -> None:
        if self.threshold < LEAST_ROOT_THRESHOLD:
            raise TrustError(
                "a root that one person can sign is no safer than a password: 2 or more"
            )
        if self.number < self.threshold:
            raise TrustError(f"{self.number} root keys can never make {self.threshold} signatures")


def create(
    folder: Path,
    ring: KeyRing,
    now: datetime,
    *,
    root_keys: RootKeys = RootKeys(),
    lifetimes_days: Mapping[str, int] = LIFETIMES_DAYS,
) -> Path:
    """Make keys and an empty repository; the root that devices pin.

    Raises:
        TrustError: something is there already, the keys would be published with it, or it cannot
            be written; there is no repository then.
    """
    place = folder.resolve()
    for keys in ring.folders:
        if place == keys.resolve() or place in keys.resolve().parents:
            raise TrustError(
                f"{keys} is inside {folder}, which everybody can read; keep keys elsewhere"
            )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TrustError(f"{folder} is not an empty folder; name a new one for the repository")
    draft = place.with_name(place.name + PARTIAL_SUFFIX)
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
        (draft / "metadata").mkdir(parents=True)
        (draft / "targets").mkdir()
        with ring.no_strays():
            _fill(Repository(draft), ring, now, root_keys, lifetimes_days)
            draft.replace(place)
    except OSError as error:
        raise TrustError(f"cannot make {folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder / "metadata" / "1.root.json"


def _fill(
    repository: Repository,
    ring: KeyRing,
    now: datetime,
    root_keys: RootKeys,
    lifetimes_days: Mapping[str, int],
) -> None:
    roles = {role: Role([], 1, {LIFETIME_DAYS: lifetimes_days[role]}) for role in ROLES}
    roles["root"].threshold = root_keys.threshold
    root = Root(roles=roles, consistent_snapshot=True)
    for role in ROLES:
        for _ in range(root_keys.number if role == "root" else 1):
            root.add_key(ring.make(role).public_key, role)
    signed_root: Metadata[Root] = sign_root(root, None, ring, now)
    repository.write(signed_root)
    repository.write(sign(Targets(), "targets", root, ring, now))
    publish(repository, ring, now, first=True)
