"""All tables, by the name that queries use."""

from __future__ import annotations

from deploy.dashboard.database.alerts import alert_channels, alert_events, alerts
from deploy.dashboard.database.fleet import (
    aside,
    boots,
    bundles,
    changes,
    controls,
    devices,
    health,
    meta,
    replies,
    statuses,
    stretches,
    workers,
)
from deploy.dashboard.database.people import (
    audit,
    failed_logins,
    reviews,
    sessions,
    tokens,
    users,
)
from deploy.dashboard.database.slides import (
    cells,
    crops,
    frames,
    opinions,
    shadows,
    slides,
    summaries,
)
from deploy.dashboard.database.types import METADATA

__all__ = [
    "METADATA",
    "alert_channels",
    "alert_events",
    "alerts",
    "aside",
    "audit",
    "boots",
    "bundles",
    "cells",
    "changes",
    "controls",
    "crops",
    "devices",
    "failed_logins",
    "frames",
    "health",
    "meta",
    "opinions",
    "replies",
    "reviews",
    "sessions",
    "shadows",
    "slides",
    "statuses",
    "stretches",
    "summaries",
    "tokens",
    "users",
    "workers",
]
