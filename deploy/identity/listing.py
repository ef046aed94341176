"""Certificates as a person or a program reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from cryptography.hazmat.primitives import hashes

from deploy.identity.authority import PublicAuthority
from deploy.identity.journal import Issued


def lines(public: PublicAuthority, which: Iterable[Issued], now: datetime) -> Iterator[str]:
    """The authority, then a line for each certificate."""
    until = public.certificate.not_valid_after_utc
    state = "expired" if now >= until else "valid"
    yield f"authority {public.folder}: {state} until {until:%Y-%m-%d}, for {public.bounds}"
    if not public.list_is_complete:
        yield "  its list of revoked certificates was cut off: call `pki revoke` again"
    chosen = list(which)
    widest = max((len(str(one.who)) for one in chosen), default=0)
    for one in chosen:
        ends = f"{one.x509.not_valid_after_utc:%Y-%m-%d}"
        standing = public.journal.standing(one, now)
        yield f"  {one.who!s:<{widest}}  {standing:<8}  until {ends}  {one.serial:x}"


def details(public: PublicAuthority, which: Iterable[Issued], now: datetime) -> Iterator[str]:
    """All there is of each."""
    for one in which:
        for key, value in _record(public, one, now).items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            if shown not in ("", None):
                yield f"{key.replace('_', ' '):<14} {shown}"
        yield ""


def as_json(public: PublicAuthority, which: Iterable[Issued], now: datetime) -> str:
    """The same for a program."""
    return json.dumps([_record(public, one, now) for one in which], indent=2)


def _record(public: PublicAuthority, one: Issued, now: datetime) -> dict[str, object]:
    revoked = public.journal.revoked.get(one.serial)
    return {
        "identity": str(one.who),
        "role": one.role,
        "standing": public.journal.standing(one, now),
        "serial": format(one.serial, "x"),
        "issued_at": one.at.isoformat(),
        "valid_until": one.x509.not_valid_after_utc.isoformat(),
        "fingerprint": one.x509.fingerprint(hashes.SHA256()).hex(),
        "hosts": list(one.use.hosts),
        "broker": list(one.use.broker),
        "revoked_at": None if revoked is None else revoked.at.isoformat(),
        "reason": None if revoked is None else revoked.reason,
    }
