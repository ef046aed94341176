"""Why a broker may not like this device's certificate, found out without the broker.

Over TLS 1.3 a broker says what is wrong after the handshake, into a connection that it closes: the
reason seldom arrives. What the dates say can be seen here, by shaking hands with oneself.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

from edge_daemon.delivery.settings import BrokerSettings

# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL's x509_vfy.h.
_SAID = {
    9: "this device's certificate is not valid yet: is its clock right?",
    10: "this device's certificate has expired: renew it, or is its clock wrong?",
}
_FLIGHTS = 4
"""Messages of a handshake that may go back and forth; TLS 1.3 needs two."""


def fault(settings: BrokerSettings) -> str | None:
    """What is wrong with the dates of the device's own certificate; None where nothing is."""
    if settings.cert_file is None:
        return None
    try:
        judge = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        judge.load_cert_chain(settings.cert_file, settings.key_file)
        judge.load_verify_locations(settings.ca_file or settings.cert_file)
        judge.verify_mode = ssl.CERT_REQUIRED
        shown = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        shown.check_hostname = False
        shown.verify_mode = ssl.CERT_NONE
        shown.load_cert_chain(settings.cert_file, settings.key_file)
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = shown.wrap_bio(back, there), judge.wrap_bio(there, back, server_side=True)
        for _ in range(_FLIGHTS):
            for end in ends:
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return _SAID.get(error.verify_code)
    except (OSError, ssl.SSLError):
        return None
    return None
