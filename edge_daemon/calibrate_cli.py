"""``leuko-edge calibrate``: what is learnt of one microscope. Parses only, as ``cli`` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_daemon.cli_options import BundleOption, EngineOption, console
from edge_daemon.engines.options import EngineOptions

if TYPE_CHECKING:
    from edge_daemon.commands.calibrate import CalibrationRequest

app = typer.Typer(
    help="Learn flat field, scale, focus and stain of this microscope, and keep them in one file.",
    no_args_is_help=True,
)

SourceArgument = Annotated[
    str, typer.Argument(help="camera://..., a folder, a picture, a video, sim://...")
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file", help="The calibration file [default: --config's, or leuko-edge-calibration.json]"
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML configuration of the device: its objective and file"),
]
FramesOption = Annotated[int, typer.Option("--frames", min=1, max=1000, help="Frames to take")]
ObjectiveOption = Annotated[
    str | None,
    typer.Option("--objective", help="Such as '100x/1.25 oil'; needed where the file is new"),
]
BinningOption = Annotated[
    int | None, typer.Option("--binning", min=1, max=16, help="Of the camera [default: 1]")
]
RegionOption = Annotated[
    str | None,
    typer.Option("--region", help="LEFT,TOP,WIDTH,HEIGHT on the sensor [default: all of it]"),
]
AnewOption = Annotated[
    bool, typer.Option("--anew", help="Start the file anew where the microscope was changed")
]


def _request(
    source: str,
    file: Path | None,
    config: Path | None,
    frames: int,
    objective: str | None,
    binning: int | None,
    region: str | None,
    anew: bool,
) -> CalibrationRequest:
    """What the options ask for, on top of what a device's configuration says."""
    from edge_daemon.commands.calibrate import DEFAULT_FILE, CalibrationRequest, parse_region
    from edge_daemon.config import load_config

    known = None if region is None else parse_region(region)
    if config is not None:
        device = load_config(config)
        file = file or device.calibration.file
        objective = objective or device.device.objective
        binning = binning or device.calibration.binning
        known = known or device.calibration.region
    return CalibrationRequest(source, file or DEFAULT_FILE, frames, objective, binning, known, anew)


def _add_command(name: str, explanation: str, frames_to_take: int) -> None:
    """A command that takes what all of them take, and nothing else."""

    @app.command(name, help=explanation)
    def _(
        source: SourceArgument,
        file: FileOption = None,
        config: ConfigOption = None,
        frames: FramesOption = frames_to_take,
        objective: ObjectiveOption = None,
        binning: BinningOption = None,
        region: RegionOption = None,
        anew: AnewOption = False,
    ) -> None:
        from edge_daemon.commands import calibrate

        learn = {"flat": calibrate.flat, "focus": calibrate.focus, "stain": calibrate.stain}[name]
        request = _request(source, file, config, frames, objective, binning, region, anew)
        learn(request, console())


_add_command(
    "flat", "Flat field and white balance, from clean glass beside the smear, in focus of it.", 32
)


@app.command("scale")
def scale(
    source: SourceArgument,
    file: FileOption = None,
    config: ConfigOption = None,
    spacing_um: Annotated[
        float | None,
        typer.Option(
            "--spacing-um",
            min=0.1,
            max=1000.0,
            help="Distance of the lines of a stage micrometer [default: measure red cells instead]",
        ),
    ] = None,
    frames: FramesOption = 16,
    objective: ObjectiveOption = None,
    binning: BinningOption = None,
    region: RegionOption = None,
    anew: AnewOption = False,
    bundle: BundleOption = None,
    engine: EngineOption = "auto",
) -> None:
    """Micrometres per pixel, from a stage micrometer or, less surely, from red cells."""
    from edge_daemon.commands import calibrate as command

    request = _request(source, file, config, frames, objective, binning, region, anew)
    if spacing_um is not None:
        command.scale_by_micrometer(request, spacing_um, console())
    else:
        command.scale_by_red_cells(request, bundle, EngineOptions(engine), console())


_add_command(
    "focus",
    "What sharp is with this objective: turn slowly through focus, or give frames in focus.",
    60,
)
_add_command(
    "stain", "The colours of a well stained slide, that later slides are held against.", 60
)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="The calibration file", show_default=False)],
) -> None:
    """What a calibration file holds, and for which microscope."""
    from edge_daemon.commands import calibrate as command

    command.show(file, console())
