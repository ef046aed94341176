"""``leuko-edge control``: known cells screened again. Parses only, as ``cli`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli_options import console

app = typer.Typer(
    help="Screen known cells again, and hold them against what is expected of them.",
    no_args_is_help=True,
)

ConfigArgument = Annotated[Path, typer.Argument(help="TOML configuration file", show_default=False)]


@app.command("run")
def run(config: ConfigArgument) -> None:
    """Run the stored control; 1 when it fails. While the daemon runs, it is asked instead."""
    from edge_daemon.commands import control as command

    if not command.run(config, console()):
        raise typer.Exit(1)


@app.command("accept")
def accept(
    config: ConfigArgument,
    number: Annotated[
        int | None, typer.Option("--run", min=1, help="Number of the run [default: the last one]")
    ] = None,
) -> None:
    """From now on, what a run found is what is expected."""
    from edge_daemon.commands import control as command

    command.accept(config, number, console())


@app.command("history")
def history(
    config: ConfigArgument,
    last: Annotated[int, typer.Option("--last", min=1, help="Runs to show")] = 30,
) -> None:
    """Every run of the controls, oldest first, and how far each was off: drift shows."""
    from edge_daemon.commands import control as command

    command.history(config, last, console())
