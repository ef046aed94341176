"""A three-node NATS cluster as it was written, on 127.0.0.1."""

from __future__ import annotations

from pathlib import Path

from deploy.broker.cluster import write_cluster
from deploy.broker.nats import NatsProfile, Node
from deploy.identity.authority import look_at
from edge_daemon.delivery.broker import free_port
from edge_daemon.delivery.settings import BrokerSettings
from tests.deploy.laboratory import HERE, NOW, Laboratory
from tests.nats_cluster import NODES, NatsNodes


class HardenedNats(NatsNodes):
    """``with HardenedNats(...) as cluster:`` waits until each node takes a client."""

    def __init__(self, program: Path, laboratory: Laboratory, client: Path) -> None:
        self._laboratory = laboratory
        self._client = client
        self.servers = [laboratory.enrol(f"node:n{number}") for number in range(NODES)]
        self.folder = laboratory.folder / "cluster"
        self.profile = NatsProfile(
            nodes=tuple(
                Node(
                    name=f"n{number}",
                    address=HERE,
                    port=free_port(),
                    route_port=free_port(),
                    local_port=free_port(),
                )
                for number in range(NODES)
            ),
            state=str(laboratory.folder / "state"),
        )
        self.write()
        configs = [self.folder / node.name / "nats.conf" for node in self.profile.nodes]
        super().__init__(program, configs, laboratory.folder)

    def write(self) -> None:
        """Write its folder (again)."""
        authorities = [look_at(self._laboratory.pki)]
        write_cluster(self.folder, self.profile, self.servers, authorities, NOW)

    def settings(self, folder: Path | None, first: int = 0, **more: object) -> BrokerSettings:
        """How somebody connects: to the node ``first``, and to the others when it is lost."""
        nodes = self.profile.nodes[first:] + self.profile.nodes[:first]
        url, *others = [f"mqtts://{HERE}:{node.port}" for node in nodes]
        ways = {"url": url, "other_urls": others, "protocol": "3.1.1", **more}
        return self._laboratory.settings(folder, **ways)

    def asking(self, number: int) -> BrokerSettings:
        """See :class:`tests.nats_cluster.NatsNodes`."""
        return self.settings(self._client, number, other_urls=())
