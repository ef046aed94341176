"""Keys are exchanged and signatures made anew, without a moment at which devices refuse.

A new root is one file and one step. A key of another role takes three: a root that knows the old
key and the new one; the role's metadata, signed with the new one, published; a root that knows the
new one alone. After each the repository is whole, and what was interrupted, or goes on at another
machine, is taken up where it stopped: the last of a role's keys in the root is the new one, and
what is published says whether it is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from deploy.trust.errors import TrustError
from deploy.trust.keys import ONLINE, KeyRing
from deploy.trust.publish import publish
from deploy.trust.repository import Repository, sign
from deploy.trust.signing import sign_root

_FEWEST_DIGITS = 6


def rotate_root(repository: Repository, ring: KeyRing, now: datetime, replace: str) -> str:
    """Exchange one root key; the new one's identifier.

    Args:
        repository: the folder, which nobody else changes meanwhile.
        ring: as many of the other root keys as the threshold asks for.
        now: UTC.
        replace: the key to be replaced, by the first digits of its identifier.

    Raises:
        TrustError: there is no such key, or too few of the others are at hand; nothing changed.
    """
    root = repository.root().signed
    keyids = root.roles[Root.type].keyids
    leaving = [keyid for keyid in keyids if keyid.startswith(replace.lower())]
    if len(replace) < _FEWEST_DIGITS or len(leaving) != 1:
        known = ", ".join(keyid[:12] for keyid in keyids)
        raise TrustError(f"{replace!r} names no single root key; say which to replace: {known}")
    _check_threshold(root, ring)
    with ring.no_strays():
        fresh = ring.make(Root.type).public_key

        def exchange(new: Root) -> None:
            new.revoke_key(leaving[0], Root.type)
            new.add_key(fresh, Root.type)

        document = _changed(root, ring, now, exchange)
    repository.write(document)
    return fresh.keyid


@dataclass(frozen=True)
class Exchange:
    """How far the exchange of a key is."""

    keyid: str
    """The new one."""
    done: bool
    """False: it waits for a publication where the online keys are."""


def rotate_key(
    repository: Repository, ring: KeyRing, now: datetime, role: str, *, another: bool = False
) -> Exchange:
    """Exchange the key of targets, snapshot or timestamp, as far as the keys at hand allow.

    The old key is not needed: it may be lost. Without the online keys the new one waits in the root
    until it is published where they are; the same call then takes the old one out.

    Args:
        repository: the folder, which nobody else changes meanwhile.
        ring: root keys up to the threshold; the snapshot and timestamp keys, to do it in one go.
        now: UTC.
        role: whose key.
        another: the key of an exchange that is under way was lost; make one more.

    Raises:
        TrustError: too few keys are at hand, or a step failed; what was done is whole, and the same
            call goes on with it.
    """
    root = repository.root().signed
    _check_threshold(root, ring)
    keyids = root.roles[role].keyids
    if another or len(keyids) == 1:
        with ring.no_strays():
            made = ring.make(role).public_key
            document = _changed(root, ring, now, lambda new: new.add_key(made, role))
        repository.write(document)
        root = document.signed
    fresh = root.roles[role].keyids[-1]
    if role == Targets.type and fresh not in repository.newest_targets(root).signatures:
        _check_at_hand(ring, role, fresh)
        _sign_targets_anew(repository, root, ring, now)
    if not _is_published(repository, root, role, fresh):
        if not _online_at_hand(root, ring):
            return Exchange(fresh, done=False)
        if role != Targets.type:
            _check_at_hand(ring, role, fresh)
        publish(repository, ring, now)

    def finish(new: Root) -> None:
        for keyid in list(new.roles[role].keyids):
            if keyid != fresh:
                new.revoke_key(keyid, role)

    repository.write(_changed(root, ring, now, finish))
    return Exchange(fresh, done=True)


def renew(repository: Repository, ring: KeyRing, now: datetime, role: str) -> datetime:
    """Sign the root or the list of targets again, with the same keys; until when it is good now.

    Devices see a root at once, a list of targets when it is published.

    Raises:
        TrustError: too few keys are at hand, or the disk refuses; nothing changed.
    """
    root = repository.root().signed
    if role == Root.type:
        document = _changed(root, ring, now, lambda _: None)
        repository.write(document)
        return document.signed.expires
    return _sign_targets_anew(repository, root, ring, now)


def _changed(
    before: Root, ring: KeyRing, now: datetime, change: Callable[[Root], None]
) -> Metadata[Root]:
    """The next root, signed and not written yet."""
    root = deepcopy(before)
    root.version += 1
    change(root)
    return sign_root(root, before, ring, now)


def _sign_targets_anew(
    repository: Repository, root: Root, ring: KeyRing, now: datetime
) -> datetime:
    listed = repository.newest_targets(root).signed
    content = Targets(listed.version + 1, targets=listed.targets)
    document = sign(content, Targets.type, root, ring, now)
    repository.write(document)
    return document.signed.expires


def _is_published(repository: Repository, root: Root, role: str, keyid: str) -> bool:
    """Is what devices see of a role signed with this key?"""
    seen = repository.published(root)
    signatures = {
        Targets.type: seen.targets.signatures,
        Snapshot.type: seen.snapshot.signatures,
        Timestamp.type: seen.timestamp.signatures,
    }
    return keyid in signatures[role]


def _online_at_hand(root: Root, ring: KeyRing) -> bool:
    return all(
        any(ring.find(role, keyid) is not None for keyid in root.roles[role].keyids)
        for role in ONLINE
    )


def _check_at_hand(ring: KeyRing, role: str, keyid: str) -> None:
    if ring.find(role, keyid) is None:
        raise TrustError(
            f"an exchange is under way: {ring.missing(role, [keyid])}; or make another one, if it "
            "is lost, with --another"
        )


def _check_threshold(root: Root, ring: KeyRing) -> None:
    """Before a key is made: are there enough root keys at hand to make use of it?"""
    role = root.roles[Root.type]
    at_hand = [keyid for keyid in role.keyids if ring.find(Root.type, keyid) is not None]
    if len(at_hand) < role.threshold:
        missing = [keyid for keyid in role.keyids if keyid not in at_hand]
        raise TrustError(
            f"this takes {role.threshold} root keys, and {len(at_hand)} are at hand: "
            f"{ring.missing(Root.type, missing)}"
        )
