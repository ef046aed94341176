"""What several commands of ``leuko-edge`` share. Light, as :mod:`edge_daemon.cli` is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_daemon.engines.names import EngineChoice, PrecisionChoice

if TYPE_CHECKING:
    from rich.console import Console

BundleOption = Annotated[
    Path | None,
    typer.Option("--bundle", help="Folder of the model bundle [default: the one shipped]"),
]
EngineOption = Annotated[EngineChoice, typer.Option("--engine", help="What runs the networks")]
PrecisionOption = Annotated[
    PrecisionChoice, typer.Option("--precision", help="Precision the bundle must ship")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="Processor threads [default: all]")
]
ScaleOption = Annotated[
    float | None,
    typer.Option("--um-per-px", min=1e-3, max=100.0, help="Scale of the pictures, if known"),
]
SocketOption = Annotated[
    Path | None,
    typer.Option(
        "--socket",
        envvar="LEUKO_EDGE_SOCKET",
        help="Socket of the daemon [default: /run/leuko-edge/leuko-edge.sock]",
        show_default=False,
    ),
]
DaemonConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration of the daemon, which names its socket"),
]
OperatorOption = Annotated[
    str | None, typer.Option("--operator", help="Your pseudonym, for the audit")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs")]


def console() -> Console:
    """Standard error, for people; results for programs go to files or standard output."""
    from rich.console import Console

    # Into a file or a pipe, one message is one line however long.
    return Console(stderr=True, soft_wrap=not sys.stderr.isatty())
