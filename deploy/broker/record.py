"""What a broker's folder was written from, and the text that follows from it."""

from __future__ import annotations

from deploy.broker import mosquitto
from deploy.broker.settings import BrokerProfile
from deploy.identity.names import parse_identity
from edge_daemon.contract.base import StrictModel

RECORD = "written.json"


class Record(StrictModel):
    """Kept beside the files, so that they can be held to it."""

    profile: BrokerProfile
    lies_at: str
    identities: tuple[str, ...]
    """Common names of the clients that are let in."""

    def rendered(self) -> dict[str, bytes]:
        """The files that are text, by name."""
        identities = [parse_identity(name) for name in self.identities]
        configuration = mosquitto.configuration(self.profile, self.lies_at)
        return {
            mosquitto.CONFIGURATION: configuration.encode(),
            mosquitto.ACCESS: mosquitto.access(identities).encode(),
        }
