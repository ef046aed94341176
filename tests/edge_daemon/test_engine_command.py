"""``leuko-edge engine``: what it says and leaves behind, on a machine with stand-ins for a GPU."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from edge_daemon.commands import engine as command
from edge_daemon.commands.engine import EngineRequest
from edge_daemon.config import load_config
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.engine_cli import app
from edge_daemon.engines.nvidia.gpu import compute_capability
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.select import open_engine
from edge_daemon.errors import BundleError, ConfigError, EngineError
from tests.edge_daemon.tiny_bundle import write_tiny_bundle


class Desk:
    """A bundle, a folder of engines, and what was printed."""

    def __init__(self, machine, bundle: Path, **more: object) -> None:
        self.request = EngineRequest(
            load_bundle(bundle), machine.cache.folder, EngineOptions(), **more
        )
        self._printed = io.StringIO()
        self.console = Console(file=self._printed, width=200)

    def printed(self) -> str:
        text = self._printed.getvalue()
        self._printed.truncate(0)
        self._printed.seek(0)
        return text


@pytest.fixture
def desk(gpu_machine, tiny_bundle) -> Desk:
    return Desk(gpu_machine, tiny_bundle)


def test_build_makes_and_proves_an_engine_for_each_role(desk, gpu_machine):
    assert command.build(desk.request, desk.console) == 2
    assert gpu_machine.tensorrt.builds == 2
    assert gpu_machine.driver.retained == 0
    command.show(desk.request.folder, desk.console)
    said = desk.printed()
    assert said.count("Stand-in Orin") >= 2
    assert said.count("passed") >= 2
    assert "tensorrt 10.3.0" in said


def test_what_is_there_is_built_again_only_when_asked(desk, gpu_machine):
    command.build(desk.request, desk.console)
    command.build(desk.request, desk.console)
    assert gpu_machine.tensorrt.builds == 2
    command.build(desk.request, desk.console, again=True)
    assert gpu_machine.tensorrt.builds == 4


def test_what_is_there_stays_when_building_it_again_fails(desk, gpu_machine):
    command.build(desk.request, desk.console)
    before = gpu_machine.cache.engines()
    gpu_machine.tensorrt.refuses_to_build = True
    with pytest.raises(EngineError, match="cannot build"):
        command.build(desk.request, desk.console, again=True)
    assert gpu_machine.cache.engines() == before


def test_the_devices_configuration_decides_which_engine_is_built(
    gpu_machine, tiny_bundle, tmp_path
):
    config = tmp_path / "microscope.toml"
    config.write_text(
        f"""
[source]
url = "sim://"
[broker]
url = "mqtt://127.0.0.1"
[models]
bundle = "{tiny_bundle}"
engine_cache = "{gpu_machine.cache.folder}"
[models.gpu_engines]
workspace_mb = 64
"""
    )
    built = CliRunner().invoke(app, ["build", "--config", str(config), "--role", "classifier"])
    assert built.exit_code == 0, built.output
    models = load_config(config).models
    open_engine(load_bundle(tiny_bundle), "classifier", models.options).close()
    assert gpu_machine.tensorrt.builds == 1, "the daemon finds what was built for it"


def test_one_role_may_be_asked_for(gpu_machine, tiny_bundle):
    desk = Desk(gpu_machine, tiny_bundle, role="classifier")
    assert command.build(desk.request, desk.console) == 1
    (kept,) = gpu_machine.cache.engines()
    assert kept.path.name.startswith("classifier.fp32.")


def test_a_precision_that_the_bundle_lacks_is_told(desk, gpu_machine):
    request = EngineRequest(
        desk.request.bundle, desk.request.folder, EngineOptions(precision="int8")
    )
    with pytest.raises(BundleError, match="has no int8 detector; it has fp32"):
        command.build(request, desk.console)


def test_verify_tells_a_broken_file_and_a_lying_engine(desk, gpu_machine):
    command.build(desk.request, desk.console)
    assert command.verify(desk.request, desk.console)
    first, second = gpu_machine.cache.engines()
    first.path.write_bytes(b"half")
    desk.printed()
    assert not command.verify(desk.request, desk.console)
    said = desk.printed()
    assert f"FAIL {first.path.name}" in said
    assert "truncated" in said
    assert f"ok   {second.path.name}" in said


def test_prune_keeps_what_the_bundle_needs(desk, gpu_machine, tmp_path):
    command.build(desk.request, desk.console)
    novel = write_tiny_bundle(tmp_path / "novel", novelty_limit=1.0)
    command.build(Desk(gpu_machine, novel).request, desk.console)
    (gpu_machine.cache.folder / "detector.fp32.x.engine.partial").write_bytes(b"half")
    assert len(gpu_machine.cache.engines()) == 3  # both bundles have the same detector
    gone = command.prune(desk.request.bundle, desk.request.folder, desk.console)
    assert len(gone) == 2
    assert len(gpu_machine.cache.engines()) == 2
    assert "2 engines kept, 2 others deleted" in desk.printed()


def test_an_empty_folder_is_no_error(desk, tmp_path):
    assert command.show(tmp_path / "nothing", desk.console) == []
    assert "no engines in" in desk.printed()


def test_without_a_gpu_the_golden_set_is_said_not_to_have_run(desk, gpu_machine, monkeypatch):
    command.build(desk.request, desk.console)
    monkeypatch.setattr(command, "why_no_gpu", lambda: "pip install 'leukoedge[jetson]'")
    desk.printed()
    assert command.verify(desk.request, desk.console)
    assert "golden set not run: pip install 'leukoedge[jetson]'" in desk.printed()


def test_only_tensorrt_builds_engines(desk):
    request = EngineRequest(
        desk.request.bundle, desk.request.folder, EngineOptions(engine="openvino")
    )
    with pytest.raises(ConfigError, match="--engine openvino builds no engines"):
        command.build(request, desk.console)


def test_an_engine_that_fails_its_golden_set_ends_the_build(desk, gpu_machine):
    gpu_machine.tensorrt.spoils_engines = True
    with pytest.raises(EngineError, match="fails its golden set"):
        command.build(desk.request, desk.console)
    assert gpu_machine.driver.retained == 0


@pytest.mark.parametrize(("text", "found"), [("8.6", (8, 6)), ("12.0", (12, 0))])
def test_a_compute_capability_is_major_and_minor(text, found):
    assert compute_capability(text) == found


@pytest.mark.parametrize("text", ["8", "sm86", "8.6.1", ""])
def test_what_is_none_is_told(text):
    with pytest.raises(ConfigError, match=r"give a compute capability such as 8\.6"):
        compute_capability(text)
