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


def console() -> Console:
    """Standard error, for people; results for programs go to files or standard output."""
    from rich.console import Console

    # Into a file or a pipe, one message is one line however long.
    return Console(stderr=True, soft_wrap=not sys.stderr.isatty())
