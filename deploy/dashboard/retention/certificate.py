"""A purge told to somebody outside: the entry of the audit, and where the chains stood after it."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, select

from deploy.dashboard.database.tables import audit
from deploy.dashboard.review.chain import identity_of

SCHEMA = "leukoedge.purge/1"


def certificate(
    connection: Connection, number: int, key: Ed25519PrivateKey | None = None
) -> dict[str, Any]:
    """The certificate of a purge, by the number of its entry; signed where there is a key.

    The signature is over the JSON of all other fields, keys sorted, without spaces.
    """
    row = connection.execute(select(audit).where(audit.c.id == number)).one()
    said = {
        "schema": SCHEMA,
        "database": identity_of(connection),
        "number": number,
        "previous": row.previous,
        "hash": row.hash,
        "entry": json.loads(row.document),
    }
    if key is None:
        return said
    line = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return {**said, "signature": base64.b64encode(key.sign(line)).decode()}
