"""Receipts that are due: gathered from commits, sent a few times a minute and device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from deploy.dashboard.ingest.entering import Due
from edge_daemon.contract.messages import MOST_STRETCHES, Receipt
from edge_daemon.contract.topics import topic_of
from edge_daemon.delivery.parcel import Parcel

Start: TypeAlias = tuple[str, str, str]
"""Site, device, boot_id."""
PRESSING = 10
"""A device with a backlog sends no more than 25 messages ahead of their receipts."""


class Receipts:
    """What was committed and not receipted yet.

    It is lost with the process, and made up for when the device sends again.
    """

    def __init__(self) -> None:
        self._due: dict[Start, tuple[int, dict[int, int]]] = {}
        self._records: Counter[Start] = Counter()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, due: Iterable[Due]) -> None:
        """Something was committed."""
        for one in due:
            key = (one.site, one.device, one.boot_id)
            up_to, beyond = self._due.get(key, (0, {}))
            up_to = max(up_to, one.up_to_seq)
            for first, last in one.beyond:
                beyond[first] = max(last, beyond.get(first, 0))
            beyond = {first: last for first, last in beyond.items() if last > up_to}
            self._due[key] = (up_to, beyond)
            self._records[key] += one.records

    def take(self, most: int, *, pressing: bool = False) -> Iterator[Parcel]:
        """Of so many starts, or of those that a device waits for; they are due no more."""
        ready = [key for key in self._due if not pressing or self._records[key] >= PRESSING]
        for key in ready[: max(0, most)]:
            site, device, boot_id = key
            up_to, beyond = self._due.pop(key)
            del self._records[key]
            stretches = sorted(beyond.items())
            for start in range(0, max(1, len(stretches)), MOST_STRETCHES):
                receipt = Receipt(
                    site=site,
                    device=device,
                    boot_id=boot_id,
                    up_to_seq=up_to,
                    beyond=tuple(stretches[start : start + MOST_STRETCHES]),
                )
                yield Parcel(topic_of(receipt), receipt.to_json(), boot_id, 0)
