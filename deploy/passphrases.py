"""Where a passphrase comes from: the environment, or whoever sits at the terminal."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from edge_daemon.errors import LeukoError

SHORTEST = 16
"""Characters. PKCS#8 as libraries write it stretches a passphrase by 2,048 rounds only, so that its
length is what keeps a stolen key shut; six words drawn by dice have 77 bits."""


def refuse_short(passphrase: str, error: type[LeukoError]) -> None:
    """Raise ``error`` for one that can be guessed: devices believe what its key signs."""
    if len(passphrase) < SHORTEST:
        raise error(
            f"the passphrase is too short: take {SHORTEST} characters or more, such as six words "
            "drawn by dice"
        )


@dataclass(frozen=True)
class Passphrase:
    """Of one key."""

    of: str
    """What it opens, for the prompt."""
    variables: Sequence[str]
    """Of the environment, the first that is set counts."""
    error: type[LeukoError]
    """What is raised when there is none."""

    def ask(self) -> str:
        """The one of a key that is there.

        Raises:
            LeukoError: of kind :attr:`error`; the environment has none, and nobody can be asked.
        """
        return self._from_environment() or self._prompt(f"Passphrase of {self.of}: ")

    def choose(self) -> str:
        """The one of a key that is being made, asked for twice.

        Raises:
            LeukoError: as :meth:`ask`, or the two differ, or it is too short.
        """
        chosen = self._from_environment()
        if chosen is None:
            chosen = self._prompt(f"New passphrase for {self.of}: ")
            if chosen != self._prompt("Once more: "):
                raise self.error(f"the two passphrases for {self.of} differ; it was not made")
        refuse_short(chosen, self.error)
        return chosen

    def _from_environment(self) -> str | None:
        given = (os.environ.get(variable) for variable in self.variables)
        return next((one for one in given if one), None)

    def _prompt(self, prompt: str) -> str:
        if not sys.stdin.isatty():
            variables = " or ".join(self.variables)
            raise self.error(f"{self.of}: no passphrase: set {variables}, or call from a terminal")
        return getpass.getpass(prompt)
