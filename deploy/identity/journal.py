"""What an authority issued and revoked: one JSON object a line, the whole file or none of it.

The certificates themselves are in it, so that whatever happens to the folders that were handed out
can be listed, shown and revoked. No key is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from cryptography import x509
from pydantic import Field, TypeAdapter, ValidationError

from deploy.identity.certificates import Revocation
from deploy.identity.errors import IdentityError
from deploy.identity.names import Identity, Role
from edge_daemon.contract.base import StrictModel, UtcTime
from edge_daemon.whole_files import write_whole

Standing: TypeAlias = Literal["valid", "due", "replaced", "expired", "revoked"]
"""``due``: valid, and to be renewed soon; ``replaced``: valid, and a newer one is there."""

DUE = timedelta(days=60)
"""A device may be switched off for weeks: it is renewed long before the end."""


class Use(StrictModel):
    """What an enrolment was asked for, so that a renewal needs no more than the name."""

    hosts: tuple[str, ...] = ()
    broker: tuple[str, ...] = ()
    """Addresses of the broker, for a client."""
    receipts: bool = False
    """Whether a device keeps its messages until a receiver has committed them."""
    lies_at: str = ""
    """Folder on the other machine in which the files will lie."""


class Issued(StrictModel):
    """A certificate was signed."""

    event: Literal["issued"] = "issued"
    at: UtcTime
    role: Role
    name: str
    certificate: str
    """PEM."""
    use: Use

    @cached_property
    def x509(self) -> x509.Certificate:
        """The certificate."""
        return x509.load_pem_x509_certificate(self.certificate.encode())

    @property
    def serial(self) -> int:
        """Its serial number."""
        return self.x509.serial_number

    @property
    def who(self) -> Identity:
        """Who it speaks for."""
        return Identity(self.role, self.name)


class Revoked(StrictModel):
    """A certificate was taken back."""

    event: Literal["revoked"] = "revoked"
    at: UtcTime
    serial: Annotated[str, Field(pattern=r"^[0-9a-f]+$")]
    """Hexadecimal."""
    reason: str


Event: TypeAlias = Annotated[Issued | Revoked, Field(discriminator="event")]
_EVENT: TypeAdapter[Issued | Revoked] = TypeAdapter(Event)


@dataclass(frozen=True)
class Journal:
    """Everything that happened, oldest first."""

    events: tuple[Issued | Revoked, ...] = ()

    @cached_property
    def issued(self) -> tuple[Issued, ...]:
        """Every certificate, oldest first."""
        return tuple(event for event in self.events if isinstance(event, Issued))

    @cached_property
    def revoked(self) -> dict[int, Revoked]:
        """What was taken back, by serial number."""
        return {int(e.serial, 16): e for e in self.events if isinstance(e, Revoked)}

    @cached_property
    def _by_identity(self) -> dict[Identity, list[Issued]]:
        found: dict[Identity, list[Issued]] = {}
        for one in self.issued:
            found.setdefault(one.who, []).append(one)
        return found

    @property
    def revocations(self) -> list[Revocation]:
        """The same, for the list."""
        return [Revocation(serial, event.at) for serial, event in self.revoked.items()]

    def of(self, who: Identity) -> list[Issued]:
        """Certificates of one identity, oldest first."""
        return self._by_identity.get(who, [])

    @cached_property
    def standing_by(self) -> tuple[Issued, ...]:
        """Certificates that nobody took back, expired ones included."""
        return tuple(one for one in self.issued if one.serial not in self.revoked)

    def counting(self, now: datetime) -> list[Issued]:
        """Certificates that let somebody in now."""
        return [one for one in self.issued if self._counts(one, now)]

    def standing(self, one: Issued, now: datetime) -> Standing:
        """How a certificate stands."""
        if one.serial in self.revoked:
            return "revoked"
        if not self._counts(one, now):
            return "expired"
        newest = [other for other in self.of(one.who) if self._counts(other, now)][-1]
        if newest.serial != one.serial:
            return "replaced"
        return "due" if one.x509.not_valid_after_utc - now < DUE else "valid"

    def _counts(self, one: Issued, now: datetime) -> bool:
        return one.serial not in self.revoked and now < one.x509.not_valid_after_utc


def read_journal(path: Path) -> Journal:
    """Read strictly.

    Raises:
        IdentityError: the file is missing, or a line of it is none of ours.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityError(f"journal {path} cannot be read: {error}") from None
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = _EVENT.validate_json(line)
            if isinstance(event, Issued):
                _ = event.x509
        except (ValidationError, ValueError):
            raise IdentityError(
                f"journal {path}, line {number} is not one of this journal: restore the folder "
                "from its last copy"
            ) from None
        events.append(event)
    return Journal(tuple(events))


def write_journal(path: Path, journal: Journal) -> None:
    """Write all of it; raises :class:`OSError` and leaves what was there."""
    text = "".join(event.model_dump_json() + "\n" for event in journal.events)
    write_whole(path, text.encode())
