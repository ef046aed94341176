"""``leuko-deploy``: what a laboratory's central side does for its devices.

The modules that do the work are imported when a command runs, so that ``--help`` answers at once.
Each group of commands is a module of its own in ``deploy/commands``.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from deploy.commands import (
    broker,
    dashboard,
    devices,
    pki,
    push,
    repo,
    rollout,
    sbom,
)
from edge_daemon import __version__
from edge_daemon.errors import LeukoError

app = typer.Typer(
    name="leuko-deploy",
    help="Bring bundles and daemons to devices that know who made them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(repo.app, name="repo")
app.add_typer(pki.app, name="pki")
app.add_typer(broker.app, name="broker")
app.add_typer(devices.app, name="devices")
app.add_typer(rollout.app, name="rollout")
app.add_typer(dashboard.app, name="dashboard")
app.add_typer(sbom.app, name="sbom")
app.add_typer(push.app, name="push")


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Say the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"leuko-deploy {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error of the user's is one line and an exit code."""
    try:
        app()
    except LeukoError as error:
        print(f"leuko-deploy: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
