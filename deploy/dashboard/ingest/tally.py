"""How the ingest fares, in numbers."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_RECENT = 2000


@dataclass
class Tally:
    """Of one worker since it began."""

    messages: int = 0
    """Taken from the broker and committed, repeats and what was kept aside among them."""
    news: int = 0
    repeats: int = 0
    aside: int = 0
    given_up: int = 0
    """Health messages that found no room while the database was away."""
    commits: int = 0
    receipts: int = 0
    waiting: int = 0
    """In memory, not committed."""
    connections: int = 0
    failures: int = 0
    """Commits that failed and were tried again."""
    commit_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    """How long the last commits took."""
    wait_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    """From the arrival of the first message of a batch to its commit."""

    def record(self, at: datetime) -> dict[str, Any]:
        """For programs."""
        counts = {
            name: getattr(self, name)
            for name in (
                "messages", "news", "repeats", "aside", "given_up", "commits", "receipts",
                "waiting", "connections", "failures",
            )
        }  # fmt: skip
        return {
            "at": at.isoformat(),
            **counts,
            "commit_p50_ms": percentile(self.commit_ms, 0.5),
            "commit_p99_ms": percentile(self.commit_ms, 0.99),
            "wait_p50_ms": percentile(self.wait_ms, 0.5),
            "wait_p99_ms": percentile(self.wait_ms, 0.99),
        }

    def as_json(self, at: datetime) -> str:
        """One line."""
        return json.dumps(self.record(at))

    def as_line(self, per_s: float) -> str:
        """For people."""
        p99 = percentile(self.commit_ms, 0.99)
        parts = [f"{self.news} entered", f"{per_s:.0f}/s"]
        parts += [f"{self.repeats} repeats"] if self.repeats else []
        parts += [f"{self.aside} kept aside"] if self.aside else []
        parts += [f"{self.given_up} given up"] if self.given_up else []
        parts += [f"commit p99 {p99:.0f} ms"] if p99 is not None else []
        parts += [f"{self.waiting} waiting"] if self.waiting else []
        return ", ".join(parts)


def percentile(values: deque[float], share: float) -> float | None:
    """The value below which this share of them lies; None of none."""
    if not values:
        return None
    ranked = sorted(values)
    return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 2)
