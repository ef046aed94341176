"""Identities, and the common name by which a broker knows each.

A device is ``SITE/DEVICE``, the two levels of its topics, so that what the broker reads from the
certificate and what stands in the topic are the same text. Everything else is ``ROLE:NAME``: a
colon stands in no site and no device, so no service can pass for one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from deploy.identity.errors import IdentityError
from edge_daemon.contract.topics import check_name
from edge_daemon.errors import MessageError

Role: TypeAlias = Literal["device", "dashboard", "receiver", "controller", "server", "node"]
"""``dashboard`` reads, ``receiver`` reads and sends receipts, ``controller`` reads and commands;
``server`` is a broker or a page over HTTPS, ``node`` one of a cluster."""

ROLES: tuple[Role, ...] = get_args(Role)
SERVERS: tuple[Role, ...] = ("server", "node")
"""Roles that are reached by a host name."""

MOST_COMMON_NAME = 64
"""``ub-common-name`` of RFC 5280, appendix A.1."""

_WHAT: dict[Role, tuple[str, ...]] = {"device": ("site", "device")}


@dataclass(frozen=True, order=True)
class Identity:
    """Who a certificate speaks for. Made by :func:`identity`, which checks it."""

    role: Role
    name: str
    """``SITE/DEVICE``, or the name of a service."""

    @property
    def common_name(self) -> str:
        """What stands in the certificate, and what the broker takes for the user's name."""
        return self.name if self.role == "device" else f"{self.role}:{self.name}"

    @property
    def is_client(self) -> bool:
        """Whether the broker lets it in."""
        return self.role not in SERVERS

    def __str__(self) -> str:
        return self.common_name


def identity(name: str, role: Role = "device") -> Identity:
    """Who is meant by a name of the command line.

    Raises:
        IdentityError: it is no name that a topic can carry, or too long for a certificate.
    """
    levels = name.split("/")
    if role == "device" and len(levels) != 2:
        raise IdentityError(
            f"device {name[:80]!r}: write SITE/DEVICE, the two levels of its topics"
        )
    if role != "device" and len(levels) != 1:
        raise IdentityError(f"{role} {name[:80]!r}: the name of a {role} has no '/'")
    try:
        for level, what in zip(levels, _WHAT.get(role, (role,)), strict=True):
            check_name(level, what)
    except MessageError as error:
        raise IdentityError(str(error)) from None
    made = Identity(role, name)
    if len(made.common_name) > MOST_COMMON_NAME:
        raise IdentityError(
            f"{made}: a certificate holds names of {MOST_COMMON_NAME} characters, this one has "
            f"{len(made.common_name)}: shorten the site or the device"
        )
    return made


def parse_identity(text: str) -> Identity:
    """The identity of a common name, or of ``ROLE:NAME`` as it is listed.

    Raises:
        IdentityError: it is none.
    """
    role, colon, name = text.partition(":")
    if not colon:
        return identity(text)
    for known in ROLES[1:]:
        if role == known:
            return identity(name, known)
    raise IdentityError(f"{text[:80]!r} is no identity: write SITE/DEVICE or ROLE:NAME")
