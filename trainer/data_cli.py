"""``leuko-train data``: published sets in, what is in them and what is wrong with them out.

Nothing here needs torch. What a command does is imported when it runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from trainer.data.data_manifest import Layout
    from trainer.data.description import Description

LayoutChoice = Literal["auto", "cnmc", "cnmc-compact", "voc", "yolo", "coco", "all-idb1"]

app = typer.Typer(
    help="Import, check, describe and split the data that networks are trained on.",
    no_args_is_help=True,
)

FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of a set, or of several sets.")
]
LayoutOption = Annotated[
    LayoutChoice, typer.Option("--layout", help="Layout of the set; auto looks for its signs.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Same seed, same split.")]

_Item = TypeVar("_Item")


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder as published.")],
    out: Annotated[Path, typer.Option("--out", help="New folder; must not be there yet.")],
    layout: LayoutOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Import a published set into --out, whole or not at all.

    Single cells (cnmc, cnmc-compact) are written in the compact layout: manifest.csv, lossless
    pictures, patients who share cells in one group, repeats.csv with the pairs that joined them,
    and a split: the source's where it has one, else a suggested one. Whole fields (voc, yolo,
    coco, all-idb1) are trained on where they lie: they are read and checked, and only data.json,
    with their counts and digests, is written. An interrupted import leaves nothing; run it again.
    """
    from trainer.data.layouts import find_set

    found = find_set(source, _asked(layout))
    console = _console()
    if found.layout in ("cnmc", "cnmc-compact"):
        from trainer.data.cell_import import import_cells
        from trainer.data.cnmc_official import official_cells
        from trainer.data.published_cells import compact_cells
        from trainer.data.reading import read_strictly

        read = official_cells if found.layout == "cnmc" else compact_cells
        cells = read_strictly(read(found.root))
        report = import_cells(cells, out, name=found.name, seed=seed, progress=_Bar(console))
        lines = report.lines()
    else:
        from trainer.data.data_manifest import DATA_JSON, DataManifest
        from trainer.data.description import describe_set
        from trainer.whole_files import new_folder

        described = describe_set(found, _Bar(console))
        with new_folder(out) as folder:
            DataManifest(sets=tuple(one.manifest for one in described)).write(folder / DATA_JSON)
        lines = [_in_one_line(one) for one in described]
    for line in [*lines, f"written to {out}"]:
        typer.echo(line)


@app.command()
def check(folder: FolderArgument, layout: LayoutOption = "auto") -> None:
    """Say everything that is wrong with DIR, a line each; exit with 8 if an error is among it.

    Errors are what training or an import refuses or is misled by: pictures that cannot be read or
    have no label, unknown classes, a group or patient in two splits, one cell in two groups.
    Warnings are what the reader puts right, such as a box without area.
    """
    from edge_daemon.errors import DataError
    from trainer.data.layouts import find_sets
    from trainer.data.soundness import check_set

    bar = _Bar(_console())
    sets = find_sets(folder, _asked(layout))
    findings = [finding for found in sets for finding in check_set(found, bar)]
    for finding in findings:
        typer.echo(str(finding))
    errors = sum(finding.is_error for finding in findings)
    names = ", ".join(f"{found.name} ({found.layout})" for found in sets)
    typer.echo(f"{names}: {errors} errors, {len(findings) - errors} warnings")
    if errors:
        raise typer.Exit(DataError.exit_code)


@app.command()
def describe(
    folder: FolderArgument,
    layout: LayoutOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Count what is in DIR: by class, split and patient group, with picture sizes and digests."""
    from trainer.data.description import describe_set
    from trainer.data.layouts import find_sets

    bar = _Bar(_console())
    sets = find_sets(folder, _asked(layout))
    described = [one for found in sets for one in describe_set(found, bar)]
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in described], indent=1))
        return
    for one in described:
        typer.echo(_in_one_line(one))
        for what, table in (("split", one.splits), ("group", one.groups)):
            for name, counts in sorted(table.items()):
                typer.echo(f"  {what} {name}: {_counted(counts)}")
        typer.echo(f"  pictures of {_counted(one.sizes)}")
        typer.echo(f"  {one.manifest.digest}")


@app.command()
def split(
    folder: FolderArgument,
    out: Annotated[Path, typer.Option("--out", help="JSON file with the groups of each fold.")],
    folds: Annotated[int, typer.Option("--folds", min=2, help="Parts of whole groups.")] = 5,
    seed: SeedOption = 0,
) -> None:
    """Divide the groups of an imported set into folds alike in class and number of cells."""
    from edge_daemon.errors import DataError
    from trainer.data.cnmc import manifest_rows
    from trainer.data.fold_file import write_folds
    from trainer.data.layouts import find_set
    from trainer.data.reading import read_strictly
    from trainer.data.splits import make_folds

    found = find_set(folder)
    if found.layout != "cnmc-compact":
        raise DataError(
            f"{folder}: {found.layout} has no patient groups: import single cells first "
            "(leuko-train data import)"
        )
    records = read_strictly(manifest_rows(found.root))
    written = write_folds(make_folds(records, folds, seed), out)
    for number, fold in enumerate(written.folds):
        typer.echo(f"fold {number}: {len(fold.groups)} groups, {_counted(fold.cells)}")
    typer.echo(f"written to {out}")


class _Bar:
    """A progress bar on standard error, where that is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, items: Iterable[_Item], what: str, total: int) -> Iterator[_Item]:
        from rich.progress import Progress

        with Progress(
            console=self._console, transient=True, disable=not self._console.is_terminal
        ) as bar:
            yield from bar.track(items, total=total, description=what)


def _asked(layout: LayoutChoice) -> Layout | None:
    return None if layout == "auto" else layout


def _in_one_line(one: Description) -> str:
    counts = _counted(one.manifest.counts)
    return f"{one.manifest.name} ({one.manifest.layout}): {counts}"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _console() -> Console:
    from rich.console import Console

    return Console(file=sys.stderr)
