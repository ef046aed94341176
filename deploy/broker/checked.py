"""Is a broker's folder whole, unchanged and in date? Starts nothing."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from deploy.broker.mosquitto import CERTIFICATE, KEY, REVOKED, TRUSTED
from deploy.broker.record import RECORD, Record
from deploy.identity import certificates
from edge_daemon.errors import ConfigError, LeukoError

SOON = timedelta(days=30)

_END_OF_LIST = b"-----END X509 CRL-----\n"
_Loaded = TypeVar("_Loaded")


def check(folder: Path, now: datetime) -> list[str]:
    """Hold the folder of a Mosquitto to what it was written from. Returns warnings.

    Raises:
        ConfigError: one line that says what is wrong, and in which file.
    """
    try:
        record = Record.model_validate_json((folder / RECORD).read_bytes())
    except OSError:
        raise ConfigError(f"{folder} holds no broker written by this program") from None
    except ValidationError:
        raise ConfigError(f"{folder / RECORD} is damaged: write the folder again") from None
    try:
        rendered = record.rendered()
    except LeukoError as error:
        raise ConfigError(f"{folder / RECORD} is damaged: {error}") from None
    check_text(folder, rendered)
    trusted = load(folder / TRUSTED, x509.load_pem_x509_certificates)
    server = check_server(folder, trusted, now)
    _check_lists(folder / REVOKED, trusted, server)
    return warnings(server, now)


def check_server(folder: Path, trusted: list[x509.Certificate], now: datetime) -> x509.Certificate:
    """The server's certificate, with its key beside it, of an authority that counts.

    Raises:
        ConfigError: one line that says what is wrong.
    """
    path = folder / CERTIFICATE
    server = load(path, x509.load_pem_x509_certificate)
    key = load(folder / KEY, lambda content: serialization.load_pem_private_key(content, None))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not certificates.belong_together(
        key, server
    ):
        raise ConfigError(f"{path} is not about the key beside it")
    if stat.S_IMODE((folder / KEY).stat().st_mode) & 0o077:
        raise ConfigError(f"{folder / KEY} can be read by others: chmod 600")
    if not any(certificates.is_issued_by(server, one) for one in trusted):
        raise ConfigError(f"{path} is of an authority that {TRUSTED} does not name")
    name = certificates.common_name_of(server)
    if not name.startswith(("server:", "node:")):
        raise ConfigError(f"{path} is the certificate of {name}: enrol a server:NAME")
    for one in (server, *trusted):
        if now >= one.not_valid_after_utc:
            raise ConfigError(
                f"{folder}: the certificate of {certificates.common_name_of(one)} expired on "
                f"{one.not_valid_after_utc:%Y-%m-%d}: renew it, and write the folder again"
            )
    return server


def warnings(server: x509.Certificate, now: datetime) -> list[str]:
    """What will be wrong soon."""
    left = server.not_valid_after_utc - now
    name = certificates.common_name_of(server)
    return [f"{name} expires in {left.days} days: renew it"] if left < SOON else []


def load(path: Path, read: Callable[[bytes], _Loaded]) -> _Loaded:
    """Read a file; raises :class:`ConfigError`."""
    try:
        return read(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {error}") from None


def _check_lists(path: Path, trusted: list[x509.Certificate], server: x509.Certificate) -> None:
    lists = load(path, _lists_in)
    for authority in trusted:
        key = authority.public_key()
        own = [
            one
            for one in lists
            if isinstance(key, ec.EllipticCurvePublicKey) and one.is_signature_valid(key)
        ]
        if not own:
            raise ConfigError(
                f"{path} lacks the list of {certificates.common_name_of(authority)}: the broker "
                "would let nobody in"
            )
        if own[0].get_revoked_certificate_by_serial_number(server.serial_number) is not None:
            raise ConfigError(f"{path}: the broker's own certificate is revoked: enrol it again")


def _lists_in(pem: bytes) -> list[x509.CertificateRevocationList]:
    parts = [part for part in pem.split(_END_OF_LIST) if part.strip()]
    return [x509.load_pem_x509_crl(part + _END_OF_LIST) for part in parts]


def check_text(folder: Path, rendered: Mapping[str, bytes]) -> None:
    """Raises :class:`ConfigError` with the first line that is not as it was written."""
    for name, wanted in rendered.items():
        found = load(folder / name, lambda content: content.decode("utf-8").splitlines())
        lines = wanted.decode().splitlines()
        for number, (here, there) in enumerate(zip_longest(found, lines), 1):
            if here != there:
                said = "the end" if here is None else repr(here[:80])
                raise ConfigError(
                    f"{folder / name}, line {number} is not as it was written ({said}): change "
                    "the settings, and write the folder again"
                )
