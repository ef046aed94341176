"""A certificate authority in one folder: its certificate, its key under a passphrase, its journal.

Whatever interrupts it, each certificate is either unknown and nowhere, or in the journal. What is
handed out is filled under a hidden name first, then written into the journal, then renamed; the
next call finishes or clears away what was cut off (:mod:`deploy.identity.enrolment`).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.identity import certificates
from deploy.identity.errors import IdentityError
from deploy.identity.folders import fill, hidden, put_in_place, refuse_if_there
from deploy.identity.hosts import Bounds, bounds_of
from deploy.identity.journal import Issued, Journal, Revoked, read_journal, write_journal
from deploy.identity.names import Identity
from deploy.passphrases import refuse_short
from edge_daemon.whole_files import write_whole

CERTIFICATE, KEY, REVOKED, JOURNAL, _LOCK = "ca.pem", "ca.key", "crl.pem", "journal.jsonl", "lock"


@dataclass(frozen=True)
class PublicAuthority:
    """What may be known of an authority without its passphrase. Made by :func:`look_at`."""

    folder: Path
    certificate: x509.Certificate
    revoked: x509.CertificateRevocationList
    journal: Journal

    @property
    def bounds(self) -> Bounds:
        """For which hosts it may vouch."""
        return bounds_of(self.certificate)

    @property
    def list_is_complete(self) -> bool:
        """Whether the list names everything that the journal takes back."""
        return {one.serial_number for one in self.revoked} == set(self.journal.revoked)


@dataclass(frozen=True)
class Authority(PublicAuthority):
    """An authority that can sign. Made by :func:`opened`, which holds it against others."""

    key: ec.EllipticCurvePrivateKey

    def must_be_valid(self, now: datetime) -> None:
        """Raises :class:`IdentityError` when the authority itself has expired."""
        until = self.certificate.not_valid_after_utc
        if now >= until:
            raise IdentityError(
                f"the authority in {self.folder} expired on {until:%Y-%m-%d}: make a new one with "
                "`pki init` and enrol again (docs/fleet/identity.md)"
            )

    def write_down(self, event: Issued | Revoked) -> Journal:
        """Add to the journal, on the disk.

        Raises:
            IdentityError: it cannot be written; the journal is as it was.
        """
        journal = Journal((*read_journal(self.folder / JOURNAL).events, event))
        try:
            write_journal(self.folder / JOURNAL, journal)
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        return journal

    def write_list(self, journal: Journal, now: datetime) -> None:
        """Write the list of what is revoked. Raises :class:`IdentityError`."""
        made = certificates.revocation_list(journal.revocations, self.certificate, self.key, now)
        try:
            write_whole(self.folder / REVOKED, certificates.pem(made))
        except OSError as error:
            raise _unwritable(self.folder, error) from None


def create(
    folder: Path,
    name: str,
    bounds: Bounds,
    passphrase: str,
    now: datetime,
    lasts: timedelta = timedelta(days=3650),
) -> None:
    """Make an authority in a new folder, whole or not at all.

    Raises:
        IdentityError: the folder is there already or cannot be written, or the passphrase is short.
    """
    refuse_short(passphrase, IdentityError)
    if not 1 <= len(name) <= 64:
        raise IdentityError("the name of an authority has 1 to 64 characters")
    refuse_if_there(folder)
    key = certificates.new_key()
    certificate = certificates.authority_certificate(name, key, bounds, now, lasts)
    revoked = certificates.revocation_list([], certificate, key, now)
    try:
        fill(
            hidden(folder),
            {
                CERTIFICATE: certificates.pem(certificate),
                KEY: certificates.key_pem(key, passphrase.encode()),
                REVOKED: certificates.pem(revoked),
                JOURNAL: b"",
            },
        )
        put_in_place(hidden(folder), folder)
    except OSError as error:
        raise _unwritable(folder, error) from None


def look_at(folder: Path) -> PublicAuthority:
    """Read what needs no passphrase.

    Raises:
        IdentityError: there is no authority, or a file of it is damaged.
    """
    if not (folder / CERTIFICATE).is_file():
        raise IdentityError(f"{folder} holds no authority: make one with `leuko-deploy pki init`")
    try:
        certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
        revoked = x509.load_pem_x509_crl((folder / REVOKED).read_bytes())
    except (OSError, ValueError) as error:
        raise IdentityError(f"the authority in {folder} is damaged: {error}") from None
    return PublicAuthority(folder, certificate, revoked, read_journal(folder / JOURNAL))


@contextmanager
def opened(folder: Path, passphrase: str) -> Iterator[Authority]:
    """An authority to sign with; a second program waits until this one is done.

    Raises:
        IdentityError: there is none, it is damaged, or the passphrase is wrong.
    """
    look_at(folder)
    try:
        lock = (folder / _LOCK).open("wb")
    except OSError as error:
        raise _unwritable(folder, error) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        public = look_at(folder)
        key = _load_key(folder, passphrase)
        if not certificates.belong_together(key, public.certificate):
            raise IdentityError(f"the authority in {folder} is damaged: its key is another's")
        yield Authority(folder, public.certificate, public.revoked, public.journal, key)


def revoke(authority: Authority, which: list[Issued], reason: str, now: datetime) -> None:
    """Take certificates back: first in the journal, then in the list.

    What is revoked already stays so; a list that was cut off the last time is made up for.

    Raises:
        IdentityError: a file cannot be written.
    """
    journal = authority.journal
    for one in which:
        if one.serial not in journal.revoked:
            journal = authority.write_down(
                Revoked(at=now, serial=format(one.serial, "x"), reason=reason)
            )
    authority.write_list(journal, now)


def find(public: PublicAuthority, who: Identity) -> list[Issued]:
    """Every certificate of an identity.

    Raises:
        IdentityError: it was never enrolled.
    """
    found = public.journal.of(who)
    if not found:
        raise IdentityError(f"{who} was never enrolled here: `leuko-deploy pki list` names all")
    return found


def _load_key(folder: Path, passphrase: str) -> ec.EllipticCurvePrivateKey:
    try:
        content = (folder / KEY).read_bytes()
    except OSError as error:
        raise IdentityError(f"the key of the authority cannot be read: {error}") from None
    try:
        key = serialization.load_pem_private_key(content, passphrase.encode())
    except (ValueError, TypeError):
        raise IdentityError(
            f"the passphrase does not open {folder / KEY} (or that file is damaged)"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"{folder / KEY} is not a key of this program")
    return key


def _unwritable(folder: Path, error: OSError) -> IdentityError:
    return IdentityError(f"{folder} cannot be written: {error.strerror or error}")
