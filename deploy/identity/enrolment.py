"""Enrolment and renewal: a key, its certificate, and a folder to carry to the machine it is for."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from deploy.identity import certificates
from deploy.identity.authority import Authority, PublicAuthority
from deploy.identity.errors import IdentityError
from deploy.identity.folders import fill, hidden, put_in_place, refuse_if_there
from deploy.identity.journal import Issued, Use
from deploy.identity.names import Identity

CERTIFICATE, KEY, TRUSTED, CONFIGURATION = "identity.pem", "identity.key", "ca.pem", "broker.toml"
LIES_AT = "/etc/leuko-edge/identity"
LASTS = timedelta(days=397)
"""A year, and a month to be late in."""


@dataclass(frozen=True)
class Enrolled:
    """What stands in a folder that was handed out."""

    issued: Issued
    folder: Path
    new: bool
    """False where it stood there before."""


def check_use(who: Identity, use: Use, public: PublicAuthority) -> None:
    """Raises :class:`IdentityError`: what is asked for does not fit the identity."""
    for host in use.hosts:
        public.bounds.general_name(host)
    if who.is_client and use.hosts:
        raise IdentityError(f"{who}: only a server or a node has host names")
    if not who.is_client and not use.hosts:
        raise IdentityError(f"{who}: say under which names it is reached: --host")
    if not who.is_client and use.broker:
        raise IdentityError(f"{who}: a {who.role} is no client of a broker")
    if who.role == "device" and not use.broker:
        raise IdentityError(f"{who}: say where its broker is: --broker mqtts://HOST:PORT")
    for url in use.broker:
        _check_url(url)


def enrol(
    authority: Authority,
    who: Identity,
    use: Use,
    folder: Path,
    now: datetime,
    lasts: timedelta = LASTS,
    also_trusted: bytes = b"",
) -> Enrolled:
    """Enrol an identity that has no valid certificate, and write its folder.

    Called again after it was cut off, or after it was done, it ends in the same place.

    Raises:
        IdentityError: it is enrolled already, the folder is in the way, or cannot be written.
    """
    found = _already(authority, who, (folder, hidden(folder)), folder, now)
    if found is not None:
        return found
    for one in authority.journal.counting(now):
        if one.who == who:
            raise IdentityError(
                f"{who} is enrolled already, until {one.x509.not_valid_after_utc:%Y-%m-%d}: renew "
                "it, or revoke it first where this is another machine"
            )
    return _issue(authority, who, use, folder, now, lasts, also_trusted)


def renew(
    authority: Authority,
    who: Identity,
    folder: Path,
    now: datetime,
    lasts: timedelta = LASTS,
    also_trusted: bytes = b"",
) -> Enrolled:
    """A new key and certificate for somebody enrolled; the old one counts until it expires.

    Raises:
        IdentityError: it was never enrolled, or nothing of it counts any more.
    """
    found = _already(authority, who, (hidden(folder),), folder, now)
    if found is not None:
        return found
    before = authority.journal.of(who)
    if not before or all(one.serial in authority.journal.revoked for one in before):
        raise IdentityError(f"{who} is not enrolled, or was revoked: enrol it")
    return _issue(authority, who, before[-1].use, folder, now, lasts, also_trusted)


def configuration(who: Identity, use: Use) -> str:
    """The part of a device's TOML file that goes with its certificate."""
    lines = [f"# {who}: goes into this machine's configuration."]
    if who.role == "device":
        site, device = who.name.split("/")
        lines += ["[device]", f"site = {json.dumps(site)}", f"name = {json.dumps(device)}", ""]
    url, *others = use.broker
    lines += ["[broker]", f"url = {json.dumps(url)}"]
    if others:
        lines.append(f"other_urls = {json.dumps(others)}")
    if use.receipts:
        lines.append("await_receipts = true")
    for key, name in (("ca_file", TRUSTED), ("cert_file", CERTIFICATE), ("key_file", KEY)):
        lines.append(f"{key} = {json.dumps(f'{use.lies_at or LIES_AT}/{name}')}")
    return "\n".join(lines) + "\n"


def _already(
    authority: Authority, who: Identity, places: tuple[Path, ...], folder: Path, now: datetime
) -> Enrolled | None:
    """What an earlier call put there, or was about to; otherwise the folder must be free."""
    known = {one.serial: one for one in authority.journal.counting(now) if one.who == who}
    for place in places:
        one = known.get(_serial_in(place) or 0)
        if one is not None:
            if place != folder:
                refuse_if_there(folder)
                _put(place, folder)
            return Enrolled(one, folder, new=place != folder)
    refuse_if_there(folder)
    return None


def _issue(
    authority: Authority,
    who: Identity,
    use: Use,
    folder: Path,
    now: datetime,
    lasts: timedelta,
    also_trusted: bytes,
) -> Enrolled:
    authority.must_be_valid(now)
    check_use(who, use, authority)
    hosts = [authority.bounds.general_name(host) for host in use.hosts]
    key = certificates.new_key()
    certificate = certificates.issued_certificate(
        who, hosts, key, authority.certificate, authority.key, now, lasts
    )
    files = {
        KEY: certificates.key_pem(key),
        CERTIFICATE: certificates.pem(certificate),
        TRUSTED: certificates.pem(authority.certificate) + also_trusted,
    }
    if use.broker:
        files[CONFIGURATION] = configuration(who, use).encode()
    try:
        fill(hidden(folder), files)
    except OSError as error:
        raise IdentityError(f"{folder} cannot be written: {error.strerror or error}") from None
    issued = Issued(
        at=now,
        role=who.role,
        name=who.name,
        certificate=certificates.pem(certificate).decode(),
        use=use,
    )
    try:
        authority.write_down(issued)
    except IdentityError:
        shutil.rmtree(hidden(folder), ignore_errors=True)
        raise
    _put(hidden(folder), folder)
    return Enrolled(issued, folder, new=True)


def _put(filled: Path, folder: Path) -> None:
    try:
        put_in_place(filled, folder)
    except OSError as error:
        raise IdentityError(
            f"{folder} cannot be written ({error.strerror or error}): the certificate lies in "
            f"{filled}; free the place and call again"
        ) from None


def _serial_in(folder: Path) -> int | None:
    try:
        content = (folder / CERTIFICATE).read_bytes()
        return x509.load_pem_x509_certificate(content).serial_number
    except (OSError, ValueError):
        return None


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme == "mqtts" and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.path not in ("", "/"):
        raise IdentityError(f"broker {url[:80]!r}: write mqtts://HOST or mqtts://HOST:PORT")
