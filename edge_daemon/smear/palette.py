"""Wright-Giemsa in numbers: how strongly each part of a cell absorbs red, green and blue.

Colours are optical densities (natural logarithm, one per channel) so that parts lying over one
another add up (Beer-Lambert). Smears differ: staining time, pH and camera move the colours, hence
:func:`draw_palette` varies one set of colours around what Wright-Giemsa smears look like.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Density: TypeAlias = npt.NDArray[np.float32]
"""Optical density of red, green and blue, float32 ``[3]``."""


def density(red: float, green: float, blue: float) -> Density:
    """Optical density of a colour seen on white, from 8-bit values."""
    seen = np.clip(np.array([red, green, blue]), 1, 255) / 255
    return np.asarray(-np.log(seen), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of one smear. ``plasma`` is what is seen between the cells."""

    plasma: Density
    red_cell: Density
    chromatin: Density
    """A mature lymphocyte's nucleus."""
    blue_cytoplasm: Density
    """Basophilic cytoplasm: RNA takes up azure."""
    pink_cytoplasm: Density
    grey_cytoplasm: Density
    """The ground-glass cytoplasm of a monocyte."""
    azure_granule: Density
    eosin_granule: Density
    platelet: Density


WRIGHT_GIEMSA_DYES = Palette(
    plasma=density(232, 227, 224),
    red_cell=density(216, 176, 175),
    chromatin=density(96, 56, 142),
    blue_cytoplasm=density(170, 184, 224),
    pink_cytoplasm=density(236, 212, 222),
    grey_cytoplasm=density(190, 190, 214),
    azure_granule=density(160, 105, 180),
    eosin_granule=density(234, 150, 122),
    platelet=density(178, 148, 204),
)


def draw_palette(rng: np.random.Generator, spread: float = 1.0) -> Palette:
    """A palette near :data:`WRIGHT_GIEMSA_DYES`: strength and hue of every part vary by ``spread``.

    ``spread`` 0 gives the reference itself, 1 the differences seen between laboratories.
    """
    strength = np.exp(rng.normal(0, 0.12 * spread))
    # cameras and lamps differ from warm to cool; a green or magenta cast would be corrected
    warmth = rng.normal(0, 0.10 * spread) * np.array([-1.0, 0.0, 1.0])
    changed = {}
    for part in fields(Palette):
        reference: Density = getattr(WRIGHT_GIEMSA_DYES, part.name)
        own = np.exp(rng.normal(0, 0.05 * spread) + rng.normal(0, 0.025 * spread, 3) + warmth)
        factor = own if part.name == "plasma" else own * strength
        changed[part.name] = np.asarray(reference * factor, dtype=np.float32)
    return replace(WRIGHT_GIEMSA_DYES, **changed)
