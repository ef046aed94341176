"""Patients who share cells become one group: nothing finer may be split."""

from __future__ import annotations

import re
from collections.abc import Iterable

_JOINT = "+"


def merge_groups(groups: Iterable[str], shared: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The new name of each of ``groups`` once those that share a cell are one.

    ``shared`` holds pairs of groups with a cell in common; names that differ only in capitals are
    one patient too. A merged group is named by its parts in order, ``51+75+78``.
    """
    leader: dict[str, str] = {}

    def find(group: str) -> str:
        while leader.setdefault(group, group) != group:
            leader[group] = leader[leader[group]]  # halve the way for the next one
            group = leader[group]
        return group

    known = set(groups)
    by_spelling: dict[str, str] = {}
    for group in sorted(known):
        leader[find(group)] = find(by_spelling.setdefault(group.lower(), group))
    for first, second in shared:
        leader[find(first)] = find(second)
    members: dict[str, set[str]] = {}
    for group in known:
        members.setdefault(find(group), set()).add(group)
    return {
        group: group if len(merged) == 1 else _joined(merged)
        for merged in members.values()
        for group in merged
    }


def _joined(groups: Iterable[str]) -> str:
    parts = {part for group in groups for part in group.split(_JOINT)}
    return _JOINT.join(sorted(parts, key=_by_number))


def _by_number(part: str) -> tuple[list[tuple[int, str]], str]:
    """Natural order: 9 before 11, H2 before H10; the part itself where capitals alone differ."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", part.lower())
    return [(int(text), "") if text[0] in "0123456789" else (-1, text) for text in pieces], part
