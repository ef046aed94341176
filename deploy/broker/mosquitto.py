"""Mosquitto's two files (2.0 and newer): every line has a reason, and none is left to a default."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.broker.rights import rights_of
from deploy.broker.settings import BrokerProfile
from deploy.identity.names import Identity

CONFIGURATION, ACCESS = "mosquitto.conf", "access.acl"
CERTIFICATE, KEY, TRUSTED, REVOKED = "broker.pem", "broker.key", "ca.pem", "crl.pem"

SAVED_EVERY_S = 10
"""Seconds of the broker's memory that a kill may cost where devices wait for receipts."""

_HEADER = (
    "# Written by `leuko-deploy broker write`; `leuko-deploy broker check` holds it to that.\n"
)


def configuration(profile: BrokerProfile, folder: str) -> str:
    """``mosquitto.conf`` for files that lie in ``folder``."""
    limits = profile.limits
    return f"""{_HEADER}
per_listener_settings false
allow_anonymous false
acl_file {folder}/{ACCESS}
user {profile.user}

# The only way in: TLS 1.2 or newer with forward secrecy, and a certificate of the authority that
# is not revoked. The broker knows a client by the name in it, and by nothing that the client says.
listener {profile.port} {profile.address}
protocol mqtt
tls_version tlsv1.2
ciphers ECDHE+AESGCM:ECDHE+CHACHA20
cafile {folder}/{TRUSTED}
certfile {folder}/{CERTIFICATE}
keyfile {folder}/{KEY}
crlfile {folder}/{REVOKED}
require_certificate true
use_identity_as_username true
# Or whoever took another's client id would throw it out, and take its session.
use_username_as_clientid true
max_connections {limits.connections}
max_qos 1

# Sessions, queues and retained messages outlive kill -9: by default half an hour would be lost.
persistence true
persistence_location {profile.state}/
persistence_file mosquitto.db
{_saving(profile)}
persistent_client_expiration {limits.absent_days}d

# Not message_size_limit: it would drop what is too large, and tell a client of MQTT 3.1.1 that all
# is well.
max_packet_size {limits.message_bytes}
max_inflight_messages {limits.in_flight}
max_queued_messages {limits.queued_messages}
max_queued_bytes {limits.queued_bytes}
memory_limit {limits.memory_bytes}
max_keepalive {limits.keepalive_s}
queue_qos0_messages false
retain_available true
check_retain_source true
upgrade_outgoing_qos false
sys_interval 0

log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
connection_messages true
"""


def access(identities: Iterable[Identity]) -> str:
    """The access rules: who is not named here may do nothing, whatever certificate it shows."""
    parts = [_HEADER]
    for who in sorted(identities):
        if who.is_client:
            rights = rights_of(who)
            lines = [f"user {who.common_name}"]
            lines += [f"topic write {topic}" for topic in rights.writes]
            lines += [f"topic read {topic}" for topic in rights.reads]
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _saving(profile: BrokerProfile) -> str:
    """How often everything that the broker remembers is written down; each time, all of it.

    With 6,000 messages of 2 kB waiting, Mosquitto 2.0.11 took 28 messages a second when it saved
    after every change, 4,523 when it saved every 10 s (``tests/deploy/broker/queue_rate.py``).
    Where devices wait for receipts they send again what was lost, and it saves by the clock; where
    they do not, the broker's word is the only one.
    """
    if profile.devices_wait_for_receipts:
        return f"autosave_on_changes false\nautosave_interval {SAVED_EVERY_S}"
    return "autosave_on_changes true\nautosave_interval 1"
