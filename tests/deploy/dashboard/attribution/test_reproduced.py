"""How close the verdict on a published picture comes to the one that the device told.

The tolerance of the page, and the figures of docs/results.md (`make soak` at full length).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import select

from deploy.dashboard.attribution.computed import TOLERANCE
from deploy.dashboard.attribution.occlusion import Cover, effects, own_colour
from deploy.dashboard.attribution.published import seen
from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import crops
from deploy.dashboard.queries.pictured import Pictured, pictured
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.envelope import utc_now
from edge_daemon.engines.options import EngineOptions
from edge_daemon.inference import Models
from edge_daemon.smear.composite import WRIGHT_GIEMSA, cut_out, paste
from edge_daemon.sources.base import Frame
from edge_daemon.sources.simulated import open_simulated
from edge_daemon.vision.crops import crop_cells
from tests.deploy.dashboard.judged import FLOAT32, SHIPPED, enter_slide
from tests.edge_daemon.scenes import LENIENT
from tests.soak import SOAKING, repeated

INT8 = EngineOptions(engine="onnxruntime", precision="int8")
_UM_PER_PX = 0.067
_PLACES = ((160, 130), (480, 130), (160, 350), (480, 350))
_EVERY = 37
"""Cells of C-NMC are taken with such steps, so that they come of many patients."""


def rendered(count: int) -> Iterator[Frame]:
    """Fields of the simulated microscope with blasts among the white cells."""
    with open_simulated(
        f"sim://?seed=11&blasts=0.3&white=2.5&fields={count}&overlap=0.3"
    ) as source:
        yield from (one for one in source if isinstance(one, Frame))


def composed(data: Path, count: int) -> Iterator[Frame]:
    """Real fields with four real cells each, pasted into them; half of the cells are blasts."""
    fields = sorted((data / "bccd" / "val").rglob("*.jpg"))
    kinds = [sorted((data / "cnmc2019" / kind).glob("*.webp"))[::_EVERY] for kind in ("all", "hem")]
    for index, file in enumerate(islice(fields, count)):
        field = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        for n, place in enumerate(_PLACES):
            of_kind = kinds[n % 2]
            cell = cv2.imread(str(of_kind[(2 * index + n // 2) % len(of_kind)]))
            cut = cut_out(np.asarray(cv2.cvtColor(cell, cv2.COLOR_BGR2RGB), np.uint8))
            paste(field, cut, place, _UM_PER_PX, stain=WRIGHT_GIEMSA)
        yield Frame(index, file.name, utc_now(), np.asarray(field, np.uint8), field=index)


def published(frames: Iterator[Frame], folder: Path, options: EngineOptions) -> list[Pictured]:
    """The pictures that came of judging ``frames``."""
    with Database(folder / "judged.db") as database:
        migrate(database)
        enter_slide(database, frames, SHIPPED, folder, quality=LENIENT, options=options)
        with database.reading() as connection:
            cells = connection.execute(select(crops.c.slide_id, crops.c.unique_id)).all()
            found = [pictured(connection, *cell) for cell in cells]
    return [one for one in found if one is not None]


@pytest.mark.soak
@pytest.mark.parametrize(
    "options", [FLOAT32, *([INT8] if SOAKING else [])], ids=["fp32", "int8"][: 1 + SOAKING]
)
@pytest.mark.parametrize("cells", ["rendered", "real"])
def test_the_verdict_on_a_published_picture_is_the_devices(
    cells: str, options: EngineOptions, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """``options``: of the device; here it is asked in float32."""
    if cells == "rendered":
        frames = rendered(repeated(6, full=120))
    else:
        frames = composed(request.getfixturevalue("leuko_data"), repeated(4, full=80))
    told = published(frames, tmp_path, options)
    assert all(one.place is not None for one in told)

    with Models.open(load_bundle(SHIPPED), FLOAT32, ("classifier",)) as models:
        what = [seen(one, models.classifier_role) for one in told]
        here = models.classify(np.stack([one.crop for one in what])).p_blast
    off = np.abs(here - [one.p_blast for one in told])

    shown = [one.share_shown for one in what]
    unsure = np.array([0.1 < one.p_blast < 0.95 for one in told])
    print(
        f"\n{cells}, device in {options.precision}: {spread(off)}; of those between 10 and 95 %: "
        f"{spread(off[unsure])}; {(off <= TOLERANCE).mean():.1%} within {TOLERANCE}; shown of the "
        f"classifier's square: median {np.median(shown):.2f}, p5 {np.percentile(shown, 5):.2f}"
    )
    assert len(off) >= 5
    assert np.median(off) <= TOLERANCE / 2
    assert (off <= TOLERANCE).mean() >= 0.8


def spread(off: np.ndarray) -> str:
    """In figures."""
    median, p95, p99 = np.percentile(off, [50, 95, 99])
    return (
        f"{len(off)} pictures, off by median {median:.3f}, p95 {p95:.3f}, p99 {p99:.3f}, "
        f"largest {off.max():.3f}"
    )


def black(_part: np.ndarray) -> np.ndarray:
    return np.zeros(3)


@pytest.mark.soak
def test_its_own_colour_covers_a_cell_more_honestly_than_black(leuko_data: Path) -> None:
    """The graph blackens what is not the cell: an effect there is the cover's own."""
    covers: dict[str, Cover] = {"own colour": own_colour, "black": black}
    outside: dict[str, list[float]] = {name: [] for name in covers}
    unfamiliar: dict[str, list[float]] = {name: [] for name in covers}
    fields = sorted((leuko_data / "bccd" / "val").rglob("*.jpg"))
    cells = sorted((leuko_data / "cnmc2019" / "all").glob("*.webp"))[:: 8 * _EVERY]
    with Models.open(load_bundle(SHIPPED), FLOAT32, ("classifier",)) as models:
        role = models.classifier_role
        for file, cell in zip(fields[:: _EVERY // 10], cells[: repeated(2, full=8)], strict=False):
            field = np.asarray(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB), np.uint8)
            rgb = cv2.cvtColor(cv2.imread(str(cell)), cv2.COLOR_BGR2RGB)
            there = np.zeros(field.shape[:2], np.float32)
            box = paste(
                field, cut_out(np.asarray(rgb, np.uint8)), (320, 240), _UM_PER_PX,
                stain=WRIGHT_GIEMSA, coverage=there,
            )  # fmt: skip
            inside = np.repeat((255 * there).astype(np.uint8)[..., None], 3, axis=2)
            crop, mask = (
                crop_cells(of, box[None], _UM_PER_PX, role.crop_um, role.size)[0]
                for of in (field, inside)
            )
            near = cv2.dilate((mask[..., 0] > 64).astype(np.uint8), np.ones((21, 21))) > 0
            for name, cover in covers.items():

                def judge(asked: np.ndarray, into: list[float] = unfamiliar[name]) -> np.ndarray:
                    verdicts = models.classify(asked)
                    into.append(float(verdicts.unfamiliar[1:].mean()))
                    return verdicts.p_blast

                change = np.abs(effects(judge, crop, cover=cover).change)
                outside[name].append(float(change[~near].sum() / change.sum()))
    for name in covers:
        print(
            f"\n{name}: {np.mean(outside[name]):.0%} of the effect lies outside the cell, "
            f"{np.mean(unfamiliar[name]):.1%} of the covered crops are unfamiliar"
        )
    assert np.mean(outside["own colour"]) < np.mean(outside["black"])
    assert np.mean(unfamiliar["own colour"]) <= np.mean(unfamiliar["black"])
