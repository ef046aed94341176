"""Is what is about to be carried to a device its own certificate, and does it still count?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from deploy.push.errors import PushError

_COMMON_NAME = NameOID.COMMON_NAME
FILES = ("identity.key", "identity.pem", "ca.pem")


def check_identities(folder: Path, devices: Iterable[str], now: datetime) -> None:
    """Look at the folder that ``leuko-deploy pki enrol`` made for each device.

    Raises:
        PushError: one is missing, another's, expired or torn apart.
    """
    for name in devices:
        place = folder / name
        for file in FILES:
            if not (place / file).is_file():
                raise PushError(
                    f"{place / file} is not there: enrol {name} into this folder (leuko-deploy pki "
                    "enrol), or renew it"
                )
        _check(name, place, now)


def _check(name: str, place: Path, now: datetime) -> None:
    try:
        certificate = x509.load_pem_x509_certificate((place / "identity.pem").read_bytes())
        key = load_pem_private_key((place / "identity.key").read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise PushError(f"{place} cannot be read ({error}): renew {name}") from None
    names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(_COMMON_NAME)]
    if names != [name]:
        raise PushError(f"{place} holds the certificate of {', '.join(names) or 'nobody'}")
    if certificate.not_valid_after_utc < now:
        raise PushError(
            f"{name}: its certificate in {place} has expired on "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}: leuko-deploy pki renew {name}"
        )
    if key.public_key() != certificate.public_key():
        raise PushError(f"{place} holds a key that is not its certificate's: renew {name}")
