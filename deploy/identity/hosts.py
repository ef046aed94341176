"""The host names and addresses that an authority may vouch for, and nothing beyond.

A browser that trusts the laboratory's authority for the sake of its dashboard must not trust it for
anything else: these bounds are in the authority's own certificate (RFC 5280, 4.2.1.10).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509

from deploy.identity.errors import IdentityError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_DOMAIN = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_EVERYTHING = (
    x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
    x509.IPAddress(ipaddress.ip_network("::/0")),
)


@dataclass(frozen=True)
class Bounds:
    """Domains (with all below them) and networks. Made by :func:`bounds`."""

    domains: tuple[str, ...]
    networks: tuple[Network, ...]

    def extension(self) -> x509.NameConstraints:
        """As it stands in the authority's certificate: a kind of name not allowed is excluded."""
        permitted: list[x509.GeneralName] = [x509.DNSName(domain) for domain in self.domains]
        permitted += [x509.IPAddress(network) for network in self.networks]
        excluded: list[x509.GeneralName] = [] if self.domains else [x509.DNSName("")]
        excluded += [] if self.networks else _EVERYTHING
        return x509.NameConstraints(permitted, excluded or None)

    def general_name(self, host: str) -> x509.GeneralName:
        """A host as it stands in a server's certificate.

        Raises:
            IdentityError: it is no host, or lies outside.
        """
        address = _address(host)
        if address is not None:
            within = any(address in network for network in self.networks)
            name: x509.GeneralName = x509.IPAddress(address)
        elif _DOMAIN.fullmatch(host):
            within = any(host == one or host.endswith(f".{one}") for one in self.domains)
            name = x509.DNSName(host)
        else:
            raise IdentityError(f"host {host[:80]!r}: write a name in small letters or an address")
        if not within:
            raise IdentityError(
                f"host {host} is outside of what this authority vouches for ({self})"
            )
        return name

    def __str__(self) -> str:
        return ", ".join([*self.domains, *map(str, self.networks)])


def bounds(texts: Iterable[str]) -> Bounds:
    """Domains, addresses and networks of the command line.

    Raises:
        IdentityError: one of them is neither, or there is none.
    """
    networks = {text: _network(text) for text in texts}
    for text, network in networks.items():
        if network is None and not _DOMAIN.fullmatch(text):
            raise IdentityError(
                f"{text[:80]!r} is neither a domain in small letters nor a network such as "
                "10.20.0.0/16"
            )
    if not networks:
        raise IdentityError("say for which domain or network the authority may vouch: --within")
    return Bounds(
        tuple(text for text, network in networks.items() if network is None),
        tuple(network for network in networks.values() if network is not None),
    )


def bounds_of(authority: x509.Certificate) -> Bounds:
    """What an authority's certificate allows."""
    found = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    permitted = found.permitted_subtrees or []
    return Bounds(
        tuple(name.value for name in permitted if isinstance(name, x509.DNSName)),
        tuple(name.value for name in permitted if isinstance(name, x509.IPAddress)),  # type: ignore[misc]
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None
