"""Options that several groups of commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

REGISTRY = "registry.db"
Where = Annotated[
    str, typer.Option("--registry", envvar="LEUKO_REGISTRY", help="A file, or postgresql://...")
]
Pki = Annotated[
    Path | None,
    typer.Option(
        envvar="LEUKO_PKI", help="Folder of the authority, whose journal is read [default: pki]"
    ),
]
