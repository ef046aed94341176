"""A cluster of NATS servers that speak MQTT 3.1.1: a file for each node, with rights by identity.

NATS knows no list of revoked certificates. It is told the keys that count instead
(``pinned_certs``: SHA-256 of the public key), for clients and for nodes apart, so that no device
can join as a node.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, model_validator

from deploy.broker.mosquitto import CERTIFICATE, KEY, TRUSTED
from deploy.broker.rights import ALERTS, rights_of
from deploy.broker.settings import Limits, Line, Port
from deploy.identity.names import Identity, parse_identity
from edge_daemon.contract.base import Name, StrictModel
from edge_daemon.contract.topics import ROOT

CONFIGURATION = "nats.conf"
_HEADER = "# Written by `leuko-deploy broker write`; `leuko-deploy broker check` holds it to that."


class Node(StrictModel):
    """One server of the cluster, enrolled as ``node:NAME``."""

    name: Name
    address: Line
    """Address on which it listens to clients and to the other nodes."""
    port: Port = 8883
    route_port: Port = 6222
    """For the other nodes."""
    local_port: Port = 4222
    """NATS has a listener for its own protocol in any case: on 127.0.0.1, with the same TLS."""


class NatsProfile(StrictModel):
    """A cluster of three nodes or five, of which one or two may fail."""

    nodes: Annotated[tuple[Node, ...], Field(min_length=3, max_length=5)]
    lies_at: Line | None = None
    """Folder of a node's files on its machine; without it, where they are written."""
    state: Line = "/var/lib/nats"
    """Folder of the streams; a node has a folder of its name below it."""
    stored_bytes: int = Field(default=8 * 1024**3, ge=64 * 1024**2)
    """Most that a node keeps on its disk."""
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _nodes_differ(self) -> NatsProfile:
        if len({node.name for node in self.nodes}) < len(self.nodes):
            raise ValueError("two nodes have the same name")
        if len(self.nodes) % 2 == 0:
            raise ValueError("a cluster has three nodes or five")
        return self


class ClusterRecord(StrictModel):
    """What a cluster's folder was written from."""

    profile: NatsProfile
    folders: tuple[str, ...]
    """Where each node's files will lie."""
    identities: tuple[str, ...]
    client_keys: tuple[str, ...]
    node_keys: tuple[str, ...]
    """SHA-256 of the public keys that count."""

    def rendered(self) -> dict[str, bytes]:
        """The files that are text, by name."""
        return {
            f"{node.name}/{CONFIGURATION}": self._node(node, folder).encode()
            for node, folder in zip(self.profile.nodes, self.folders, strict=True)
        }

    def _node(self, node: Node, folder: str) -> str:
        profile, limits = self.profile, self.profile.limits
        routes = [f"tls://{one.address}:{one.route_port}" for one in profile.nodes]
        return f"""{_HEADER}
server_name: {json.dumps(node.name)}
listen: "127.0.0.1:{node.local_port}"
{_tls(folder, self.client_keys, "verify_and_map")}
max_connections: {limits.connections}
max_payload: {limits.message_bytes}
jetstream {{
  store_dir: {json.dumps(f"{profile.state}/{node.name}")}
  max_memory_store: {limits.memory_bytes}
  max_file_store: {profile.stored_bytes}
}}
cluster {{
  name: leukoedge
  listen: {json.dumps(f"{node.address}:{node.route_port}")}
  routes: {json.dumps(routes)}
{_tls(folder, self.node_keys, "verify")}
}}
mqtt {{
  listen: {json.dumps(f"{node.address}:{node.port}")}
  stream_replicas: {len(profile.nodes)}
  max_ack_pending: {limits.in_flight}
  reject_qos2_publish: true
{_tls(folder, self.client_keys, "verify_and_map")}
}}
authorization {{
  users: [
{_users(parse_identity(name) for name in self.identities)}
  ]
}}
"""


def subject(topic: str) -> str:
    """A topic filter as NATS calls it: a dot in a level is ``//`` there."""
    levels = [level.replace(".", "//") for level in topic.split("/")]
    return ".".join({"+": "*", "#": ">"}.get(level, level) for level in levels)


def _users(identities: Iterable[Identity]) -> str:
    lines = []
    for who in identities:
        rights = rights_of(who)
        reads = [subject(topic) for topic in rights.reads]
        if who.role != "device":  # NATS judges the subscription, and whoever looks on asks for all
            reads = [subject(f"{ROOT}/#"), subject(ROOT)]
            if who.role == "dashboard":
                reads += [subject(f"{ALERTS}/#"), subject(ALERTS)]
        permissions = {
            "publish": {"allow": [subject(topic) for topic in rights.writes]},
            "subscribe": {"allow": reads},
        }
        if not rights.writes:
            permissions["publish"] = {"deny": [">"]}
        user = json.dumps(f"CN={who.common_name}")
        lines.append(f"    {{ user: {user}, permissions: {json.dumps(permissions)} }}")
    return "\n".join(lines)


def _tls(folder: str, keys: Iterable[str], verify: str) -> str:
    return f"""  tls {{
    cert_file: {json.dumps(f"{folder}/{CERTIFICATE}")}
    key_file: {json.dumps(f"{folder}/{KEY}")}
    ca_file: {json.dumps(f"{folder}/{TRUSTED}")}
    {verify}: true
    min_version: "1.2"
    timeout: 5
    pinned_certs: {json.dumps(list(keys))}
  }}"""
