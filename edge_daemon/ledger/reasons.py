"""Why frames were not analysed, counted by a few words each: few enough for a table on a screen."""

from __future__ import annotations

from collections import Counter

MOST_REASONS = 40
"""Different ones that are told apart on one slide."""
OTHERS = "other reasons"
_LONGEST = 60


def in_few_words(reason: str | None, source: str = "") -> str:
    """What a frame's reason says before its measurements: ``what: by how much: what to do``.

    ``source`` is the frame's own, which would make every reason another one.
    """
    text = reason or ""
    if source:
        text = text.replace(source, "")
    return text.strip(" :").partition(":")[0].strip()[:_LONGEST] or "unknown"


def count(reasons: Counter[str], reason: str) -> None:
    """Count one frame; what comes after too many different ones is counted together."""
    known = reason in reasons or len(reasons) < MOST_REASONS
    reasons[reason if known else OTHERS] += 1
