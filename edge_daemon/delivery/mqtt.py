"""The publisher: one thread that carries the outbox to the broker, for as long as it takes.

The daemon never waits for a broker. If it is not there, results fill the outbox and one line says
so; when it comes, they go out oldest first. A message leaves the outbox when the broker has
acknowledged it with a reason code below 0x80, or, where a receiver is configured, when its receipt
has come. A message the broker refuses is kept, reported and offered again later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, TypeAlias

from typing_extensions import Self

from edge_daemon import __version__
from edge_daemon.contract.messages import Health, Status, UpdateReport, UpdateStanding
from edge_daemon.delivery.backoff import Backoff
from edge_daemon.delivery.link import Arrival
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin, Parcel, parcel_of
from edge_daemon.delivery.refusals import Refusals
from edge_daemon.delivery.session import Session
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError, DiskFullError, LeukoError, OutboxError

State: TypeAlias = Literal["online", "degraded", "offline"]

_PUMP_S = 0.02
"""Longest wait inside the connection; a new result is picked up within it."""
_GOODBYE_S = 2.0
"""Longest wait for what the old broker was given, when the device goes to another one."""
_LOOK_AT_UPDATES_S = 0.5
_HELD_S = 10.0
"""A connection that lasted this long was a good one: the next wait is short again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LinkState:
    """How the way to the broker stands, for the operator."""

    connected: bool
    line: str
    """One line: what is connected, or why not, and what the broker refuses."""
    refusals: int
    """Times the broker refused a message since the start of the daemon."""
    trouble: str | None = None
    """Why what waits for the broker may soon be given up."""


class Publisher:
    """Carries an outbox to a broker. Methods may be called from any thread.

    ``with Publisher(...) as publisher:`` starts and stops it; close the outbox after it.
    """

    def __init__(self, settings: BrokerSettings, outbox: Outbox, origin: Origin) -> None:
        self.origin = origin
        """Who is speaking; changed by :meth:`speak_as`."""
        self.on_command: Callable[[Arrival], None] | None = None
        """Takes what comes on the topics of commands, in the publisher's thread; set it before the
        start. None listens to none."""
        self.on_desired: Callable[[Arrival], None] | None = None
        """The same for what is desired of this device."""
        self.updates: Callable[[], UpdateStanding | None] | None = None
        """Says how updates stand, in the publisher's thread; set it before the start."""
        self._settings = settings
        self._address = 0
        """Which of the broker's addresses is tried; the next one when it is lost."""
        self._outbox = outbox
        self._connected = False
        self._line = f"broker {settings.url}: not connected yet"
        self._refusals = Refusals(settings.refused_retry_s)
        self._state: tuple[State, str | None] = ("online", None)
        self._health: Parcel | None = None
        self._failure: LeukoError | None = None
        self._news = threading.Event()
        self._moved = threading.Event()
        self._renewed = threading.Event()
        self._stopping = threading.Event()
        self._stop_by_s = 0.0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to connect and publish, in the background."""
        self._outbox.on_put = self._news.set
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Say that the device goes offline, and disconnect; what is undelivered stays stored."""
        self._stop_by_s = time.monotonic() + timeout_s
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 2 * self._settings.connect_timeout_s)

    def flush(self, timeout_s: float) -> int:
        """Wait until everything the broker takes is delivered; returns how many messages are left.

        Raises:
            LeukoError: the publisher's thread has failed, see :attr:`failure`.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            if self._failure is not None:
                raise self._failure
            depth = self._outbox.depth()
            if depth.messages == depth.refused or time.monotonic() >= deadline_s:
                return depth.messages
            time.sleep(_PUMP_S)

    @property
    def failure(self) -> LeukoError | None:
        """Why the publisher's thread gave up (the outbox failed), or None while it works."""
        return self._failure

    @property
    def link(self) -> LinkState:
        """How the way to the broker stands now."""
        refused = f"; {self._refusals.line}" if self._refusals.line else ""
        return LinkState(
            self._connected, self._line + refused, self._refusals.count, self._outbox.trouble
        )

    def set_state(self, state: State, reason: str | None = None) -> None:
        """Tell everyone, now and at each connection, how the device is."""
        self._state = (state, reason)

    def move(self, settings: BrokerSettings) -> None:
        """Go to another broker, or to the same in another way; the device is offline meanwhile."""
        self._settings = settings
        self._moved.set()

    def speak_as(self, origin: Origin) -> None:
        """Another bundle is at work from now on.

        The connection is made anew, without a word of going offline: its last will, which the
        broker has had since it was made, names the bundle too.
        """
        self.origin = origin
        self._renewed.set()

    def publish_health(self, health: Health) -> None:
        """Send a health message if there is a connection; only the newest one waits for it."""
        self._health = parcel_of(health)

    def _run(self) -> None:
        backoff = Backoff(self._settings)
        try:
            while not self._stopping.is_set():
                began_s = time.monotonic()
                try:
                    self._connect_and_serve()
                except BrokerError as error:
                    self._report_down(str(error))
                    self._address += 1
                except DiskFullError as error:  # what is delivered makes room: go on
                    self._report_down(str(error))
                self._outbox.release_in_flight()
                if time.monotonic() - began_s > _HELD_S:
                    backoff.reset()
                if self._moved.is_set():
                    self._moved.clear()
                    self._address = 0
                    backoff = Backoff(self._settings)
                    continue
                if self._renewed.is_set():
                    continue
                self._stopping.wait(backoff.next_s())
        except OutboxError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a thread must not die unseen
            _log.debug("the publisher failed", exc_info=True)
            self._fail(BrokerError(f"the publisher stopped on an error of its own: {error!r}"))

    def _connect_and_serve(self) -> None:
        settings = self._settings.at(self._address)
        url = settings.url
        self._renewed.clear()
        will = self._status("offline", "the connection to the device was lost")
        session = Session(
            settings,
            self._outbox,
            self.origin,
            will,
            self._refusals,
            self.on_command,
            self.on_desired,
        )
        self._connected, self._line = True, f"broker {url}: connected with {session.link.protocol}"
        _log.info("%s", self._line)
        self._serve(session)
        if session.link.lost is not None:
            raise BrokerError(f"broker {url}: connection ended ({session.link.lost})")
        session.close_window()
        goes_on = not self._stopping.is_set()
        if not goes_on or self._moved.is_set():
            why = "the device goes to another broker" if goes_on else "the daemon was stopped"
            session.send_passing(self._status("offline", why))
        stop_by_s = time.monotonic() + _GOODBYE_S if goes_on else self._stop_by_s
        while not session.settled and time.monotonic() < stop_by_s and session.step(_PUMP_S):
            pass
        session.link.close()
        self._connected, self._line = False, f"broker {url}: disconnected"

    def _serve(self, session: Session) -> None:
        """Work until the connection ends or the daemon stops."""
        told: tuple[State, str | None] | None = None
        updates: UpdateStanding | None = None
        look_at_s = 0.0
        alive = True
        over = (self._stopping, self._moved, self._renewed)
        while alive and not any(event.is_set() for event in over):
            state = self._state
            if state[0] == "online":
                state = self._delivery_state()
            if state != told:
                session.send_passing(self._status(*state))
                told = state
            health, self._health = self._health, None
            if health is not None:
                session.send_passing(health)
            if self.updates is not None and time.monotonic() >= look_at_s:
                look_at_s = time.monotonic() + _LOOK_AT_UPDATES_S
                standing = self.updates()
                if standing is not None and standing != updates:
                    session.send_passing(self._report(standing))
                    updates = standing
            if self._news.is_set():
                self._news.clear()
                session.look_again()
            alive = session.step(_PUMP_S)

    def _delivery_state(self) -> tuple[State, str | None]:
        if self._refusals.line is not None:
            return "degraded", f"the broker does not take everything: {self._refusals.line}"
        trouble = self._outbox.trouble
        return ("online", None) if trouble is None else ("degraded", trouble)

    def _status(self, state: State, reason: str | None) -> Parcel:
        envelope = self._outbox.passing_envelope(self.origin)
        return parcel_of(Status(**envelope, state=state, reason=reason, version=__version__))

    def _report(self, standing: UpdateStanding) -> Parcel:
        envelope = self._outbox.passing_envelope(self.origin)
        return parcel_of(UpdateReport(**envelope, standing=standing))

    def _fail(self, failure: LeukoError) -> None:
        self._failure = failure
        self._connected, self._line = False, str(failure)
        _log.critical("%s", failure)

    def _report_down(self, line: str) -> None:
        if self._line != line:  # once for each cause, not at each attempt
            _log.warning("%s; results wait in the outbox", line)
        self._connected, self._line = False, line
