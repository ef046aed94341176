"""Outbox and publisher together, for as long as a command runs."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import DEFAULT_BUDGET_BYTES, Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.delivery.room import KEEP_FREE_BYTES
from edge_daemon.delivery.settings import BrokerSettings


class Delivery:
    """An open outbox and the thread that empties it. A context manager."""

    def __init__(
        self,
        broker: BrokerSettings,
        outbox: Path,
        origin: Origin,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        keep_free_bytes: int = KEEP_FREE_BYTES,
    ) -> None:
        self.address = broker.url
        self.outbox = Outbox(outbox, budget_bytes=budget_bytes, keep_free_bytes=keep_free_bytes)
        self.publisher = Publisher(broker, self.outbox, origin)

    def __enter__(self) -> Self:
        self.publisher.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.publisher.stop()
        self.outbox.close()
