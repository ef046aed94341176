"""How every device stands, from the authority's journal; no passphrase is needed."""

from __future__ import annotations

from datetime import datetime

from deploy.identity.journal import Issued, Journal
from deploy.registry.record import Enrolment


def enrolments(journal: Journal, now: datetime) -> dict[str, Enrolment]:
    """By name of the device."""
    by_name: dict[str, list[Issued]] = {}
    for one in journal.issued:
        if one.role == "device":
            by_name.setdefault(one.name, []).append(one)
    return {name: _standing(journal, found, now) for name, found in by_name.items()}


def _standing(journal: Journal, found: list[Issued], now: datetime) -> Enrolment:
    left = [one for one in found if one.serial not in journal.revoked]
    until = max(one.x509.not_valid_after_utc for one in left or found)
    since = found[0].at
    if not left:
        return Enrolment(standing="revoked", since=since, until=until)
    return Enrolment(standing="enrolled" if now < until else "expired", since=since, until=until)
