"""A new root: signed by as many of the old root's keys as that asks for, and of its own."""

from __future__ import annotations

from datetime import datetime

from tuf.api.metadata import Metadata, Root

from deploy.trust.errors import TrustError
from deploy.trust.keys import KeyRing, key_file_name
from deploy.trust.repository import lifetime


def sign_root(root: Root, previous: Root | None, ring: KeyRing, now: datetime) -> Metadata[Root]:
    """Sign a root, with no more keys than it takes; a key that is new in it signs in any case.

    Args:
        root: the new one; its expiry is set.
        previous: the one before it, None for the first.
        ring: where the keys are.
        now: UTC.

    Raises:
        TrustError: too few of the keys are at hand; which ones would do.
    """
    before = root if previous is None else previous
    root.expires = now + lifetime(root, Root.type)
    document = Metadata(root)
    old, new = before.roles[Root.type], root.roles[Root.type]
    fresh = [keyid for keyid in new.keyids if keyid not in old.keyids]
    both = [keyid for keyid in new.keyids if keyid in old.keyids]
    leaving = [keyid for keyid in old.keyids if keyid not in new.keyids]
    keys = {**before.keys, **root.keys}
    for keyid in (*fresh, *both, *leaving):
        done = root.get_root_verification_result(
            previous, document.signed_bytes, document.signatures
        )
        if done and keyid not in fresh:
            break
        if ring.find(Root.type, keyid) is not None:
            document.sign(ring.signer(Root.type, keys[keyid]), append=True)
    proof = root.get_root_verification_result(previous, document.signed_bytes, document.signatures)
    if not proof:
        wanted = ", ".join(key_file_name(Root.type, keyid) for keyid in (*both, *leaving, *fresh))
        raise TrustError(
            f"a root takes {old.threshold} signatures of its keys, and {len(document.signatures)} "
            f"could be made; name with --keys the folders of {old.threshold} of: {wanted}"
        )
    return document
