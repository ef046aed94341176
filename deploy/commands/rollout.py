"""``leuko-deploy rollout``: a bundle or the daemon to many devices, in waves, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.options import REGISTRY, Pki, Where

if TYPE_CHECKING:
    from deploy.rollout.entries import Standing
    from deploy.rollout.run import Desk
    from deploy.rollout.wishes import What

app = typer.Typer(
    help="A bundle, or the daemon, to many devices: in waves, judged by what they report, undone.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The rollout file (TOML)")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder of the rollout's journal")]
Identity = Annotated[
    Path | None,
    typer.Option(envvar="LEUKO_IDENTITY", help="Folder of the controller, as it was handed out"),
]
Broker = Annotated[str | None, typer.Option(help="Address that goes before the folder's")]
Hear = Annotated[
    float, typer.Option("--hear", min=0.1, help="Seconds to listen before a plan is made")
]
Json = Annotated[bool, typer.Option("--json", help="For programs: an object a line")]
HEAR_S, ROLLOUTS = 5.0, Path("rollouts")


@app.command()
def start(
    file: File,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change and why; change nothing")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the journal [default: rollouts/NAME]")
    ] = None,
    registry: Where = REGISTRY,
    pki: Pki = None,
    identity: Identity = None,
    broker: Broker = None,
    hear: Hear = HEAR_S,
    json: Json = False,
) -> None:
    """Show the plan, then carry it out; 1 when it was stopped. Goes on where it was killed."""
    from deploy.rollout.run import begin, planned, show_plan
    from deploy.rollout.settings import read_rollout

    rollout = read_rollout(file)
    place = folder or ROLLOUTS / rollout.name
    with _desk(place, registry, pki, identity, broker, hear, json=json) as desk:
        if dry_run:
            show_plan(desk, rollout, planned(desk, rollout))
            return

        def agreed() -> bool:
            return yes or typer.confirm("Begin?", err=json)

        _end(begin(desk, rollout, agreed))


@app.command()
def resume(
    folder: Folder,
    registry: Where = REGISTRY,
    pki: Pki = None,
    identity: Identity = None,
    broker: Broker = None,
    json: Json = False,
) -> None:
    """Go on: after a pause, after a stop that was looked into, after the controller was killed."""
    _go_on(folder, "resume", registry, pki, identity, broker, json=json)


@app.command()
def undo(
    folder: Folder,
    registry: Where = REGISTRY,
    pki: Pki = None,
    identity: Identity = None,
    broker: Broker = None,
    json: Json = False,
) -> None:
    """Bring every device that has what is new, or may take it, back to the old content."""
    from deploy.rollout.errors import RolloutError
    from deploy.rollout.run import look

    if look(folder)[0].plan.back is None:
        raise RolloutError("there is no way back: the rollout file said back_to = none")
    _go_on(folder, "undo", registry, pki, identity, broker, json=json)


@app.command()
def pause(folder: Folder) -> None:
    """Order nothing more; what was ordered is still watched while a controller runs."""
    from deploy.rollout.run import pause as pause_it

    pause_it(folder)


@app.command()
def status(
    folder: Folder,
    verify: Annotated[
        bool, typer.Option("--verify", help="Say only whether the journal holds")
    ] = False,
    json: Json = False,
) -> None:
    """Where a rollout stands, from its journal, which is verified each time."""
    import json as text

    from deploy.rollout.listing import as_status, status_lines
    from deploy.rollout.run import look

    standing, chain = look(folder)
    if chain.remark is not None:
        typer.echo(chain.remark, err=True)
    if verify:
        typer.echo(f"{len(chain.lines)} entries, each follows the one before; last {chain.head}")
    elif json:
        typer.echo(text.dumps(as_status(standing, chain.head), indent=2))
    else:
        typer.echo("\n".join(status_lines(standing, chain.head)))


def _go_on(
    folder: Path,
    what: What,
    registry: str,
    pki: Path | None,
    identity: Path | None,
    broker: str | None,
    *,
    json: bool,
) -> None:
    from deploy.rollout.run import go_on

    with _desk(folder, registry, pki, identity, broker, HEAR_S, json=json) as desk:
        standing = go_on(desk, what)
        if standing is None:
            typer.echo(f"the controller that runs in {folder} was asked to {what}", err=json)
            return
        _end(standing)


class _desk:  # noqa: N801 - reads as a function
    """A desk whose registry is closed afterwards."""

    def __init__(
        self,
        folder: Path,
        registry: str,
        pki: Path | None,
        identity: Path | None,
        broker: str | None,
        hear_s: float,
        *,
        json: bool,
    ) -> None:
        import logging
        import sys

        from rich.console import Console

        from deploy.commands.devices import opened
        from deploy.registry.connection import settings_of
        from deploy.rollout.run import Desk

        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
        settings = settings_of(identity, broker)
        self._book = opened(registry, pki)
        console = Console(stderr=json)
        self._desk = Desk(folder, self._book, settings, console, json=json, hear_s=hear_s)

    def __enter__(self) -> Desk:
        return self._desk

    def __exit__(self, *_: object) -> None:
        self._book.close()


def _end(standing: Standing | None) -> None:
    """1 where it is not done: stopped, undone, or left by a signal."""
    if standing is not None and standing.word != "done":
        raise typer.Exit(1)
