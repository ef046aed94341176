"""The folder of a cluster: a folder for each node, written and held to what it was written from."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from deploy.broker.checked import check_server, check_text, load, warnings
from deploy.broker.mosquitto import CERTIFICATE, KEY, TRUSTED
from deploy.broker.nats import ClusterRecord, NatsProfile
from deploy.broker.replaced import must_be_ours, put, without_spaces
from deploy.broker.written import clients
from deploy.identity import certificates, enrolment
from deploy.identity.authority import PublicAuthority
from edge_daemon.errors import ConfigError, LeukoError

RECORD = "cluster.json"


def write_cluster(
    folder: Path,
    profile: NatsProfile,
    servers: list[Path],
    authorities: list[PublicAuthority],
    now: datetime,
) -> ClusterRecord:
    """Write a cluster's folder. ``servers``: the folders of its nodes' enrolments, in any order.

    Raises:
        ConfigError: something is missing or does not fit; the folder is as it was.
    """
    must_be_ours(folder, RECORD)
    by_name = {_common_name(server): server for server in servers}
    missing = [node.name for node in profile.nodes if f"node:{node.name}" not in by_name]
    if missing:
        raise ConfigError(f"no --server is the enrolment of node:{missing[0]}")
    trusted = b"".join(certificates.pem(one.certificate) for one in authorities)
    known = [one for each in authorities for one in each.journal.standing_by]
    names = {node.name for node in profile.nodes}
    record = ClusterRecord(
        profile=profile,
        folders=tuple(
            profile.lies_at or f"{without_spaces(folder)}/{node.name}" for node in profile.nodes
        ),
        identities=clients(authorities),
        client_keys=_keys([one.x509 for one in known if one.who.is_client]),
        node_keys=_keys([one.x509 for one in known if one.role == "node" and one.name in names]),
    )
    files = {RECORD: (record.model_dump_json(indent=2) + "\n").encode(), **record.rendered()}
    for node in profile.nodes:
        server = by_name[f"node:{node.name}"]
        files[f"{node.name}/{KEY}"] = load(server / enrolment.KEY, bytes)
        files[f"{node.name}/{CERTIFICATE}"] = load(server / enrolment.CERTIFICATE, bytes)
        files[f"{node.name}/{TRUSTED}"] = trusted
    put(folder, files, lambda filled: check_cluster(filled, now))
    return record


def check_cluster(folder: Path, now: datetime) -> list[str]:
    """Hold a cluster's folder to what it was written from; starts nothing. Returns warnings.

    Raises:
        ConfigError: one line that says what is wrong, and in which file.
    """
    try:
        record = ClusterRecord.model_validate_json((folder / RECORD).read_bytes())
        rendered = record.rendered()
    except OSError:
        raise ConfigError(f"{folder} holds no cluster written by this program") from None
    except (ValidationError, ValueError, LeukoError):
        raise ConfigError(f"{folder / RECORD} is damaged: write the folder again") from None
    check_text(folder, rendered)
    soon = []
    for node in record.profile.nodes:
        place = folder / node.name
        trusted = load(place / TRUSTED, x509.load_pem_x509_certificates)
        server = check_server(place, trusted, now)
        if certificates.common_name_of(server) != f"node:{node.name}":
            raise ConfigError(f"{place / CERTIFICATE} is not that of node:{node.name}")
        if _key(server) not in record.node_keys:
            raise ConfigError(f"{place / CERTIFICATE} does not count any more: enrol it again")
        soon += warnings(server, now)
    return soon


def _common_name(server: Path) -> str:
    path = server / enrolment.CERTIFICATE
    return certificates.common_name_of(load(path, x509.load_pem_x509_certificate))


def _keys(which: list[x509.Certificate]) -> tuple[str, ...]:
    return tuple(sorted({_key(one) for one in which}))


def _key(certificate: x509.Certificate) -> str:
    content = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(content).hexdigest()
