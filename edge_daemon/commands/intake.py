"""Where commands come in: over MQTT, HTTP and the local socket, to one desk."""

from __future__ import annotations

from concurrent.futures import Future

from edge_daemon.contract.messages import Command, CommandReply
from edge_daemon.delivery.link import Arrival
from edge_daemon.errors import CommandError
from edge_daemon.ledger.audit import Sender
from edge_daemon.service.commands import CommandDesk

COMMAND_WITHIN_S = 120.0
"""Longest that somebody on this machine waits for a command: activating a bundle builds engines."""

_STARTING = "the daemon is starting; try again in a moment"


class CommandIntake:
    """Open before there is a desk: whoever comes too early is told so. Any thread may hand in."""

    def __init__(self) -> None:
        self.desk: CommandDesk | None = None
        """Where commands wait, once everything that carries them out is there."""

    def hand_in(self, arrival: Arrival) -> None:
        """A command that came over MQTT; its reply goes the same way, so nobody waits here."""
        if self.desk is not None:  # else it comes before anything is open: it is sent again
            self.desk.hand_in(arrival.payload, via="mqtt", retained=arrival.retained)

    def submit(self, command: Command, sender: Sender) -> Future[CommandReply]:
        """A command of somebody on this machine. Raises :class:`CommandError`."""
        if self.desk is None:
            raise CommandError(_STARTING)
        return self.desk.hand_in(command.to_json(), via="local", sender=sender)

    def execute(self, command: Command) -> CommandReply:
        """A command that came over HTTP; whoever sent it waits. Raises :class:`CommandError`."""
        if self.desk is None:
            raise CommandError(_STARTING)
        try:
            return self.desk.hand_in(command.to_json(), via="http").result(COMMAND_WITHIN_S)
        except TimeoutError:
            raise CommandError(
                f"{command.name} takes long; its reply will be in the audit and on MQTT"
            ) from None
