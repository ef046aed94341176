"""What people did here beside reviews, in a chain of its own: who came in, what was exported."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from deploy.dashboard.database.tables import audit
from deploy.dashboard.review.chain import append
from edge_daemon.contract.envelope import utc_now


def record(
    connection: Connection,
    user: str,
    what: str,
    subject: str,
    address: str | None = None,
    **context: Any,
) -> int:
    """Write down what somebody did, inside a writing transaction; returns its number."""
    return append(
        connection,
        audit,
        {
            "at": utc_now(),
            "user_name": user[:64],
            "what": what,
            "subject": subject,
            "address": None if address is None else address[:64],
        },
        **context,
    )
