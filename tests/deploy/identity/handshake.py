"""A TLS handshake in memory, between OpenSSL and itself."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

from deploy.identity.enrolment import CERTIFICATE, KEY, TRUSTED


def shake_hands(server: Path, client: Path, host: str) -> None:
    """Both show what was handed out to them; raises :class:`ssl.SSLError` of who refuses."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_verify_locations(server / TRUSTED)
    serving.load_cert_chain(server / CERTIFICATE, server / KEY)
    serving.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(cafile=str(client / TRUSTED))
    calling.load_cert_chain(client / CERTIFICATE, client / KEY)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        calling.wrap_bio(to_client, to_server, server_hostname=host),
        serving.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
