"""Under which licence a package stands, and whether it may be installed with LeukoEdge.

What is allowed, and each exception with its reason, stands in ``licences.toml`` beside this file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from edge_daemon.contract.base import StrictModel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIST = Path(__file__).with_name("licences.toml")
UNKNOWN = "LicenseRef-unknown"

_WORD = re.compile(r"\(|\)|[^\s()]+")
_OPERATORS = {"AND", "OR", "WITH", "(", ")"}


class Exempt(StrictModel):
    """Packages, by the beginning of their names, that are installed under another licence."""

    licence: str
    reason: str


class Allowed(StrictModel):
    """The content of ``licences.toml``."""

    allowed: tuple[str, ...]
    said: dict[str, str]
    package: dict[str, str]
    exception: dict[str, Exempt]

    def licence_of(self, name: str) -> str:
        """SPDX expression of a package; ``LicenseRef-unknown`` where nobody says it.

        What the package says of itself goes before what stands in the list.
        """
        said = self._said_by(name)
        if said is not None:
            return said
        exempt = self.exempt(name)
        return self.package.get(name, UNKNOWN) if exempt is None else exempt.licence

    def may_be(self, name: str, *, on_a_device: bool = False) -> bool:
        """Whether a package may be installed; a device has no exceptions."""
        licence, exempt = self.licence_of(name), self.exempt(name)
        if self.allows(licence):
            return True
        return not on_a_device and exempt is not None and exempt.licence == licence

    def _said_by(self, name: str) -> str | None:
        try:
            fields: Any = distribution(name).metadata
        except PackageNotFoundError:
            return None
        expression = fields.get("License-Expression")
        if expression:
            return str(expression)
        classified = [
            self.said.get(one.split(" :: ")[-1], UNKNOWN)
            for one in fields.get_all("Classifier") or []
            if one.startswith("License :: ") and one != "License :: OSI Approved"
        ]
        if UNKNOWN in classified:
            return None
        first = str(fields.get("License") or "").strip().split("\n")[0].strip()
        written = self.said.get(first, first if Expression(first).is_sound(self.allowed) else None)
        vague = "LicenseRef-BSD"
        if len(classified) == 1 and (classified[0] != vague or written is None):
            return classified[0]
        return written

    def allows(self, expression: str) -> bool:
        """Whether one may take it under licences that are all allowed."""
        return Expression(expression).holds(self.allowed)

    def exempt(self, name: str) -> Exempt | None:
        """The exception that a package falls under."""
        for prefix, found in self.exception.items():
            if name == prefix or name.startswith(f"{prefix}-"):
                return found
        return None


@dataclass(frozen=True)
class Expression:
    """An SPDX licence expression: ``AND`` binds before ``OR``, ``WITH`` before both."""

    text: str

    @cached_property
    def _words(self) -> list[str]:
        return _WORD.findall(self.text)

    def is_sound(self, known: tuple[str, ...]) -> bool:
        """Whether all the names in it are known."""
        return self.text != "" and all(
            word in _OPERATORS or word in known or word.endswith("-exception")
            for word in self._words
        )

    def holds(self, allowed: tuple[str, ...]) -> bool:
        """Whether it can be met with allowed licences only; False of what is no expression."""
        words = [*self._words, ")"]
        try:
            found, left = _either(words, allowed)
        except IndexError:
            return False
        return found and left == []


def _either(words: list[str], allowed: tuple[str, ...]) -> tuple[bool, list[str]]:
    """Up to and with the closing bracket."""
    found, words = _all(words, allowed)
    while words[0] == "OR":
        other, words = _all(words[1:], allowed)
        found = found or other
    return (found, words[1:]) if words[0] == ")" else (False, words)


def _all(words: list[str], allowed: tuple[str, ...]) -> tuple[bool, list[str]]:
    found, words = _one(words, allowed)
    while words[0] == "AND":
        other, words = _one(words[1:], allowed)
        found = found and other
    return found, words


def _one(words: list[str], allowed: tuple[str, ...]) -> tuple[bool, list[str]]:
    if words[0] == "(":
        return _either(words[1:], allowed)
    name, words = words[0], words[1:]
    if words[0] == "WITH":
        name, words = f"{name} WITH {words[1]}", words[2:]
    return name in allowed, words


def load(path: Path = LIST) -> Allowed:
    """Read the list; it is part of this program, so what is wrong with it is a bug."""
    values: Mapping[str, Any] = tomllib.loads(path.read_text("utf-8"))
    return Allowed.model_validate(values)
