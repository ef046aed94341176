"""Publishing: what lies in the repository becomes what devices see, in one step at the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from deploy.trust.errors import TrustError
from deploy.trust.keys import KeyRing
from deploy.trust.repository import Published, Repository, lifetime, sign

WARN_BEFORE = timedelta(days=60)
"""That a root or a list of targets expires, which needs people and their keys to renew."""


@dataclass(frozen=True)
class Outcome:
    """What a publication came to."""

    targets: int
    """Version of the list of targets that devices see now."""
    expires: datetime
    """Until then it must be published again, or devices wait with updates."""
    warnings: tuple[str, ...]


def publish(
    repository: Repository, ring: KeyRing, now: datetime, *, first: bool = False
) -> Outcome:
    """Let devices see the newest list of targets; without news, say that there are none.

    Args:
        repository: the folder, which nobody else changes meanwhile.
        ring: where the snapshot and timestamp keys are.
        now: UTC.
        first: nothing was published here before. A repository that only lacks what it published
            must not begin again: devices would take its numbers for a rollback.

    Raises:
        TrustError: something is missing, damaged or expired, or the disk refuses; devices see what
            they saw before.
    """
    root = repository.root().signed
    targets = repository.newest_targets(root)
    for signed, how in ((root, "root"), (targets.signed, "targets")):
        if signed.is_expired(now):
            raise TrustError(
                f"the {how} of {repository.folder} expired on {signed.expires:%Y-%m-%d}; renew it: "
                f"leuko-deploy repo renew {repository.folder} {how} --keys ..."
            )
    before = None if first else repository.published(root)
    known = {} if before is None else before.targets.signed.targets
    for target in targets.signed.targets.values():
        _check(repository, target, thoroughly=target.path not in known)
    listed = _meta_file(repository, targets.signed)
    snapshot = None if before is None else _still_good(before, listed, root, now)
    if snapshot is None:
        content = Snapshot(repository.newest(Snapshot) + 1)
        content.meta = {"targets.json": listed}
        snapshot = sign(content, Snapshot.type, root, ring, now)
        repository.write(snapshot)
    version = 1 if before is None else before.timestamp.signed.version + 1
    stamp = Timestamp(version, snapshot_meta=_meta_file(repository, snapshot.signed))
    timestamp = sign(stamp, Timestamp.type, root, ring, now)
    repository.write(timestamp)
    until = min(timestamp.signed.expires, snapshot.signed.expires)
    return Outcome(targets.signed.version, until, _warnings(root, targets.signed, now))


def _still_good(
    before: Published, listed: MetaFile, root: Root, now: datetime
) -> Metadata[Snapshot] | None:
    """The published snapshot, where it says the same, its key stays, half its life is left."""
    snapshot, role = before.snapshot, root.roles[Snapshot.type]
    same = snapshot.signed.meta == {"targets.json": listed}
    stays = role.keyids[-1] in snapshot.signatures
    young = snapshot.signed.expires - now > lifetime(root, Snapshot.type) / 2
    return snapshot if same and stays and young else None


def _meta_file(repository: Repository, signed: Targets | Snapshot) -> MetaFile:
    """Version, length and digest of a document as it lies there: no two states can be mixed."""
    content = (repository.metadata / f"{signed.version}.{signed.type}.json").read_bytes()
    return MetaFile.from_data(signed.version, content, ["sha256"])


def _check(repository: Repository, target: TargetFile, *, thoroughly: bool) -> None:
    place = repository.place_of(target)
    try:
        if thoroughly:
            with place.open("rb") as content:
                target.verify_length_and_hashes(content)
        elif place.stat().st_size != target.length:
            raise LengthOrHashMismatchError("its length is another")
    except FileNotFoundError:
        raise TrustError(f"{place} is missing: copied halfway? use a whole copy") from None
    except OSError as error:
        raise TrustError(f"cannot read {place}: {error.strerror}") from None
    except LengthOrHashMismatchError:
        raise TrustError(f"{place} is damaged or altered; use a whole copy") from None


def _warnings(root: Root, targets: Targets, now: datetime) -> tuple[str, ...]:
    return tuple(
        f"the {role} expires on {signed.expires:%Y-%m-%d}: renew it before, with its keys"
        for role, signed in (("root", root), ("targets", targets))
        if signed.expires - now < min(WARN_BEFORE, lifetime(root, role) / 2)
    )
