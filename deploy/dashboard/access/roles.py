"""What a user may do: each role may do all that the one before it may."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Role: TypeAlias = Literal["viewer", "reviewer", "lead", "admin"]
"""A viewer looks; a reviewer decides about cells and signs; a lead reads who decided what, and has
the chain of decisions checked; an admin is a lead who also keeps users."""

ROLES: tuple[Role, ...] = get_args(Role)


def at_least(role: str, needed: Role) -> bool:
    """Whether ``role`` may do what ``needed`` may; an unknown role may do nothing."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(needed)
