"""The passphrase of the authority's key."""

from __future__ import annotations

from deploy.identity.errors import IdentityError
from deploy.passphrases import Passphrase

VARIABLE = "LEUKO_PKI_PASSPHRASE"

AUTHORITY = Passphrase("the authority", (VARIABLE,), IdentityError)
