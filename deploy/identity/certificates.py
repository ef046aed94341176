"""The X.509 itself (RFC 5280): an authority's certificate, those it issues, what it revoked.

Keys are EC P-256: OpenSSL, Go and browsers take it everywhere; browsers take no Ed25519.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.identity.hosts import Bounds
from deploy.identity.names import Identity, Role

BACKDATED = timedelta(days=1)
"""A device or a broker whose clock is behind takes a document of today all the same."""

_USES: dict[Role, list[x509.ObjectIdentifier]] = {
    "server": [ExtendedKeyUsageOID.SERVER_AUTH],
    "node": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
}
_USES_OF_A_CLIENT = [ExtendedKeyUsageOID.CLIENT_AUTH]


@dataclass(frozen=True)
class Revocation:
    """A certificate that no longer counts."""

    serial: int
    at: datetime


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS#8, encrypted where a passphrase is given."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def pem(document: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """As text."""
    return document.public_bytes(serialization.Encoding.PEM)


def authority_certificate(
    name: str, key: ec.EllipticCurvePrivateKey, bounds: Bounds, now: datetime, lasts: timedelta
) -> x509.Certificate:
    """The certificate of an authority that may sign leaves (path length 0), within its bounds."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        _builder(subject, subject, key, now - BACKDATED, now + lasts)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(bounds.extension(), critical=True)
        .sign(key, hashes.SHA256())
    )


def issued_certificate(
    who: Identity,
    hosts: Iterable[x509.GeneralName],
    public_to: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lasts: timedelta,
) -> x509.Certificate:
    """A certificate for one identity; it never outlives its authority."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, who.common_name)])
    until = min(now + lasts, authority.not_valid_after_utc)
    builder = (
        _builder(subject, authority.subject, public_to, now - BACKDATED, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(_USES.get(who.role, _USES_OF_A_CLIENT)), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    names = list(hosts)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def revocation_list(
    revoked: Iterable[Revocation],
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The list of what no longer counts, valid for as long as its authority.

    Once a list is out of date OpenSSL lets nobody in, and a whole fleet would fall silent over a
    file that nobody renewed. Nothing is gained by a date: the list is carried to the broker by
    whoever revokes, never fetched.
    """
    entries = sorted(revoked, key=lambda one: one.serial)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(min(now, authority.not_valid_after_utc) - BACKDATED)
        .next_update(authority.not_valid_after_utc)
        .add_extension(x509.CRLNumber(len(entries) + 1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(entry.serial)
            .revocation_date(entry.at)
            .build()
        )
    return builder.sign(authority_key, hashes.SHA256())


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether this authority signed it."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def belong_together(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bool:
    """Whether a certificate is about this key."""
    return key.public_key() == certificate.public_key()


def common_name_of(certificate: x509.Certificate) -> str:
    """What a broker takes for the user's name."""
    (attribute,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attribute.value)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
