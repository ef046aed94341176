"""``leuko-edge slide``: the operator's commands, over the local socket of the running daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli_options import (
    DaemonConfigOption,
    JsonOption,
    OperatorOption,
    SocketOption,
)

app = typer.Typer(
    help="Start, pause, resume, finish or abort a slide of the running daemon; ask how it stands.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def start(
    slide: Annotated[
        str | None, typer.Argument(help="Its name [default: one from date and time]")
    ] = None,
    objective: Annotated[str | None, typer.Option(help="The objective, as 100x/1.25 oil")] = None,
    from_label: Annotated[
        bool, typer.Option("--from-label", help="Take the name from the label in view")
    ] = False,
    operator: OperatorOption = None,
    socket: SocketOption = None,
    config: DaemonConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Begin a slide."""
    given = {"slide": slide, "objective": objective, "operator": operator}
    args: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if from_label:
        args["from_label"] = True
    _send("slide-start", args, operator, socket, config, json)


@app.command()
def pause(
    operator: OperatorOption = None,
    socket: SocketOption = None,
    config: DaemonConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Stop counting frames, until resumed."""
    _send("slide-pause", {}, operator, socket, config, json)


@app.command()
def resume(
    operator: OperatorOption = None,
    socket: SocketOption = None,
    config: DaemonConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with the paused slide."""
    _send("slide-resume", {}, operator, socket, config, json)


@app.command()
def finish(
    operator: OperatorOption = None,
    socket: SocketOption = None,
    config: DaemonConfigOption = None,
    json: JsonOption = False,
) -> None:
    """End the slide: it was seen as far as it should be."""
    _send("slide-finish", {}, operator, socket, config, json)


@app.command()
def abort(
    reason: Annotated[str | None, typer.Option(help="Why, in one line")] = None,
    operator: OperatorOption = None,
    socket: SocketOption = None,
    config: DaemonConfigOption = None,
    json: JsonOption = False,
) -> None:
    """End the slide and say nothing of it."""
    args: dict[str, object] = {} if reason is None else {"reason": reason}
    _send("slide-abort", args, operator, socket, config, json)


@app.command()
def status(
    socket: SocketOption = None,
    config: DaemonConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say what the daemon does now and how the slide stands."""
    _send("status", {}, None, socket, config, json)


def _send(
    name: str,
    args: dict[str, object],
    operator: str | None,
    socket: Path | None,
    config: Path | None,
    json: bool,
) -> None:
    from edge_daemon.commands.ask import ask_daemon, print_status, socket_of

    reply = ask_daemon(socket_of(socket, config), name, args, operator=operator)
    print_status(reply, as_json=json)
