"""``leuko-deploy repo``: the repository that devices take updates from. Parses only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from deploy.trust.keys import KeyRing

app = typer.Typer(
    help="Keep the signed repository that devices take bundles and daemons from.",
    no_args_is_help=True,
)

RepositoryArgument = Annotated[
    Path, typer.Argument(metavar="REPO", help="Folder of the repository.", show_default=False)
]
KeysOption = Annotated[
    list[Path],
    typer.Option(
        "--keys",
        help="Folder with private keys; may be given several times. New keys go into the first.",
        show_default=False,
    ),
]


@app.command()
def init(
    repository: RepositoryArgument,
    keys: KeysOption,
    root_keys: Annotated[int, typer.Option(min=2, help="Root keys to make.")] = 3,
    root_threshold: Annotated[int, typer.Option(min=2, help="That must sign a root.")] = 2,
    root_days: Annotated[int, typer.Option(min=1, help="A root is good for.")] = 730,
    targets_days: Annotated[int, typer.Option(min=1, help="A list of targets is.")] = 365,
    snapshot_days: Annotated[int, typer.Option(min=1, help="A snapshot is.")] = 90,
    timestamp_days: Annotated[
        int, typer.Option(min=1, help="A timestamp is: publish at least that often.")
    ] = 30,
) -> None:
    """Make keys and an empty repository."""
    from deploy.trust.create import RootKeys, create
    from edge_daemon.contract.envelope import utc_now

    days = {
        "root": root_days,
        "targets": targets_days,
        "snapshot": snapshot_days,
        "timestamp": timestamp_days,
    }
    root = create(
        repository,
        _ring(keys),
        utc_now(),
        root_keys=RootKeys(root_keys, root_threshold),
        lifetimes_days=days,
    )
    typer.echo(f"{repository}: made, with nothing on offer yet")
    typer.echo(f"give each device {root}; move each root key to a medium of its own")


@app.command()
def add(
    repository: RepositoryArgument,
    source: Annotated[
        Path, typer.Argument(help="Folder of a bundle, or a daemon's wheel.", show_default=False)
    ],
    keys: KeysOption,
    min_daemon: Annotated[
        str | None, typer.Option(help="Oldest daemon it works with, as 0.2.0.")
    ] = None,
    jetpack: Annotated[str | None, typer.Option(help="JetPack it is for, as '>=6.1,<7'.")] = None,
    tensorrt: Annotated[str | None, typer.Option(help="TensorRT it is for, as '>=10.3'.")] = None,
    as_version: Annotated[
        str | None, typer.Option(help="Bring an old bundle back under this higher version.")
    ] = None,
    wheelhouse: Annotated[
        Path | None,
        typer.Option(help="Folder with the wheels that the daemon needs on one kind of machine."),
    ] = None,
) -> None:
    """Put a bundle or a daemon in, signed with the targets key; `publish` lets devices see it."""
    from deploy.trust.add import add as add_target
    from deploy.trust.limits import compatibility_of
    from deploy.trust.repository import Repository
    from edge_daemon.contract.envelope import utc_now

    compatibility = compatibility_of(min_daemon, jetpack, tensorrt)
    opened = Repository(repository)
    ring = _ring(keys)
    with opened.alone():
        added = add_target(opened, source, ring, utc_now(), compatibility, as_version, wheelhouse)
    if added.was_there:
        typer.echo(f"{added.path}: is there already, the very same")
    else:
        typer.echo(f"{added.path}: {added.bytes} bytes, not published yet")


@app.command()
def publish(repository: RepositoryArgument, keys: KeysOption) -> None:
    """Let devices see what was added; without news, say that there are none (do it every day)."""
    from deploy.trust.publish import publish as publish_all
    from deploy.trust.repository import Repository
    from edge_daemon.contract.envelope import utc_now

    opened = Repository(repository)
    ring = _ring(keys)
    with opened.alone():
        outcome = publish_all(opened, ring, utc_now())
    typer.echo(f"{repository}: published, good until {outcome.expires:%Y-%m-%d}")
    for warning in outcome.warnings:
        typer.echo(f"note: {warning}", err=True)


@app.command()
def rotate(
    repository: RepositoryArgument,
    role: Annotated[
        Literal["root", "targets", "snapshot", "timestamp"],
        typer.Argument(help="Whose key.", show_default=False),
    ],
    keys: KeysOption,
    replace: Annotated[
        str | None, typer.Option(help="Which root key, by the first digits of its identifier.")
    ] = None,
    another: Annotated[
        bool, typer.Option("--another", help="The new key of an exchange under way was lost.")
    ] = False,
) -> None:
    """Exchange a key, and publish where the online keys are at hand. Takes root keys."""
    from deploy.trust.keys import key_file_name
    from deploy.trust.repository import Repository
    from deploy.trust.rotate import rotate_key, rotate_root
    from edge_daemon.contract.envelope import utc_now

    if (role == "root") != (replace is not None):
        raise typer.BadParameter("--replace says which root key to exchange, and is for root alone")
    opened = Repository(repository)
    ring = _ring(keys)
    with opened.alone():
        if replace is not None:
            fresh, done = rotate_root(opened, ring, utc_now(), replace), True
        else:
            exchange = rotate_key(opened, ring, utc_now(), role, another=another)
            fresh, done = exchange.keyid, exchange.done
    name = key_file_name(role, fresh)
    if done:
        typer.echo(f"{name}: signs for {role} from now on, and the old key no more")
    else:
        typer.echo(f"{name}: may sign for {role}; publish with it, then give this command again")


@app.command()
def renew(
    repository: RepositoryArgument,
    role: Annotated[
        Literal["root", "targets"], typer.Argument(help="What expires.", show_default=False)
    ],
    keys: KeysOption,
) -> None:
    """Sign the root or the list of targets again before it expires, with the same keys."""
    from deploy.trust.repository import Repository
    from deploy.trust.rotate import renew as sign_again
    from edge_daemon.contract.envelope import utc_now

    opened = Repository(repository)
    ring = _ring(keys)
    with opened.alone():
        until = sign_again(opened, ring, utc_now(), role)
    then = "" if role == "root" else "; now publish"
    typer.echo(f"{role}: good until {until:%Y-%m-%d}{then}")


@app.command()
def show(
    repository: RepositoryArgument,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what is on offer, which keys there are, and when what expires."""
    from json import dumps

    from deploy.trust.inspect import standing
    from deploy.trust.repository import Repository

    found = standing(Repository(repository))
    if json:
        typer.echo(dumps(found.as_json(), indent=2))
        return
    for role in found.roles:
        typer.echo(
            f"{role.role:9} v{role.version:<4} good until {role.expires:%Y-%m-%d}  "
            f"{role.threshold} of {', '.join(role.keys)}"
        )
    for one in found.targets:
        waits = "" if one.published else "  not published yet"
        typer.echo(f"{one.path}  {one.bytes / 1e6:.1f} MB{waits}")


@app.command()
def check(
    source: Annotated[
        str, typer.Argument(metavar="REPO", help="Folder, or http(s)://...", show_default=False)
    ],
    root: Annotated[
        Path | None, typer.Option(help="The root that devices pin [default: REPO's first].")
    ] = None,
) -> None:
    """Read all of it as a new device would, to the last byte."""
    from deploy.trust.inspect import check as check_all
    from deploy.trust.inspect import root_to_pin
    from edge_daemon.contract.envelope import utc_now

    sound = check_all(source, root_to_pin(source, root), utc_now, typer.echo)
    typer.echo(f"{source}: sound, {sound} on offer")


def _ring(folders: list[Path]) -> KeyRing:
    from deploy.trust.keys import KeyRing

    return KeyRing(folders)
