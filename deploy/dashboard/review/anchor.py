"""The ends of both chains, written down elsewhere: what is cut off after that is missed.

An anchor is a line of JSON; print it, mail it, keep it where whoever keeps the database does not
come. Signed with an Ed25519 key it is also proof of who made it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from sqlalchemy import Connection

from deploy.dashboard.review.chain import CHAINS, Head, head, identity_of, verify
from deploy.dashboard.review.errors import ChainError
from edge_daemon.contract.envelope import utc_now

_SCHEMA = "leukoedge.anchor/1"


@dataclass(frozen=True)
class Anchor:
    """Where the chains of a database ended."""

    database: str
    at: str
    """When it was made, ISO 8601."""
    heads: Mapping[str, Head]
    signature: str | None = None

    def body(self) -> dict[str, Any]:
        """What is signed."""
        ends = {name: {"rows": end.rows, "hash": end.hash} for name, end in self.heads.items()}
        return {"schema": _SCHEMA, "database": self.database, "at": self.at, **ends}

    def to_json(self) -> str:
        """As one line."""
        signed = {} if self.signature is None else {"signature": self.signature}
        return _line({**self.body(), **signed})


def make(connection: Connection, key: Ed25519PrivateKey | None = None) -> Anchor:
    """An anchor of the chains as they are, signed where there is a key."""
    heads = {name: head(connection, table) for name, table in CHAINS.items()}
    now = utc_now().isoformat(timespec="seconds")
    anchor = Anchor(identity_of(connection), now, heads)
    if key is None:
        return anchor
    signature = base64.b64encode(key.sign(_line(anchor.body()).encode())).decode()
    return Anchor(anchor.database, anchor.at, anchor.heads, signature)


def read(text: str, public: Ed25519PublicKey | None = None) -> Anchor:
    """Read an anchor; with a public key, only one that its owner signed.

    Raises:
        ChainError: it is none, or not signed with that key.
    """
    try:
        found = json.loads(text)
        if found["schema"] != _SCHEMA:
            raise ChainError("the anchor is of another version: update this program")
        heads = {name: Head(int(found[name]["rows"]), found[name]["hash"]) for name in CHAINS}
        anchor = Anchor(found["database"], found["at"], heads, found.get("signature"))
    except (ValueError, KeyError, TypeError):
        raise ChainError("this is no anchor: give the file that `anchor` wrote") from None
    if public is not None:
        try:
            signature = base64.b64decode(anchor.signature or "", validate=True)
            public.verify(signature, _line(anchor.body()).encode())
        except (InvalidSignature, ValueError):
            raise ChainError("the anchor is not signed with this key") from None
    return anchor


def verify_all(connection: Connection, anchor: Anchor | None = None) -> dict[str, Head]:
    """Go through every chain; returns their ends.

    Raises:
        ChainError: names the first broken row, or says what an anchor misses.
    """
    if anchor is not None and anchor.database != identity_of(connection):
        raise ChainError("the anchor was made of another database")
    return {
        name: verify(connection, table, None if anchor is None else anchor.heads[name])
        for name, table in CHAINS.items()
    }


def private_key(file: Path, passphrase: str | None) -> Ed25519PrivateKey:
    """The key that signs anchors, a PEM file. Raises :class:`ChainError`: it is no such key."""
    try:
        key = load_pem_private_key(
            file.read_bytes(), None if passphrase is None else passphrase.encode()
        )
    except (OSError, ValueError, TypeError):
        raise ChainError(f"{file} cannot be read as a key with this passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ChainError(
            f"{file} is no Ed25519 key: `openssl genpkey -algorithm ed25519` makes one"
        )
    return key


def public_key(file: Path) -> Ed25519PublicKey:
    """The key that an anchor is held to, PEM. Raises :class:`ChainError`: it is no such key."""
    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError):
        raise ChainError(f"{file} cannot be read as a public key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ChainError(f"{file} is no Ed25519 public key")
    return key


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
