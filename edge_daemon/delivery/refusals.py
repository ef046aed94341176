"""What the broker does not take, remembered across connections, so that the rest gets through.

A refusal is rarely just an answer. Mosquitto 2.0 acknowledges a forbidden MQTT 5 publish with "not
authorized" and then closes the connection; other brokers close it without a word. Offering the
same message again at once would keep everything else from ever being sent, so a refused topic is
left alone for a while, and so is a message on which the connection broke three times.
"""

from __future__ import annotations

import time

_SUSPICIONS = 3
"""Broken connections with the same single message under way before it is held back."""

_OF_THE_TOPIC = ("not authorized", "topic name invalid")
"""Reasons that hold for every message of the topic."""


class Refusals:
    """Topics and messages the broker refuses; used by the publisher's thread only."""

    def __init__(self, retry_s: float) -> None:
        self.topics: set[str] = set()
        """Topics to leave alone until the next retry."""
        self.line: str | None = None
        """What is refused and why, for the operator; None when nothing is."""
        self.count = 0
        """Refusals since the start of the daemon."""
        self._retry_s = retry_s
        self._retry_at_s = 0.0
        self._suspect: int | None = None
        self._suspicions = 0

    def add(self, topic: str, reason: str) -> bool:
        """Note a refusal; True when it is another one than was told before."""
        told_before = self.line
        self.count += 1
        self.line = f"it refuses {topic} ({reason}): check this device's rights and its limits"
        self._retry_at_s = time.monotonic() + self._retry_s
        if reason in _OF_THE_TOPIC:
            self.topics.add(topic)
        return self.line != told_before

    def suspect(self, entry_id: int) -> bool:
        """The connection broke with only this message under way; True when it did so too often."""
        self._suspicions = self._suspicions + 1 if entry_id == self._suspect else 1
        self._suspect = entry_id
        return self._suspicions >= _SUSPICIONS

    def retry_is_due(self) -> bool:
        """Whether to offer everything again now; the topics are then open again."""
        if self.line is None or time.monotonic() < self._retry_at_s:
            return False
        self._retry_at_s = time.monotonic() + self._retry_s
        self.topics.clear()
        return True

    def forget(self) -> None:
        """Everything that had been refused was taken."""
        self.line = None
