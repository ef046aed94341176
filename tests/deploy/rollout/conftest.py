"""A broker, a repository, and a stage on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.rollout.targets import Target
from tests.deploy.rollout.fleet import founded
from tests.deploy.rollout.stage import Stage
from tests.mosquitto import Mosquitto


@pytest.fixture(scope="session")
def repository_of_updates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("updates")
    founded(folder)
    return folder / "repository"


@pytest.fixture(scope="session")
def bundles(repository_of_updates: Path) -> dict[str, Target]:
    from deploy.rollout.targets import targets_of
    from deploy.trust.inspect import offered, root_to_pin
    from edge_daemon.contract.envelope import utc_now

    source = str(repository_of_updates)
    offers = offered(source, root_to_pin(source, None), utc_now)
    return {one.version: one for one in targets_of(offers)}


@pytest.fixture
def broker(mosquitto: Path, tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(mosquitto, tmp_path / "broker") as running:
        yield running


@pytest.fixture
def stage(
    broker: Mosquitto, repository_of_updates: Path, tmp_path: Path
) -> Callable[[list[str]], Stage]:
    return lambda names: Stage(tmp_path, broker.url, repository_of_updates, names)
