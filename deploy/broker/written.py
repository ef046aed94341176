"""The folder of a broker, written whole in the place of the one before."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from deploy.broker import mosquitto
from deploy.broker.checked import check, load
from deploy.broker.record import RECORD, Record
from deploy.broker.replaced import must_be_ours, put, without_spaces
from deploy.broker.settings import BrokerProfile
from deploy.identity import certificates, enrolment
from deploy.identity.authority import PublicAuthority
from edge_daemon.errors import ConfigError


def write(
    folder: Path,
    profile: BrokerProfile,
    server: Path,
    authorities: list[PublicAuthority],
    now: datetime,
) -> Record:
    """Write a broker's folder.

    ``server``: the folder of the server's enrolment. ``authorities``: all that are trusted; one of
    them is the server's.

    Raises:
        ConfigError: something is missing or does not fit; the folder is as it was.
    """
    must_be_ours(folder, RECORD)
    lies_at = profile.lies_at or without_spaces(folder)
    record = Record(profile=profile, lies_at=lies_at, identities=clients(authorities))
    files = {
        mosquitto.KEY: load(server / enrolment.KEY, bytes),
        mosquitto.CERTIFICATE: load(server / enrolment.CERTIFICATE, bytes),
        mosquitto.TRUSTED: b"".join(certificates.pem(one.certificate) for one in authorities),
        mosquitto.REVOKED: b"".join(certificates.pem(one.revoked) for one in authorities),
        RECORD: (record.model_dump_json(indent=2) + "\n").encode(),
        **record.rendered(),
    }
    put(folder, files, lambda filled: check(filled, now))
    return record


def clients(authorities: list[PublicAuthority]) -> tuple[str, ...]:
    """Common names of all that hold a certificate that was not taken back, in order.

    TLS keeps out who has expired. Its name stays: Mosquitto shows what is retained only while its
    sender has the right to say it, and a device that expired would vanish instead of being offline.

    Raises:
        ConfigError: of one authority it cannot be said.
    """
    for authority in authorities:
        if not authority.list_is_complete:
            raise ConfigError(
                f"{authority.folder}: its list of revoked certificates was cut off: call "
                "`leuko-deploy pki revoke` again"
            )
    names = [one.who for each in authorities for one in each.journal.standing_by]
    return tuple(sorted({who.common_name for who in names if who.is_client}))
