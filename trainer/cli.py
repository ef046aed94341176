"""``leuko-train``: real data in, trained and measured networks out.

Modules that import torch are imported when a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge_daemon.errors import DataError, LeukoError
from trainer.data_cli import app as data_app

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="leuko-train",
    help="Train the detector and the classifier on real data, and measure them honestly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help, as leuko-edge has it, without the time that rich takes
)
app.add_typer(data_app, name="data")

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="LEUKO_DATA", help="Folder with bccd, txl-pbc and cnmc2019, if not told."
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", help="Run folder; a run found there goes on where it stands.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a training.")]
SettingsArgument = Annotated[
    Path, typer.Argument(metavar="SETTINGS", help="TOML file, such as those in trainer/recipes.")
]


@app.command()
def fit(
    settings: SettingsArgument,
    out: OutOption,
    data: DataOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of the file's.")] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the file's.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the network.")] = None,
) -> None:
    """Train what SETTINGS describes, then measure it. Start with torchrun for several processes."""
    from trainer import fit as training
    from trainer.settings import read_settings

    config = read_settings(settings, data=data, epochs=epochs, seed=seed, threads=threads)
    training.fit(config, settings.name, out, _console())


@app.command()
def resume(run: RunArgument) -> None:
    """Go on with RUN after its last whole epoch, with the settings it was started with."""
    from trainer import fit as training

    training.resume(run, _console())


@app.command()
def distill(
    settings: SettingsArgument,
    teacher: Annotated[
        Path,
        typer.Option("--teacher", help="Run folder of a larger network with the same geometry."),
    ],
    out: OutOption,
    data: DataOption = None,
    share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of the teacher's word beside the label.")
    ] = 0.5,
    folds: Annotated[
        int, typer.Option(min=2, help="Parts of the patients that the teacher judges in turn.")
    ] = 4,
) -> None:
    """Train what SETTINGS describes on labels softened by a TEACHER that was not taught them."""
    from trainer import fit as training
    from trainer.classifier.config import Distillation
    from trainer.settings import read_settings

    distillation = Distillation(teacher.resolve(), share, folds)
    config = read_settings(settings, data=data, distillation=distillation)
    training.fit(config, settings.name, out, _console())


@app.command()
def evaluate(run: RunArgument, data: DataOption = None) -> None:
    """Choose thresholds and calibration of RUN on held-out data, and measure it."""
    from trainer import fit as training

    training.evaluate(run, _console(), data)


@app.command()
def speed(settings: SettingsArgument, data: DataOption = None) -> None:
    """Time, on one core, the making of training crops and their reading by the classifier."""
    from trainer.classifier.config import ClassifierConfig
    from trainer.settings import read_settings
    from trainer.throughput import measure_throughput

    config = read_settings(settings, data=data)
    if not isinstance(config, ClassifierConfig):
        raise DataError(f"{settings}: only the crops of classifiers are timed")
    typer.echo(str(measure_throughput(config)))


@app.command(name="cross-validate")
def cross_validate(
    settings: SettingsArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for a run of each fold.")],
    data: DataOption = None,
    name: Annotated[
        str | None, typer.Option(help="What the model is called in a comparison.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the network.")] = None,
    by_image: Annotated[
        bool,
        typer.Option("--by-image", help="Patients on both sides, to show what that would claim."),
    ] = False,
) -> None:
    """Train and measure SETTINGS on every fold of patients; writes OUT/predictions.npz."""
    from trainer.cross_validation import cross_validate as validate
    from trainer.predictions import PREDICTIONS
    from trainer.settings import read_settings

    config = read_settings(settings, data=data, threads=threads)
    split: Literal["images", "groups"] = "images" if by_image else "groups"
    if validate(config, settings.name, out, _console(), name=name, split=split) is not None:
        typer.echo(f"predictions: {out / PREDICTIONS}  (leuko-train compare shows them)")


@app.command()
def ablate(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder of a cross-validation.")],
    data: DataOption = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of each committee.", show_default="as in the run"),
    ] = None,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Let the networks look in bfloat16.")
    ] = False,
) -> None:
    """Measure what each depth, the area and the colours are worth; compare shows it.

    Fewer steps and bfloat16 are quicker, and the same for every choice.
    """
    from trainer.ablation import Effort
    from trainer.ablation import ablate as leave_out

    effort = Effort(steps, "bfloat16" if bfloat16 else "float32")
    typer.echo(f"predictions: {leave_out(runs, _console(), data=data, effort=effort)}")


@app.command()
def compare(
    predictions: Annotated[
        list[Path],
        typer.Argument(metavar="PREDICTIONS...", help="Files of out-of-fold predictions."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report and its numbers.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            envvar="LEUKO_DATA",
            help="Folder with cnmc2019: shows the cells that were judged most wrongly.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Resampled sets of patients.")] = 2000,
) -> None:
    """Compare models on the same cells: writes report.html and metrics.json into OUT."""
    from trainer.compare import REPORT, terminal_tables
    from trainer.compare import compare as compare_files

    metrics = compare_files(predictions, out, data=data, rounds=rounds)
    _console().print(*terminal_tables(metrics), sep="\n")
    for topic in metrics["summary"]:
        typer.echo(f"{topic['about']}:")
        for sentence in topic["sentences"]:
            typer.echo(f"* {sentence}")
    typer.echo(f"report: {out / REPORT}")


def main() -> None:
    """Run the command line; an error of the user's is one line and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        print("leuko-train: stopped; go on with leuko-train resume RUN", file=sys.stderr)
        raise SystemExit(130) from None
    except LeukoError as error:
        print(f"leuko-train: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def _console() -> Console:
    from rich.console import Console

    return Console()


if __name__ == "__main__":
    main()
