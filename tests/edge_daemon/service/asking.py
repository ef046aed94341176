"""A command that is handed in, carried out at the next turn of the loop, and answered."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

from edge_daemon.contract.messages import Command, CommandReply
from edge_daemon.service.commands import CommandDesk
from edge_daemon.service.slides import SlideService


def answered(desk: CommandDesk, service: SlideService, name: str, **args: Any) -> CommandReply:
    """The reply to a command as it comes over MQTT."""
    command = Command(
        site="lab",
        device="m1",
        id=uuid.uuid4().hex,
        name=name,  # type: ignore[arg-type]
        expires_at=datetime.now(timezone.utc) + timedelta(minutes=1),
        args=args,
    )
    reply = desk.hand_in(command.to_json(), via="mqtt")
    service.turn()
    return reply.result(timeout=0)
