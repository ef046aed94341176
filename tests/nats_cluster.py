"""A real three-node NATS cluster for tests: JetStream with three replicas, and MQTT 3.1.1.

Every node is a process of its own on free ports of 127.0.0.1, started and ended by its id.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_daemon.delivery.broker import free_port
from edge_daemon.delivery.link import check_broker
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError

NODES = 3
_START_TIMEOUT_S = 60.0

_CONFIG = """
server_name: n{number}
listen: "127.0.0.1:{client}"
jetstream {{ store_dir: "{folder}", max_memory_store: 64M, max_file_store: 512M }}
cluster {{ name: leuko, listen: "127.0.0.1:{route}", routes: [{routes}] }}
mqtt {{ listen: "127.0.0.1:{mqtt}", stream_replicas: 3 }}
"""


class NatsNodes:
    """Three processes: ``with`` them waits until each takes a client."""

    def __init__(self, program: Path, configs: Sequence[Path], logs: Path) -> None:
        """Nodes of ``configs``, in order; what each says goes into ``logs``."""
        self._program = program
        self._configs = configs
        self._logs = logs
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def asking(self, number: int) -> BrokerSettings:
        """How a client asks whether a node answers."""
        raise NotImplementedError

    def start(self, number: int) -> None:
        """Start a node; :meth:`wait` says when it takes clients."""
        command = [self._program, "-c", self._configs[number], "-l", self._log(number)]
        self._processes[number] = subprocess.Popen(command)

    def kill(self, number: int) -> None:
        """``kill -9``."""
        process = self._processes.pop(number)
        process.kill()
        process.wait(30)

    def wait(self, number: int) -> None:
        """Until a node answers: before that, JetStream has no leader and MQTT no session."""

        def answers() -> bool:
            try:
                check_broker(self.asking(number), timeout_s=10.0)
            except BrokerError:
                return False
            return True

        if not wait_until(answers, _START_TIMEOUT_S):
            said = self._log(number).read_text()[-2000:]
            raise RuntimeError(f"node {number} takes no MQTT; it said: {said}")

    def __enter__(self) -> Self:
        for number in range(NODES):
            self.start(number)
        try:
            for number in range(NODES):
                self.wait(number)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _log(self, number: int) -> Path:
        return self._logs / f"n{number}.log"

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(30)
        self._processes.clear()


class NatsCluster(NatsNodes):
    """Open to everybody on this machine, with three replicas of what is queued."""

    def __init__(self, program: Path, folder: Path) -> None:
        ports = [free_port() for _ in range(3 * NODES)]
        client, route, mqtt = ports[:3], ports[3:6], ports[6:]
        folder.mkdir(parents=True)
        configs = [folder / f"n{number}.conf" for number in range(NODES)]
        for number, config in enumerate(configs):
            config.write_text(
                _CONFIG.format(
                    number=number,
                    client=client[number],
                    route=route[number],
                    mqtt=mqtt[number],
                    folder=folder / f"n{number}",
                    routes=", ".join(f'"nats-route://127.0.0.1:{port}"' for port in route),
                )
            )
        self.urls = [f"mqtt://127.0.0.1:{port}" for port in mqtt]
        super().__init__(program, configs, folder)

    def asking(self, number: int) -> BrokerSettings:
        """See :class:`NatsNodes`."""
        return BrokerSettings(url=self.urls[number], protocol="3.1.1")
