"""What a channel is told of an alert: one JSON document, the same by webhook and over MQTT.

Schema ``leukoedge.alert/1``. It is the central side's own word and no part of the contract with
devices; docs/dashboard/alerts.md describes it for whoever receives it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.dashboard.alerts.words import Event, Kind, Level
from edge_daemon.contract.base import StrictModel, UtcTime

SCHEMA = "leukoedge.alert/1"


class AlertMessage(StrictModel):
    """An alert as it stands after an event. No free text of a device or a person is in it."""

    schema_id: Literal["leukoedge.alert/1"] = Field(default="leukoedge.alert/1", alias="schema")
    database: str
    """Which dashboard says so."""
    id: int
    """Number of the alert there."""
    event: Event
    at: UtcTime
    """When that happened."""
    state: Literal["open", "acknowledged", "cleared"]
    kind: Kind
    level: Level
    line: str
    """For people."""
    site: str | None
    """Null: of the central side itself."""
    device: str | None
    slide: str | None
    raised_at: UtcTime
    changed_at: UtcTime
    acknowledged_at: UtcTime | None
    acknowledged_by: str | None
    """Name of a user."""
    cleared_at: UtcTime | None

    def to_json(self) -> str:
        """One line."""
        return self.model_dump_json(by_alias=True)
