"""The classifier's crop, cut out of a published picture once more."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from deploy.dashboard.attribution.errors import AttributionError
from deploy.dashboard.attribution.published import seen
from deploy.dashboard.queries.pictured import InFrame, Pictured
from edge_daemon.contract.roles import ClassifierRole
from edge_daemon.look import NUCLEATED_CELL_UM
from edge_daemon.vision.crops import crop_cells
from edge_daemon.vision.pictures import picture_of

ROLE = ClassifierRole(size=64, crop_um=16.0, abstain_band=(0.3, 0.7), single_cell_um_per_px=0.1)
UM_PER_PX = 0.1
WIDTH, HEIGHT = 400, 300
MANY_BYTES = 64_000


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    """Soft blots, as JPEG keeps them."""
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT // 20, WIDTH // 20, 3), np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def told(frame: np.ndarray, box: tuple[float, float, float, float], most: int = MANY_BYTES):
    return Pictured(
        boot=1,
        seq=7,
        jpeg=picture_of(box, frame, most),
        frame=3,
        label="blast",
        p_blast=0.9,
        um_per_px=UM_PER_PX,
        bundle="sha256:" + "0" * 64,
        bundle_name="tiny-0.1.0",
        place=InFrame(box, WIDTH, HEIGHT, (box,)),
    )


def as_the_device_cut_it(frame: np.ndarray, box, um_per_px: float = UM_PER_PX) -> np.ndarray:
    x, y, w, h = box
    return crop_cells(frame, np.array([[x, y, x + w, y + h]]), um_per_px, ROLE.crop_um, ROLE.size)[
        0
    ]


BOXES = [
    (150.0, 120.0, 110.0, 100.0),
    (151.3, 99.7, 95.4, 120.2),
    (0.0, 10.0, 100.0, 110.0),
    (310.0, 200.0, 90.0, 100.0),
]


@pytest.mark.parametrize("box", BOXES)
def test_within_the_picture_it_is_the_devices_own_crop_but_for_what_jpeg_takes(frame, box) -> None:
    found = seen(told(frame, box), ROLE)

    x0, y0, x1, y1 = found.shown
    inside = np.s_[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1]
    off = np.abs(found.crop.astype(int) - as_the_device_cut_it(frame, box))[inside]
    assert np.median(off) <= 2
    assert np.percentile(off, 99) <= 12
    assert found.placed


def test_a_picture_that_was_made_smaller_is_cut_at_the_same_place(frame) -> None:
    box = BOXES[0]
    small = told(frame, box, most=3000)

    found = seen(small, ROLE)

    assert found.picture.shape[1] < 180, "it was made smaller"
    x0, y0, x1, y1 = found.shown
    inside = np.s_[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
    off = np.abs(found.crop.astype(int) - as_the_device_cut_it(frame, box))[inside]
    assert np.median(off) <= 8


def test_where_the_crop_leaves_the_picture_only_the_picture_counts_as_shown(frame) -> None:
    little = seen(told(frame, (180.0, 130.0, 40.0, 40.0)), ROLE)

    x0, y0, x1, y1 = little.shown
    assert (x0 > 0, y0 > 0, x1 < ROLE.size, y1 < ROLE.size) == (True,) * 4
    assert 0.1 < little.share_shown < 0.4
    assert seen(told(frame, BOXES[0]), ROLE).share_shown == 1.0


def test_without_its_frame_the_cell_is_taken_to_lie_in_the_middle(frame) -> None:
    box = (150.0, 120.0, 100.0, 100.0)
    known = told(frame, box)

    guessed = seen(replace(known, place=None), ROLE)

    off = np.abs(guessed.crop.astype(int) - seen(known, ROLE).crop)
    assert np.median(off) <= 16
    assert not guessed.placed


def test_without_a_scale_the_one_is_taken_that_the_device_assumed(frame) -> None:
    box = BOXES[0]
    other = (10.0, 10.0, 60.0, 60.0)
    one = told(frame, box)
    place = replace(one.place, nucleated=(box, other))
    median = float(np.median([np.sqrt(box[2] * box[3]), 60.0]))

    found = seen(replace(one, um_per_px=None, place=place), ROLE)

    assert found.side == round(ROLE.crop_um / (NUCLEATED_CELL_UM / median))


@pytest.mark.parametrize(
    ("jpeg", "why"),
    [
        (b"\xff\xd8\xff\xd9", "cannot be read"),
        (b"no picture at all", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_a_damaged_picture_is_told_in_a_line(frame, jpeg: bytes, why: str) -> None:
    with pytest.raises(AttributionError, match=why):
        seen(replace(told(frame, BOXES[0]), jpeg=jpeg), ROLE)


def test_a_picture_cut_short_is_told_in_a_line(frame) -> None:
    whole = told(frame, BOXES[0])
    with pytest.raises(AttributionError, match="came damaged"):
        seen(replace(whole, jpeg=whole.jpeg[: len(whole.jpeg) // 2]), ROLE)


def test_a_picture_of_more_pixels_than_any_cell_is_not_decoded(frame) -> None:
    huge = bytearray(told(frame, BOXES[0]).jpeg)
    sof = huge.index(b"\xff\xc0")
    huge[sof + 5 : sof + 9] = b"\xff\xff\xff\xff"  # 65,535 x 65,535
    with pytest.raises(AttributionError, match="cannot be read"):
        seen(replace(told(frame, BOXES[0]), jpeg=bytes(huge)), ROLE)


def test_a_picture_that_another_program_cut_is_refused(frame) -> None:
    one = told(frame, BOXES[0])
    for box in ((150.0, 120.0, 20.0, 100.0), (150.0, 120.0, 30.0, 30.0)):
        with pytest.raises(AttributionError, match="another program cut it"):
            seen(replace(one, place=replace(one.place, box=box)), ROLE)


@pytest.mark.parametrize("um_per_px", [1e-6, 1e3])
def test_a_scale_that_cannot_be_is_refused(frame, um_per_px: float) -> None:
    with pytest.raises(AttributionError, match="the scale that the device told is wrong"):
        seen(replace(told(frame, BOXES[0]), um_per_px=um_per_px), ROLE)
