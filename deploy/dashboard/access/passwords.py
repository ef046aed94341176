"""Passwords: argon2id with the parameters of RFC 9106 for memory-constrained machines.

A check takes as long for a user who does not exist, so that nobody learns names from a clock.
"""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from deploy.dashboard.access.errors import AccessError

SHORTEST = 12
"""Characters. NIST SP 800-63B asks for eight; no rule about their kinds, as it advises."""
LONGEST = 256
"""Longer ones are refused before they are hashed: a megabyte of password is an attack."""

_AT_ONCE = threading.BoundedSemaphore(4)
"""Each check takes 64 MiB: a storm of logins waits instead of taking the memory."""
_hasher = PasswordHasher()  # argon2id, 3 passes, 64 MiB, 4 lanes
_NOBODY = _hasher.hash("the password of nobody")


def hashed(password: str) -> str:
    """As it is stored.

    Raises:
        AccessError: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccessError(f"a password has {SHORTEST} to {LONGEST} characters: choose another")
    with _AT_ONCE:
        return _hasher.hash(password)


def fits(password: str, stored: str | None) -> bool:
    """Whether this is the password; ``stored`` is None where there is no such user."""
    if len(password) > LONGEST:
        password, stored = "", None
    with _AT_ONCE:
        try:
            _hasher.verify(_NOBODY if stored is None else stored, password)
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def outdated(stored: str) -> bool:
    """Whether it was hashed with weaker parameters than a new one would be."""
    return _hasher.check_needs_rehash(stored)
