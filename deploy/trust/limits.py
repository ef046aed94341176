"""Where a target may be used, as somebody types it: ``>=6.1,<7``."""

from __future__ import annotations

import re

from pydantic import ValidationError

from deploy.trust.errors import TrustError
from edge_daemon.contract.target import Compatibility, ReleaseRange

_BOUND = re.compile(r"\s*(>=|<)\s*([\d.]+)\s*")
_FIELDS = {">=": "at_least", "<": "below"}


def compatibility_of(
    min_daemon: str | None, jetpack: str | None, tensorrt: str | None
) -> Compatibility:
    """What the options ask for. Raises :class:`TrustError` where one cannot be read."""
    for_jetpack, for_tensorrt = _range("--jetpack", jetpack), _range("--tensorrt", tensorrt)
    try:
        return Compatibility(min_daemon=min_daemon, jetpack=for_jetpack, tensorrt=for_tensorrt)
    except ValidationError:
        raise TrustError(f"--min-daemon {min_daemon!r} is no version such as 0.2.0") from None


def _range(option: str, text: str | None) -> ReleaseRange | None:
    if text is None:
        return None
    bounds = [_BOUND.fullmatch(part) for part in text.split(",")]
    try:
        found = {_FIELDS[bound[1]]: bound[2] for bound in bounds if bound is not None}
        if len(found) != len(bounds):
            raise ValueError
        return ReleaseRange(**found)
    except ValueError:  # pydantic's is one
        raise TrustError(f"{option} {text!r} is no range such as '>=6.1,<7'") from None
