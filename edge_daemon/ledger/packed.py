"""Cells and views as bytes: what a slide map needs to be made again, and little more.

Frame by frame these take a few kilobytes (2 kB for 200 cells), and a view of a place about 20 kB.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.terms import KINDS, LABELS, CellLabel
from edge_daemon.contract.worst import WorstCell, WorstField
from edge_daemon.vision.cell_table import no_rows
from edge_daemon.vision.island import Island, Sighting
from edge_daemon.vision.placement import MapState, PlacedView
from edge_daemon.vision.register import View
from edge_daemon.vision.worst import Worst

_SIGHTING = np.dtype(
    [("box", "<f4", 4), ("score", "<f4"), ("p_blast", "<f8"), ("kind", "u1"), ("label", "i1")]
)
_CELL = np.dtype(
    [
        ("id", "<i8"),
        ("island", "<i4"),
        ("box", "<f8", 4),
        ("seen_in", "<f8", 4),
        ("whole", "?"),
        ("rank", "<f8"),
        ("centre_seen", "?"),
        ("p_blast", "<f8"),
        ("kind", "u1"),
        ("label", "i1"),
        ("frame", "<i8"),
    ]
)
"""An older state lacks the last: nothing says which frames showed its cells."""
_AS_IN_MEMORY = [name for name in _CELL.names or () if name != "island"]
"""Columns that :mod:`edge_daemon.vision.cell_table` has under the same names."""
_PLACED = np.dtype([("number", "<i8"), ("island", "<i4"), ("at", "<f8", 2), ("stage", "<f8", 2)])
_FAST = 1


def pack_sightings(sightings: Sequence[Sighting]) -> bytes:
    """The cells of one frame."""
    table = np.zeros(len(sightings), _SIGHTING)
    for row, one in zip(table, sightings, strict=True):
        row["box"], row["score"] = one.box, one.score
        row["p_blast"] = np.nan if one.p_blast is None else one.p_blast
        row["kind"], row["label"] = KINDS.index(one.kind), _label_number(one.label)
    return zlib.compress(table.tobytes(), _FAST)


def unpack_sightings(packed: bytes) -> list[Sighting]:
    """The same, back."""
    table = np.frombuffer(zlib.decompress(packed), _SIGHTING)
    return [
        Sighting(
            box=tuple(row["box"].tolist()),
            kind=KINDS[row["kind"]],
            score=float(row["score"]),
            label=None if row["label"] < 0 else LABELS[row["label"]],
            p_blast=None if np.isnan(row["p_blast"]) else float(row["p_blast"]),
        )
        for row in table
    ]


def pack_view(view: View) -> bytes:
    """A view of a place; its small picture to whole grey levels, which correlate as well."""
    grey = np.clip(np.round(view.thumb), -128, 127).astype(np.int8)
    return _zipped(
        size=np.array([view.width, view.height]),
        scale=np.array(view.px_per_thumb),
        grey=grey,
        boxes=view.boxes.astype(np.float32),
    )


def unpack_view(packed: bytes) -> View:
    """The same, back."""
    found = _unzipped(packed)
    width, height = found["size"].tolist()
    return View(
        width, height, found["grey"].astype(np.float32), float(found["scale"]), found["boxes"]
    )


def pack_state(state: MapState) -> bytes:
    """A whole slide map but for its views, of which it holds numbers and places."""
    rows = np.concatenate([no_rows(0), *(island.rows for _, island in state.islands)])
    table = np.zeros(len(rows), _CELL)
    for column in _AS_IN_MEMORY:
        table[column] = rows[column]
    numbers = [number for number, _ in state.islands]
    table["island"] = np.repeat(numbers, [len(island.rows) for _, island in state.islands])
    known = ~np.isnan(rows["stage"][:, 0])
    stages = np.column_stack([rows["frame"][known], rows["stage"][known]]).reshape(-1, 4)
    tiles = [
        np.column_stack([np.full(len(island.tiles), number), island.tiles])
        for number, island in state.islands
    ]
    placed = np.zeros(len(state.views), _PLACED)
    for row, view in zip(placed, state.views, strict=True):
        row["number"], row["island"], row["at"] = view.number, view.island, (view.x, view.y)
        row["stage"] = view.stage_px or (np.nan, np.nan)
    closed = [
        (KINDS.index(kind), _label_number(label), count)
        for kind, label, count in state.closed_cells
    ]
    return _zipped(
        cells=table,
        tiles=np.concatenate([np.empty((0, 3), np.int64), *tiles]).astype(np.int32),
        islands=np.array(numbers, np.int64),
        placed=placed,
        stages=np.unique(stages, axis=0),
        closed=np.array(closed, np.int64).reshape(-1, 3),
        counts=np.array(
            [state.coming_frame, state.coming_cell, state.lost, state.revisits], np.int64
        ),
        field=np.array(-1 if state.field is None else state.field),
        closed_area=np.array(state.closed_area_px),
        closed_worst=np.frombuffer(_worst_to_json(state.closed_worst), np.uint8),
    )


def unpack_state(packed: bytes, views: dict[int, View]) -> MapState:
    """The same, back; ``views`` by number."""
    found = _unzipped(packed)
    table = found["cells"]
    rows = no_rows(len(table))
    for column in set(_AS_IN_MEMORY).intersection(table.dtype.names or ()):
        rows[column] = table[column]
    for number, *stage in found.get("stages", np.empty((0, 4))).tolist():
        rows["stage"][rows["frame"] == number] = stage
    tiles = found["tiles"]
    coming_frame, coming_cell, lost, revisits = found["counts"].tolist()
    field = int(found["field"])
    return MapState(
        field=None if field < 0 else field,
        views=tuple(
            PlacedView(
                view=views[int(row["number"])],
                island=int(row["island"]),
                x=float(row["at"][0]),
                y=float(row["at"][1]),
                stage_px=None if np.isnan(row["stage"][0]) else tuple(row["stage"].tolist()),
                number=int(row["number"]),
            )
            for row in found["placed"]
        ),
        islands=tuple(
            (
                number,
                Island.of(rows[table["island"] == number], tiles[tiles[:, 0] == number, 1:]),
            )
            for number in found["islands"].tolist()
        ),
        coming_frame=coming_frame,
        coming_cell=coming_cell,
        closed_cells=tuple(
            (KINDS[kind], None if label < 0 else LABELS[label], count)
            for kind, label, count in found["closed"].tolist()
        ),
        closed_area_px=float(found["closed_area"]),
        closed_worst=_worst_from_json(found.get("closed_worst")),
        lost=lost,
        revisits=revisits,
    )


def _worst_to_json(worst: Worst) -> bytes:
    cells, fields = ([one.model_dump() for one in listed] for listed in (worst.cells, worst.fields))
    return json.dumps({"cells": cells, "fields": fields}).encode()


def _worst_from_json(content: npt.NDArray[np.uint8] | None) -> Worst:
    if content is None:
        return Worst()
    found = json.loads(content.tobytes())
    return Worst(
        tuple(WorstCell.model_validate(one) for one in found["cells"]),
        tuple(WorstField.model_validate(one) for one in found["fields"]),
    )


def _label_number(label: CellLabel | None) -> int:
    return -1 if label is None else LABELS.index(label)


def _zipped(**arrays: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return zlib.compress(file.getvalue(), _FAST)


def _unzipped(packed: bytes) -> dict[str, npt.NDArray[Any]]:
    with np.load(io.BytesIO(zlib.decompress(packed)), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
