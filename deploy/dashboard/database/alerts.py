"""Tables of alerts: how each stands, what became of it, and how far each channel was told.

Whoever changes an alert adds an event under the same commit. A channel (a webhook, the broker) is
told the events in their order and remembers the last one: the table of events is the outbox of all
channels, and a channel that is away costs one row.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, text

from deploy.dashboard.database.types import METADATA, Key, Moment

alerts = Table(
    "alerts",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("kind", String(24), nullable=False),
    Column("subject", String(160), nullable=False),  # one open alert for each kind and subject
    Column("device_id", Key),
    Column("slide_id", Key),
    Column("level", String(8), nullable=False),  # info, warning, urgent
    Column("line", Text, nullable=False),
    Column("raised_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),  # level or line became another one
    Column("cleared_at", Moment),
    # by a person; taken back where it became worse since
    Column("acknowledged_at", Moment),
    Column("acknowledged_by", String(64)),
    Column("note", Text),
    Index(
        "uq_alerts_open",
        "kind",
        "subject",
        unique=True,
        sqlite_where=text("cleared_at IS NULL"),
        postgresql_where=text("cleared_at IS NULL"),
    ),
    Index("ix_alerts_raised_at", "raised_at"),
)

alert_events = Table(
    "alert_events",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("alert_id", Key, ForeignKey("alerts.id"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("event", String(16), nullable=False),  # raised, worse, better, acknowledged, cleared
    Column("by", String(64)),  # of a person
    Column("note", Text),  # of a person; never told to a channel
    Column("document", Text, nullable=False),  # JSON that channels are told
    Index("ix_alert_events_alert_id", "alert_id"),
    sqlite_autoincrement=True,
)
"""What became of alerts; only ever added to."""

alert_channels = Table(
    "alert_channels",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("told_to", BigInteger, nullable=False),  # every event up to here was taken, or given up
    Column("told_at", Moment),
    Column("tries", Integer, nullable=False),  # of the next event, so far
    Column("next_at", Moment),
    Column("line", Text),  # why the last try failed
)
"""Who is told: each with the last event that it took."""
