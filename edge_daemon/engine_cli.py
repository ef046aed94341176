"""``leuko-edge engine``: what TensorRT builds on this device. Parses only, as ``cli`` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_daemon.cli_options import BundleOption, EngineOption, PrecisionOption, console
from edge_daemon.engines.names import EngineChoice, PrecisionChoice, RoleChoice
from edge_daemon.engines.options import EngineOptions

if TYPE_CHECKING:
    from edge_daemon.commands.engine import EngineRequest

app = typer.Typer(
    help="Engines that TensorRT builds for this device's GPU, and keeps.", no_args_is_help=True
)

CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder of engines [default: $LEUKO_ENGINE_CACHE, or the user's cache folder]",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML configuration of the device: its [models] settings"),
]
RoleOption = Annotated[
    RoleChoice | None, typer.Option("--role", help="Only this role [default: all]")
]


def _request(
    config: Path | None,
    bundle: Path | None,
    cache: Path | None,
    engine: EngineChoice,
    precision: PrecisionChoice,
    role: RoleChoice | None = None,
    target: str | None = None,
) -> EngineRequest:
    """What the options ask for, on top of what a device's configuration says."""
    from edge_daemon.commands.engine import EngineRequest
    from edge_daemon.commands.models import find_bundle
    from edge_daemon.config import load_config
    from edge_daemon.engines.folder import engine_folder
    from edge_daemon.engines.nvidia.gpu import compute_capability

    options = EngineOptions(engine, precision)
    if config is not None:
        chosen = load_config(config).models
        bundle, cache = bundle or chosen.bundle, cache or chosen.engine_cache
        options = EngineOptions(
            chosen.engine if engine == "auto" else engine,
            chosen.precision if precision == "auto" else precision,
            build=chosen.options.build,
        )
    return EngineRequest(
        bundle=find_bundle(bundle),
        folder=engine_folder(cache),
        options=options,
        role=role,
        target=None if target is None else compute_capability(target),
    )


@app.command("build")
def build(
    config: ConfigOption = None,
    bundle: BundleOption = None,
    role: RoleOption = None,
    precision: PrecisionOption = "auto",
    engine: EngineOption = "auto",
    cache: CacheOption = None,
    target: Annotated[
        str | None,
        typer.Option("--for", help="Compute capability, such as 8.6; TensorRT for RTX only"),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Build what is there as well")] = False,
) -> None:
    """Build the engines of a bundle and hold them against its golden set."""
    from edge_daemon.commands import engine as command

    screen = console()
    request = _request(config, bundle, cache, engine, precision, role, target)
    count = command.build(request, screen, again=again)
    screen.print(f"{count} engines in {request.folder}", highlight=False)


@app.command("list")
def show(cache: CacheOption = None) -> None:
    """Show the engines that are kept, and for what."""
    from edge_daemon.commands import engine as command
    from edge_daemon.engines.folder import engine_folder

    command.show(engine_folder(cache), console())


@app.command("verify")
def verify(
    config: ConfigOption = None,
    bundle: BundleOption = None,
    role: RoleOption = None,
    precision: PrecisionOption = "auto",
    engine: EngineOption = "auto",
    cache: CacheOption = None,
) -> None:
    """Check every engine's bytes and, where there is a GPU, run the golden set."""
    from edge_daemon.commands import engine as command

    request = _request(config, bundle, cache, engine, precision, role)
    if not command.verify(request, console()):
        raise typer.Exit(1)


@app.command("prune")
def prune(bundle: BundleOption = None, cache: CacheOption = None) -> None:
    """Delete engines that the bundle does not need, broken ones and unfinished files."""
    from edge_daemon.commands import engine as command
    from edge_daemon.commands.models import find_bundle
    from edge_daemon.engines.folder import engine_folder

    command.prune(find_bundle(bundle), engine_folder(cache), console())
