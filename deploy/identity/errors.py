"""What can go wrong with certificates, as one line for whoever keeps them."""

from __future__ import annotations

from edge_daemon.errors import LeukoError


class IdentityError(LeukoError):
    """The certificate authority cannot be opened, written or trusted, or refuses a request."""

    exit_code = 17
