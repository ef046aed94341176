"""Tables of devices: how each stands, what arrived of each start, and what it said of itself.

Whoever changes anything of a device holds its row here (``SELECT ... FOR UPDATE``): that one lock
orders the workers of the ingest, and everything else below a device needs none.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from deploy.dashboard.database.types import METADATA, Key, Moment

meta = Table(
    "meta",
    METADATA,
    Column("key", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Of the database itself: ``database_id``."""

devices = Table(
    "devices",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("site", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("first_seen_at", Moment, nullable=False),
    # last live sign of life, by our clock: not a retained message, not what waited, not a will
    Column("seen_at", Moment),
    Column("state", String(16)),  # online, degraded, offline: the last status
    Column("reason", Text),
    Column("state_at", Moment),
    Column("version", String(64)),
    Column("bundle", String(71)),
    Column("boot_id", String(32)),
    Column("boot", Key),  # the same start, as a row of `boots`
    # of the newest health message; the whole of it in `health`
    Column("health_boot_id", String(32)),
    Column("health_seq", BigInteger),
    Column("health_at", Moment),
    Column("health_kept_at", Moment),
    Column("health", LargeBinary),
    Column("skew_s", Float),
    Column("fps", Float),
    Column("p95_ms", Float),
    Column("hottest_c", Float),
    Column("disk_free_bytes", BigInteger),
    Column("memory_bytes", BigInteger),
    Column("waiting", BigInteger),
    Column("refused", BigInteger),
    Column("evicted", BigInteger),
    Column("clock_synchronised", Boolean),
    Column("control_due", Text),
    # the last control that was run, whatever its kind
    Column("control_run", BigInteger),
    Column("control_verdict", String(8)),
    Column("control_at", Moment),
    # the newest report of its updater, whole
    Column("updates", LargeBinary),
    UniqueConstraint("site", "name"),
)

boots = Table(
    "boots",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("device_id", Key, nullable=False),
    Column("boot_id", String(32), nullable=False),
    Column("first_seen_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    # every record from 1 to `complete_to` is here, the last of them with `up_to_seq`
    Column("complete_to", BigInteger, nullable=False, server_default="0"),
    Column("up_to_seq", BigInteger, nullable=False, server_default="0"),
    Column("highest", BigInteger, nullable=False, server_default="0"),  # record known to be issued
    Column("arrived", BigInteger, nullable=False, server_default="0"),  # records that are here
    Column("missing", BigInteger, nullable=False, server_default="0"),  # highest - arrived
    Column("missing_since", Moment),
    # records that this start had issued before anything of it was heard here, and those of
    # `missing` that are among them: the database may be younger than the start
    Column("known_from", BigInteger, nullable=False, server_default="0"),
    Column("before", BigInteger, nullable=False, server_default="0"),
    Column("repeats", BigInteger, nullable=False, server_default="0"),
    Column("edition", BigInteger, nullable=False, server_default="0"),  # rises with every change
    UniqueConstraint("device_id", "boot_id"),
    Index(
        "ix_boots_missing",
        "device_id",
        sqlite_where=text("missing > 0"),
        postgresql_where=text("missing > 0"),
    ),
)
"""Starts of a daemon, and what arrived of each: what a receipt may claim."""

stretches = Table(
    "stretches",
    METADATA,
    Column("boot", Key, primary_key=True, autoincrement=False),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)
"""Records that are here beyond a hole, without a hole between them."""

statuses = Table(
    "statuses",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("device_id", Key, nullable=False),
    Column("boot_id", String(32), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("version", String(64), nullable=False),
    Column("bundle", String(71)),
    Index("ix_statuses_device_id_at", "device_id", "at"),
)
"""Each status that was not as the one before it."""

health = Table(
    "health",
    METADATA,
    Column("device_id", Key, primary_key=True, autoincrement=False),
    Column("at", Moment, primary_key=True),
    Column("fps", Float, nullable=False),
    Column("p50_ms", Float),
    Column("p95_ms", Float),
    Column("hottest_c", Float),
    Column("disk_free_bytes", BigInteger),
    Column("memory_bytes", BigInteger),
    Column("waiting", BigInteger, nullable=False),
    Column("evicted", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("skew_s", Float),
)
"""A health message a minute and device; the newest lies whole in ``devices``."""

controls = Table(
    "controls",
    METADATA,
    Column("boot", Key, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("device_id", Key, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("verdict", String(8), nullable=False),
    Column("bundle", String(71)),
    Column("ended_at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Index("ix_controls_device_id_run", "device_id", "run"),
)

replies = Table(
    "replies",
    METADATA,
    Column("boot", Key, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("device_id", Key, nullable=False),
    Column("command_id", String(32), nullable=False),
    Column("name", String(32), nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("reason", Text),
    Column("received_at", Moment, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Index("ix_replies_command_id", "command_id"),
    Index("ix_replies_device_id_received_at", "device_id", "received_at"),
)

bundles = Table(
    "bundles",
    METADATA,
    Column("digest", String(71), primary_key=True),
    Column("name", String(160)),  # where a message told it
    Column("first_seen_at", Moment, nullable=False),
)

aside = Table(
    "aside",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of topic and payload
    Column("site", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("topic", Text, nullable=False),
    Column("why", String(20), nullable=False),  # unknown schema, refused, not stored
    Column("schema", String(64)),
    Column("line", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),  # its first bytes
    Column("size", BigInteger, nullable=False),  # of all of it
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column("count", Integer, nullable=False),
    Index("ix_aside_last_at", "last_at"),
)
"""What came and could not be entered."""

workers = Table(
    "workers",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("since", Moment, nullable=False),  # hears without a break
    Column("until", Moment, nullable=False),  # said so last
    Column("connected", Boolean, nullable=False),
    Column("line", Text),  # what it waits for, where it does
    Column("messages", BigInteger, nullable=False),
)
"""Who takes in messages: silence of a device counts only while somebody listens."""

changes = Table(
    "changes",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("key", BigInteger),
    sqlite_autoincrement=True,
)
"""What changed, for other processes; used where the database cannot tell them (SQLite)."""
