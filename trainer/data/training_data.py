"""The folder of real data that a training reads, as one manifest."""

from __future__ import annotations

from pathlib import Path

from trainer.data.cnmc import read_manifest
from trainer.data.data_manifest import (
    DataManifest,
    FieldLayout,
    manifest_of_cells,
    manifest_of_fields,
)
from trainer.data.fields import read_field_sets

_LAYOUTS: dict[str, FieldLayout] = {"bccd": "voc", "txl-pbc": "yolo"}


def manifest_of_training_data(data: Path) -> DataManifest:
    """C-NMC, BCCD and TXL-PBC below ``data``, training and validation parts.

    Reads every frame's bytes; of the cells the digests that their own manifest holds. Raises
    :class:`DataError` for what is missing.
    """
    fields = [one for split in ("train", "val") for one in read_field_sets(data, split)]
    return DataManifest(
        sets=(
            manifest_of_cells("cnmc2019", read_manifest(data / "cnmc2019")),
            *(manifest_of_fields(one, _LAYOUTS[one.name.partition("/")[0]]) for one in fields),
        )
    )
