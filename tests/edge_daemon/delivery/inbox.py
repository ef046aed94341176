"""A receiver for tests that writes down what arrives."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from typing_extensions import Self

from edge_daemon.contract.messages import FrameResult, Message, Status
from edge_daemon.delivery.receiver import BootLedger, Received, Receiver, wait_until
from edge_daemon.delivery.settings import BrokerSettings


def brisk(url: str, **more: Any) -> BrokerSettings:
    """Settings that reconnect without making a test wait."""
    return BrokerSettings(url=url, reconnect_min_s=0.05, reconnect_max_s=0.2, **more)


class Inbox:
    """``with Inbox(settings) as inbox:`` subscribes; then ask what came."""

    def __init__(self, settings: BrokerSettings, *, send_receipts: bool = False) -> None:
        self.received: list[Received] = []
        self.receiver = Receiver(settings, self.received.append, send_receipts=send_receipts)

    @property
    def frames(self) -> list[int]:
        """Numbers of the frames that arrived, in order of arrival."""
        messages = [received.message for received in self.received]
        return [m.frame for m in messages if isinstance(m, FrameResult)]

    @property
    def historical(self) -> list[int]:
        """Numbers of the frames that had waited for a connection."""
        messages = [received.message for received in self.received if received.historical]
        return [m.frame for m in messages if isinstance(m, FrameResult)]

    def of(self, kind: type[Message]) -> list[Any]:
        """Messages of one kind, in order of arrival."""
        return [r.message for r in self.received if isinstance(r.message, kind)]

    @property
    def states(self) -> list[str]:
        messages = [received.message for received in self.received]
        return [m.state for m in messages if isinstance(m, Status)]

    @property
    def ledger(self) -> BootLedger:
        """What arrived of the only device's only boot."""
        (ledger,) = self.receiver.ledgers.values()
        return ledger

    def wait_for_frames(self, count: int, timeout_s: float = 15.0) -> bool:
        return wait_until(lambda: len(self.frames) >= count, timeout_s)

    def wait_for_crops(self, count: int, timeout_s: float = 15.0) -> bool:
        return wait_until(
            lambda: sum(r.jpeg is not None for r in self.received) >= count, timeout_s
        )

    def __enter__(self) -> Self:
        self.receiver.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.receiver.stop()
