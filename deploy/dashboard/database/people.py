"""Tables of people: who may come in, and what they decided.

Reviews and audit are only ever added to, which the database itself sees to (``fence.py``). Each row
names the hash of the row before it, and no two rows name the same one, so a chain has no branches.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
)

from deploy.dashboard.database.types import METADATA, Key, Moment

users = Table(
    "users",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("full_name", Text),
    Column("password", Text, nullable=False),  # argon2id
    Column("role", String(16), nullable=False),  # viewer, reviewer, lead, admin
    Column("active", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(64)),
    Column("password_at", Moment, nullable=False),
)

sessions = Table(
    "sessions",
    METADATA,
    Column("token", String(64), primary_key=True),  # SHA-256 of what the browser holds
    Column("user_id", Key, ForeignKey("users.id"), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("address", String(64)),
    Index("ix_sessions_user_id", "user_id"),
)

tokens = Table(
    "tokens",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("key", String(64), nullable=False, unique=True),  # SHA-256 of what the program holds
    Column("user_id", Key, ForeignKey("users.id"), nullable=False),
    Column("role", String(16), nullable=False),  # never more than its user may
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("seen_at", Moment),
)
"""What programs come in with, each in the name of a user."""

failed_logins = Table(
    "failed_logins",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("key", String(64), nullable=False),  # SHA-256: what is typed may be a password
    Column("at", Moment, nullable=False),
    Index("ix_failed_logins_key", "key", "at"),
    Index("ix_failed_logins_at", "at"),
)
"""What failed in the last minutes, once by user and once by address; of all processes."""

reviews = Table(
    "reviews",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("user_id", Key, ForeignKey("users.id"), nullable=False),
    Column("user_name", String(64), nullable=False),
    Column("kind", String(16), nullable=False),  # override, confirm, sign, second, reopen, comment
    Column("slide_id", Key, nullable=False),
    Column("unique_id", BigInteger),  # null: of the whole slide
    Column("label", String(16)),  # of the cell, or the disposition that was signed
    Column("was", String(16)),  # what it was before
    Column("reason", Text),
    Column("document", Text, nullable=False),  # JSON that was hashed: all of the above, and context
    Column("previous", String(64), nullable=False, unique=True),
    Column("hash", String(64), nullable=False, unique=True),
    Index("ix_reviews_slide_id", "slide_id", "unique_id", "id"),
)

audit = Table(
    "audit",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("user_name", String(64), nullable=False),
    Column("what", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("address", String(64)),
    Column("document", Text, nullable=False),  # JSON that was hashed
    Column("previous", String(64), nullable=False, unique=True),
    Column("hash", String(64), nullable=False, unique=True),
    Index("ix_audit_at", "at"),
)
"""What people did here, beside reviews: logins, exports, users, purges."""
