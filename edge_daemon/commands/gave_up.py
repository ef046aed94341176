"""``leuko-edge gave-up``: systemd has given up starting the daemon; say so where it is seen.

The last will has already told everyone that the connection was lost. This replaces it with the
reason, retained, so that the laboratory reads "failed again and again" and not "perhaps the
network". Started by ``leuko-edge-failed.service``, with what systemd tells of the unit (251 on).
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping

from rich.console import Console

from edge_daemon import __version__
from edge_daemon.config import Config
from edge_daemon.contract.messages import Status
from edge_daemon.delivery.link import open_link
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin, parcel_of
from edge_daemon.errors import BrokerError, LeukoError

_TOLD_WITHIN_S = 20.0
_PUMP_S = 0.1


def gave_up(config: Config, console: Console) -> None:
    """Publish, retained, that the daemon is down for good and why.

    Raises:
        LeukoError: it could not be told; started again later, it may.
    """
    reason = reason_from(os.environ)
    origin = Origin(config.device.site, config.device.name, uuid.uuid4().hex, None)
    with Outbox(config.outbox.path, budget_bytes=config.outbox.budget_mb << 20) as outbox:
        envelope = outbox.passing_envelope(origin)
    status = Status(**envelope, state="offline", reason=reason, version=__version__)
    link = open_link(config.broker, f"leukoedge-{origin.site}-{origin.device}")
    try:
        link.publish(parcel_of(status))
        deadline_s = time.monotonic() + _TOLD_WITHIN_S
        while link.pump(_PUMP_S) and time.monotonic() < deadline_s:
            answers = link.take_acknowledgements()
            if answers:
                if answers[0].refusal is not None:
                    raise BrokerError(f"broker {config.broker.url}: {answers[0].refusal}")
                break
        else:
            raise BrokerError(f"broker {config.broker.url} did not take the last word")
    finally:
        link.close()
    console.print(f"told the broker: {reason}", highlight=False, soft_wrap=True)


def reason_from(environment: Mapping[str, str]) -> str:
    """What happened, as far as systemd tells, and what to do."""
    status = environment.get("MONITOR_EXIT_STATUS", "")
    meaning = _meanings().get(status)
    last = f" (at last: {meaning}, exit code {status})" if meaning else ""
    if environment.get("MONITOR_SERVICE_RESULT") == "watchdog":
        last = " (at last: it made no progress and was ended)"
    return (
        f"the daemon failed again and again and stays down{last}; on the device: "
        "journalctl -u leuko-edge, then systemctl restart leuko-edge"
    )


def _meanings() -> dict[str, str]:
    def below(kind: type[LeukoError]) -> list[type[LeukoError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in below(child))]

    said: dict[str, str] = {}
    for kind in below(LeukoError)[1:]:
        first_line = (kind.__doc__ or "").strip().splitlines()[0].rstrip(".:")
        said.setdefault(str(kind.exit_code), first_line[:1].lower() + first_line[1:])
    return said
