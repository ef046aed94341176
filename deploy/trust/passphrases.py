"""The passphrases of a repository's keys: one for all of them, or one for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy.passphrases import Passphrase
from deploy.trust.errors import TrustError

VARIABLE = "LEUKO_REPO_PASSPHRASE"
"""Of the environment: for every key, or with ``_`` and a key's name behind it for that one."""

PassphraseOf = Callable[[Path], str]
"""Of a key's file."""


def variable_of(key: Path) -> str:
    """The variable for one key: ``LEUKO_REPO_PASSPHRASE_ROOT_0123456789AB``."""
    return f"{VARIABLE}_{key.stem.upper().replace('-', '_')}"


def ask(key: Path) -> str:
    """The passphrase of a key that is there. Raises :class:`TrustError`: there is none."""
    return _of(key).ask()


def choose(key: Path) -> str:
    """The passphrase of a key that is being made. Raises :class:`TrustError`."""
    return _of(key).choose()


def _of(key: Path) -> Passphrase:
    return Passphrase(key.name, (variable_of(key), VARIABLE), TrustError)
