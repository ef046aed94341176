"""Tables of slides: one row each with what the worklist shows, and below it what was said.

Frames of PostgreSQL are partitioned by the time they came in, by our clock: a device whose clock
is wrong cannot open a partition of its own. A slide knows when its frames came.
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
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from deploy.dashboard.database.types import METADATA, Key, Moment

_WORST_FIRST = ("severity", "fraction", "id")


def _worklist(name: str, *before: str, where: str | None = None) -> Index:
    condition = None if where is None else text(where)
    return Index(name, *before, *_WORST_FIRST, sqlite_where=condition, postgresql_where=condition)


slides = Table(
    "slides",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("device_id", Key, nullable=False),
    Column("site", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("control", Boolean, nullable=False),
    Column("first_at", Moment, nullable=False),  # first and last arrival, by our clock
    Column("newest_at", Moment, nullable=False),
    # of the newest summary; the whole of it in `summary`
    Column("summary_order", String(80), nullable=False, server_default=""),
    Column("summary", LargeBinary),
    Column("state", String(16), nullable=False),  # running, paused, complete, cut short
    Column("completion", String(16)),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("disposition", String(16)),
    Column("severity", SmallInteger, nullable=False),  # 3 positive .. 0 negative
    Column("fraction", Float, nullable=False),  # estimate; -1 without one
    Column("low", Float),
    Column("high", Float),
    Column("nucleated", BigInteger, nullable=False, server_default="0"),
    Column("blasts", BigInteger, nullable=False, server_default="0"),
    Column("uncertain", BigInteger, nullable=False, server_default="0"),
    Column("coverage_mm2", Float),
    Column("bundle", String(71)),
    # two slides of one name: the device was replaced, or its disk
    Column("doubled", Boolean, nullable=False),
    # counted here, as messages come in
    Column("analysed", BigInteger, nullable=False, server_default="0"),
    Column("rejected", BigInteger, nullable=False, server_default="0"),
    Column("dropped", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    Column("positives", Integer, nullable=False, server_default="0"),  # cells not cleared
    Column("unreviewed", Integer, nullable=False, server_default="0"),  # those nobody looked at
    # written by reviewers: preliminary, signed, amended
    Column("review", String(16), nullable=False, server_default="preliminary"),
    Column("signed_at", Moment),
    Column("purged_at", Moment),  # frames were deleted by retention: none of them is missing
    UniqueConstraint("device_id", "name"),
    _worklist("ix_slides_worst"),
    _worklist("ix_slides_site", "site"),
    _worklist("ix_slides_state", "state"),
    _worklist("ix_slides_unreviewed", where="unreviewed > 0"),
    _worklist("ix_slides_unsigned", where="review != 'signed'"),
    Index("ix_slides_newest", "newest_at"),
    Index("ix_slides_device_newest", "device_id", "newest_at"),
    Index("ix_slides_bundle", "bundle", "disposition"),
)

frames = Table(
    "frames",
    METADATA,
    Column("slide_id", Key, primary_key=True, autoincrement=False),
    Column("frame", BigInteger, primary_key=True, autoincrement=False),
    Column("boot", Key, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("received_at", Moment, primary_key=True),
    Column("captured_at", Moment, nullable=False),
    Column("outcome", String(8), nullable=False),
    Column("reason", Text),
    Column("bundle", String(71)),
    Column("total_ms", Float),  # sum of the stages
    Column("focus", Float),
    Column("exposure", Float),
    Column("foreground", Float),
    Column("stain_shift", Float),
    Column("hints", SmallInteger, nullable=False),
    Column("saturated", Boolean, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("um_per_px", Float),
    Column("field", BigInteger, nullable=False),
    Column("piece", BigInteger),
    Column("x", Float),
    Column("y", Float),
    Column("tie", String(8)),
    Column("stage_x_um", Float),
    Column("stage_y_um", Float),
    Column("wbc", Integer, nullable=False),
    Column("rbc", Integer, nullable=False),
    Column("platelets", Integer, nullable=False),
    Column("blasts", Integer, nullable=False),
    Column("uncertain", Integer, nullable=False),
    Column("message", LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (received_at)",
)

cells = Table(
    "cells",
    METADATA,
    Column("slide_id", Key, primary_key=True, autoincrement=False),
    Column("unique_id", BigInteger, primary_key=True, autoincrement=False),
    # as its best view shows it
    Column("class_order", SmallInteger, nullable=False),  # 2 blast, 1 uncertain, 0 normal
    Column("label", String(9), nullable=False),
    Column("p_blast", Float, nullable=False),
    Column("score", Float, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("view_rank", Float, nullable=False),
    Column("frame", BigInteger, nullable=False),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("width", Float, nullable=False),
    Column("height", Float, nullable=False),
    Column("um_per_px", Float),
    Column("views", Integer, nullable=False),  # frames that show it
    # written by reviewers: the last word of a person, the history is in `reviews`
    Column("reviewed_label", String(16)),
    Column("reviewed_by", String(64)),
    Column("reviewed_at", Moment),
    Index("ix_cells_gallery", "slide_id", "class_order", "p_blast", "unique_id"),
)
"""Unique cells of a slide."""

crops = Table(
    "crops",
    METADATA,
    Column("slide_id", Key, primary_key=True, autoincrement=False),
    Column("unique_id", BigInteger, primary_key=True, autoincrement=False),
    Column("boot", Key, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("frame", BigInteger, nullable=False),
    Column("label", String(9), nullable=False),
    Column("p_blast", Float, nullable=False),
    Column("um_per_px", Float),
    Column("received_at", Moment, nullable=False),
    Column("jpeg", LargeBinary, nullable=False),
)

opinions = Table(
    "opinions",
    METADATA,
    Column("slide_id", Key, primary_key=True, autoincrement=False),
    Column("unique_id", BigInteger, primary_key=True, autoincrement=False),
    Column("boot", Key, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("frame", BigInteger, nullable=False),
    Column("first_label", String(9), nullable=False),
    Column("first_p_blast", Float, nullable=False),
    Column("second_label", String(9), nullable=False),
    Column("second_p_blast", Float, nullable=False),
    Column("bundle", String(71)),
    Column("received_at", Moment, nullable=False),
)
"""Second opinions."""

summaries = Table(
    "summaries",
    METADATA,
    Column("slide_id", Key, primary_key=True, autoincrement=False),
    Column("boot", Key, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("nucleated", BigInteger, nullable=False),
    Column("blasts", BigInteger, nullable=False),
    Column("uncertain", BigInteger, nullable=False),
    Column("fraction", Float),
    Column("low", Float),
    Column("high", Float),
    Column("coverage_mm2", Float),
    Column("disposition", String(16), nullable=False),
    Column("bundle", String(71)),
)
"""Every standing of a slide, for its interval over time."""

shadows = Table(
    "shadows",
    METADATA,
    Column("slide_id", Key, primary_key=True, autoincrement=False),
    Column("boot", Key, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("bundle", String(71)),
    Column("candidate", String(71), nullable=False),
    Column("candidate_name", String(160), nullable=False),
    Column("compared", BigInteger, nullable=False),
    Column("agreed", BigInteger, nullable=False),
    Column("cells", BigInteger, nullable=False),
    Column("disagreements", BigInteger, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Index("ix_shadows_candidate", "candidate", "received_at"),
)
"""How candidates judged the same slide."""
