"""Commands from outside: checked, carried out once, written down, answered.

They come by MQTT or by the local interface, in any thread; they are carried out between two frames,
in the thread of the frame loop, so that none finds the device in the middle of something. What is
refused is refused with a reason; what is repeated is answered again and not done again.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from edge_daemon.config import CommandSettings
from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.envelope import as_reason, utc_now
from edge_daemon.contract.messages import Command, CommandReply, parse_message
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin, parcel_of
from edge_daemon.errors import CommandError as CommandError  # for all who carry commands out
from edge_daemon.errors import LeukoError, MessageError
from edge_daemon.ledger.audit import Answer, CommandAudit, Sender

MOST_BYTES = 16_384
"""A command is some hundred bytes; anything larger is none."""
MOST_WAITING = 64
LONGEST_VALIDITY = timedelta(hours=24)
"""A command that is valid for longer could be replayed when its first answer is forgotten."""

log = logging.getLogger(__name__)


class NoArgs(StrictModel):
    """Of a command that takes none."""


Args = TypeVar("Args", bound=StrictModel)


def arguments(model: type[Args], command: Command) -> Args:
    """The arguments of a command.

    Raises:
        CommandError: one line that says which is wrong.
    """
    try:
        return model.model_validate(command.args)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "args"
        raise CommandError(f"{command.name}: {where}: {first['msg']}") from None


Handler = Callable[[Command], dict[str, Any]]
"""Carries a command out and returns its result. Raises :class:`LeukoError` when it cannot."""


@dataclass
class _HandedIn:
    payload: bytes
    via: str
    retained: bool
    sender: Sender
    reply: Future[CommandReply] = field(default_factory=Future)


class CommandDesk:
    """Takes commands in any thread and has them carried out in one."""

    def __init__(
        self,
        origin: Origin,
        outbox: Outbox,
        settings: CommandSettings | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = origin
        self.refused = 0
        """Commands refused so far, for whatever reason."""
        self._outbox = outbox
        self._audit = CommandAudit(outbox)
        self._settings = settings or CommandSettings()
        self._now = now
        self._clock = clock
        self._waiting: queue.Queue[_HandedIn] = queue.Queue(MOST_WAITING)
        self._allowance = float(self._settings.per_minute)
        self._allowance_at_s = clock()
        self._flooded = False

    def hand_in(
        self,
        payload: bytes,
        *,
        via: str,
        retained: bool = False,
        sender: Sender = Sender(),
    ) -> Future[CommandReply]:
        """Take a command as it came; any thread may. The answer comes after the present frame.

        The future fails with :class:`CommandError` where there is nobody to answer to: too many
        commands wait, or what came is no command.
        """
        handed_in = _HandedIn(payload[: MOST_BYTES + 1], via, retained, sender)
        try:
            self._waiting.put_nowait(handed_in)
        except queue.Full:
            self.refused += 1
            handed_in.reply.set_exception(CommandError("too many commands wait; try again later"))
        return handed_in.reply

    def carry_out(self, handle: Handler) -> None:
        """Answer everything that waits."""
        while True:
            try:
                handed_in = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                handed_in.reply.set_result(self._answer(handed_in, handle))
            except CommandError as error:
                handed_in.reply.set_exception(error)

    def configure(self, settings: CommandSettings) -> None:
        """Go by other rules from the next command on."""
        self._settings = settings

    def close(self) -> None:
        """Refuse what still waits: nobody will carry it out."""
        self.carry_out(_refuse_all)

    def _answer(self, handed_in: _HandedIn, handle: Handler) -> CommandReply:
        if not self._has_allowance():
            self.refused += 1
            if not self._flooded:
                self._flooded = True
                log.warning(
                    "more than %d commands a minute: refusing the rest without an answer",
                    self._settings.per_minute,
                )
            raise CommandError("too many commands a minute; try again later")
        self._flooded = False
        command, fault = self._read(handed_in)
        if command is None:
            self._refuse_unread(handed_in, fault or "not a command")
        repeated = self._audit.answer_to(command.id)
        if repeated is not None:
            return self._reply(command, repeated, handed_in, write=False)
        reason = fault or self._why_not(command, handed_in)
        if reason is None:
            try:
                answer = Answer(None, handle(command))
            except LeukoError as error:
                answer = Answer(as_reason(str(error)), {})
        else:
            answer = Answer(reason, {})
        return self._reply(command, answer, handed_in)

    def _read(self, handed_in: _HandedIn) -> tuple[Command | None, str | None]:
        if len(handed_in.payload) > MOST_BYTES:
            return None, f"over {MOST_BYTES} bytes: not a command"
        try:
            message = parse_message(handed_in.payload)
        except MessageError as error:
            return None, str(error)
        if not isinstance(message, Command):
            return None, f"a {message.schema_id} is not a command"
        return message, None

    def _why_not(self, command: Command, handed_in: _HandedIn) -> str | None:
        now = self._now()
        if handed_in.retained:
            return "it was retained by the broker: send commands without the retain flag"
        if (command.site, command.device) != (self.origin.site, self.origin.device):
            return f"it is for {command.site}/{command.device}"
        if command.expires_at <= now:
            return (
                f"it expired at {command.expires_at:%Y-%m-%d %H:%M:%S} UTC; this device's clock "
                f"says {now:%Y-%m-%d %H:%M:%S}"
            )
        if command.expires_at > now + LONGEST_VALIDITY:
            return "it is valid for more than 24 hours: send it when it is wanted"
        if command.name not in self._settings.allow:
            return f"{command.name} is not in [commands] allow of this device"
        return None

    def _refuse_unread(self, handed_in: _HandedIn, fault: str) -> NoReturn:
        self.refused += 1
        log.warning("a command by %s was refused: %s", handed_in.via, fault)
        with self._outbox.transaction() as batch:
            answer = Answer(fault, {})
            self._audit.write(batch, self._now(), handed_in.via, None, answer, handed_in.sender)
        raise CommandError(fault)

    def _reply(
        self, command: Command, answer: Answer, handed_in: _HandedIn, *, write: bool = True
    ) -> CommandReply:
        if answer.reason is not None:
            self.refused += 1
            log.warning("%s by %s was refused: %s", command.name, handed_in.via, answer.reason)
        elif write:
            log.info("%s by %s: done", command.name, handed_in.via)
        with self._outbox.transaction() as batch:
            if write:
                via, sender = handed_in.via, handed_in.sender
                self._audit.write(batch, self._now(), via, command, answer, sender)
            reply = CommandReply(
                **batch.envelope(self.origin),
                id=command.id,
                name=command.name,
                ok=answer.reason is None,
                reason=answer.reason,
                result=answer.result,
            )
            batch.put(parcel_of(reply))
        return reply

    def _has_allowance(self) -> bool:
        """A bucket that fills at the allowed rate and holds a minute's worth."""
        now, most = self._clock(), float(self._settings.per_minute)
        self._allowance += (now - self._allowance_at_s) * most / 60
        self._allowance = min(self._allowance, most)
        self._allowance_at_s = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


def _refuse_all(_command: Command) -> dict[str, Any]:
    raise CommandError("the daemon is stopping")
