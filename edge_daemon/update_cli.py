"""``leuko-edge update``: updates of this device. Parses only, as ``cli`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli_options import JsonOption, console

app = typer.Typer(
    help="Follow the fleet's orders: fetch what is desired, prove it, use it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ConfigArgument = Annotated[Path, typer.Argument(help="TOML configuration file", show_default=False)]


@app.command("provision")
def provision(
    config: ConfigArgument,
    root: Annotated[Path, typer.Argument(help="The repository's newest N.root.json")],
) -> None:
    """Pin the root that this device trusts from now on."""
    from edge_daemon.commands import update as command
    from edge_daemon.config import load_config

    command.pin(load_config(config), root, console())


@app.command("check")
def check(config: ConfigArgument, json: JsonOption = False) -> None:
    """Say what is desired, what runs, what is waited for and what was refused last."""
    from edge_daemon.commands import update as command
    from edge_daemon.config import load_config

    command.check(load_config(config), as_json=json)


@app.command("run")
def run(
    config: ConfigArgument,
    once: Annotated[bool, typer.Option("--once", help="Look once; 1 when something waits")] = False,
) -> None:
    """Follow orders, beside the running daemon."""
    from edge_daemon.commands import update as command
    from edge_daemon.config import load_config

    if not command.run(load_config(config), console(), file=config, once=once):
        raise typer.Exit(1)


@app.command("self-check", hidden=True)
def self_check(config: ConfigArgument) -> None:
    """Would this version of the daemon work here? Asked of a new one before it is started."""
    from edge_daemon.commands import self_check as command
    from edge_daemon.config import load_config

    command.self_check(load_config(config), console())
