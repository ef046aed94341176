"""Pictures of the drawn smear for the documentation: every species side by side, and one field.

    python -m edge_daemon.smear.contact_sheet docs/images

writes ``rendered-cells.jpg`` and ``rendered-field.jpg``, each below 200 kB.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.errors import ConfigError, LeukoError
from edge_daemon.smear.optics import Optics
from edge_daemon.smear.plan import SmearRecipe
from edge_daemon.smear.render import SPECIES, Species, render_background, render_sprite
from edge_daemon.smear.slide import VirtualSlide
from edge_daemon.smear.sprite import Picture

_UM_PER_PX = 0.075
_CELLS_IN_ROW = 6
_CELL_PX = 256
_LARGEST_BYTES = 200_000


def cell_sheet(seed: int = 1) -> Picture:
    """Six cells of every species, one species a row, named at the left; uint8 RGB."""
    width = _CELL_PX * _CELLS_IN_ROW
    background = render_background(np.random.default_rng(seed), width, _UM_PER_PX)[:_CELL_PX]
    return np.vstack([_named_row(seed, species, background.copy()) for species in SPECIES])


def field(seed: int = 7) -> Picture:
    """One frame of 1280x960 px with blasts among normal cells, seen through the lens; uint8 RGB."""
    recipe = SmearRecipe(white_cells_per_field=1.8, blast_fraction=0.5)
    slide = VirtualSlide(seed, 130.0, 110.0, recipe)
    pixels, _ = slide.render_field(15.0, 15.0, 1280, 960)
    rng = np.random.default_rng(seed)
    optics = Optics(rng, 1280, 960, vignetting=0.12, noise=2.0, sharpness_px=0.85)
    return optics.expose(rng, pixels, 0.0, _UM_PER_PX)


def write_jpeg(path: Path, pixels: Picture) -> None:
    """Save as JPEG, the best quality that stays below 200 kB.

    Raises:
        ConfigError: the file cannot be written.
    """
    for quality in range(92, 30, -4):
        encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )[1]
        if encoded.nbytes < _LARGEST_BYTES:
            break
    try:
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise ConfigError(_cannot_write(path, error)) from None


def main(arguments: list[str]) -> int:
    """Write both pictures into the folder named by the only argument; returns the exit code."""
    if len(arguments) != 1:
        print("usage: python -m edge_daemon.smear.contact_sheet FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(_cannot_write(folder, error), file=sys.stderr)
        return ConfigError.exit_code
    try:
        write_jpeg(folder / "rendered-cells.jpg", cell_sheet())
        write_jpeg(folder / "rendered-field.jpg", field())
    except LeukoError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _cannot_write(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written ({error.strerror}): choose another folder"


def _named_row(seed: int, species: Species, row: Picture) -> Picture:
    for column in range(_CELLS_IN_ROW):
        rng = np.random.default_rng([seed, SPECIES.index(species), column])
        sprite = render_sprite(rng, species, _UM_PER_PX)
        sprite.paint(row, _CELL_PX * column + _CELL_PX // 2, _CELL_PX // 2)
    row = np.asarray(cv2.GaussianBlur(row, (0, 0), 0.7), np.uint8)
    name = species.replace("_", " ")
    cv2.putText(row, name, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (70, 60, 80), 1, cv2.LINE_AA)
    return row


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
