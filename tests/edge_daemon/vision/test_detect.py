"""A frame becomes the detector's input, and raw outputs become cells, none lost unseen."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.vision import detect
from edge_daemon.vision.boxes import touching
from edge_daemon.vision.detect import Detections, decode, letterbox, suppress

ROLE = DetectorRole(
    input_height=64,
    input_width=96,
    strides=(8, 16, 32),
    score_thresholds={"wbc": 0.5, "rbc": 0.5, "platelet": 0.5},
    nms_iou=0.5,
)
SURE = 6.0
WBC, RBC, PLATELET = range(3)


def empty_outputs(role: DetectorRole = ROLE) -> dict[str, np.ndarray]:
    outputs = {}
    for stride in role.strides:
        grid = (role.input_height // stride, role.input_width // stride)
        outputs[f"scores_{stride}"] = np.full((1, 3, *grid), -SURE, dtype=np.float32)
        outputs[f"boxes_{stride}"] = np.ones((1, 4, *grid), dtype=np.float32)
    return outputs


def put(
    outputs: dict[str, np.ndarray],
    stride: int,
    row: int,
    column: int,
    kind: int,
    logit: float = SURE,
    sides: tuple[float, float, float, float] = (1, 1, 1, 1),
) -> None:
    outputs[f"scores_{stride}"][0, kind, row, column] = logit
    outputs[f"boxes_{stride}"][0, :, row, column] = sides


def test_the_frame_lies_top_left_on_the_padding() -> None:
    image, scale = letterbox(np.full((64, 64, 3), 200, dtype=np.uint8), ROLE)
    assert image.shape == (1, 64, 96, 3)
    assert scale == 1.0
    assert (image[0, :, :64] == 200).all()
    assert (image[0, :, 64:] == ROLE.pad_value).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (480, 640), (575, 575), (20, 30)])
def test_frames_of_any_size_fill_one_side_of_the_input(size: tuple[int, int]) -> None:
    height, width = size
    image, scale = letterbox(np.zeros((height, width, 3), dtype=np.uint8), ROLE)
    assert scale == pytest.approx(min(64 / height, 96 / width))
    filled = (image[0] == 0).all(axis=2)
    assert filled[:, 0].all() or filled[0].all()


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), dtype=np.uint8),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.uint16),
        np.zeros((0, 4, 3), dtype=np.uint8),
    ],
)
def test_what_is_no_rgb_frame_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a frame is uint8"):
        letterbox(pixels, ROLE)


def test_a_box_is_read_around_the_centre_of_its_place() -> None:
    outputs = empty_outputs()
    put(outputs, 16, row=1, column=2, kind=RBC, sides=(0.5, 1, 1.5, 0.75))
    found = decode(outputs, ROLE, scale=1.0, frame_height=64, frame_width=96)
    # Centre (2.5, 1.5) strides of 16 px.
    np.testing.assert_allclose(found.boxes, [[32, 8, 64, 36]])
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-SURE)), rtol=1e-5)
    assert found.kinds.tolist() == [RBC]
    assert not found.saturated


def test_no_cell_gives_empty_arrays_of_the_right_shape() -> None:
    found = decode(empty_outputs(), ROLE, 1.0, 64, 96)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.kinds.dtype == np.int8
    assert not found.saturated


def test_every_kind_has_its_own_threshold() -> None:
    role = ROLE.model_copy(update={"score_thresholds": {"wbc": 0.2, "rbc": 0.9, "platelet": 0.5}})
    outputs = empty_outputs()
    for column, kind in enumerate((WBC, RBC, PLATELET)):
        put(outputs, 16, row=1, column=2 * column, kind=kind, logit=0.5, sides=(0.5,) * 4)
    found = decode(outputs, role, 1.0, 64, 96)  # the score is 0.62
    assert sorted(found.kinds.tolist()) == [WBC, PLATELET]


def test_a_threshold_of_one_reports_nothing_and_of_zero_everything() -> None:
    outputs = empty_outputs()
    nothing = ROLE.model_copy(update={"score_thresholds": dict.fromkeys(ROLE.kinds, 1.0)})
    everything = ROLE.model_copy(
        update={
            "score_thresholds": dict.fromkeys(ROLE.kinds, 0.0),
            "nms_iou": 1.0,
        }
    )
    assert len(decode(outputs, nothing, 1.0, 64, 96)) == 0
    # Empty boxes lie in one another whatever the share, so white cells are left out of the sum.
    found = decode(outputs, everything, 1.0, 64, 96).kinds
    assert (found != WBC).sum() == 2 * (8 * 12 + 4 * 6 + 2 * 3)


def test_kinds_do_not_suppress_each_other() -> None:
    outputs = empty_outputs()
    put(outputs, 32, 0, 0, WBC)
    put(outputs, 32, 0, 0, PLATELET)
    assert sorted(decode(outputs, ROLE, 1.0, 64, 96).kinds.tolist()) == [WBC, PLATELET]


def test_one_cell_seen_at_two_strides_is_reported_once_by_its_best_box() -> None:
    outputs = empty_outputs()
    put(outputs, 16, 1, 1, RBC, logit=2.0, sides=(1, 1, 1, 1))
    put(outputs, 8, 2, 2, RBC, logit=4.0, sides=(1.5, 1.5, 2.5, 2.5))  # the same box
    found = decode(outputs, ROLE, 1.0, 64, 96)
    assert len(found) == 1
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-4.0)), rel=1e-5)


def test_a_place_that_is_not_finite_is_no_cell() -> None:
    outputs = empty_outputs()
    put(outputs, 8, 0, 0, RBC, logit=float("nan"))
    put(outputs, 8, 0, 5, RBC, logit=float("inf"))
    assert len(decode(outputs, ROLE, 1.0, 64, 96)) == 0


def test_cells_in_the_padding_are_outside_of_the_frame() -> None:
    outputs = empty_outputs()
    put(outputs, 8, row=0, column=11, kind=RBC)
    assert len(decode(outputs, ROLE, scale=1.0, frame_height=64, frame_width=64)) == 0


DENSE = DetectorRole(
    input_height=320,
    input_width=416,
    score_thresholds={"wbc": 0.5, "rbc": 0.5, "platelet": 0.5},
)


def dense_outputs(cells: int) -> dict[str, np.ndarray]:
    """``cells`` red cells side by side on the finest grid, each better than the next."""
    outputs = empty_outputs(DENSE)
    scores = outputs["scores_8"][0, RBC].reshape(-1)
    scores[:cells] = np.linspace(8, 1, cells)
    outputs["boxes_8"][:] = 0.5
    return outputs


@pytest.mark.parametrize(("cells", "kept", "saturated"), [(1000, 1000, False), (1001, 1000, True)])
def test_a_frame_says_when_more_cells_were_found_than_kept(
    cells: int, kept: int, saturated: bool
) -> None:
    found = decode(dense_outputs(cells), DENSE, 1.0, 320, 416)
    assert len(found) == kept
    assert found.saturated is saturated
    assert found.scores.min() >= 1 / (1 + np.exp(-1.0)) - 1e-6


def test_the_weakest_are_cut() -> None:
    found = decode(dense_outputs(1500), DENSE, 1.0, 320, 416)
    everything = np.sort(1 / (1 + np.exp(-np.linspace(8, 1, 1500))))[::-1]
    np.testing.assert_allclose(found.scores, everything[:1000], rtol=1e-5)


@given(
    height=st.integers(8, 900),
    width=st.integers(8, 900),
    box=st.tuples(*[st.floats(0.05, 0.95)] * 2, *[st.floats(0.02, 0.5)] * 2),
)
def test_a_box_survives_the_way_into_the_letterbox_and_back(
    height: int, width: int, box: tuple[float, float, float, float]
) -> None:
    x, y, half_width, half_height = box
    truth = np.array(
        [
            max(x - half_width, 0) * width,
            max(y - half_height, 0) * height,
            min(x + half_width, 1) * width,
            min(y + half_height, 1) * height,
        ]
    )
    _, scale = letterbox(np.zeros((height, width, 3), dtype=np.uint8), ROLE)
    inside = truth * scale
    column, row = (int(min(v, n - 1)) for v, n in zip(inside[:2] // 8, (12, 8), strict=True))
    centre = (np.array([column, row]) + 0.5) * 8
    outputs = empty_outputs()
    put(
        outputs, 8, row, column, WBC, sides=(*(centre - inside[:2]) / 8, *(inside[2:] - centre) / 8)
    )
    found = decode(outputs, ROLE, scale, height, width)
    if (truth[2:] - truth[:2] >= 1.01).all():
        np.testing.assert_allclose(found.boxes[0], truth, atol=0.01)


RAW = arrays.arrays(np.float32, (1, 7, 8, 12), elements=st.floats(-8, 8, width=32))


@settings(max_examples=60)
@given(raw=RAW, scale=st.floats(0.05, 8), height=st.integers(1, 2000), width=st.integers(1, 2000))
def test_whatever_the_network_says_boxes_lie_in_the_frame_best_first(
    raw: np.ndarray, scale: float, height: int, width: int
) -> None:
    role = ROLE.model_copy(update={"strides": (8,)})
    outputs = {"scores_8": raw[:, :3], "boxes_8": np.abs(raw[:, 3:])}
    found = decode(outputs, role, scale, height, width)
    x0, y0, x1, y1 = found.boxes.T
    assert ((x0 >= 0) & (y0 >= 0) & (x1 <= width) & (y1 <= height)).all()
    assert ((x1 - x0 >= 1) & (y1 - y0 >= 1)).all()
    assert (np.diff(found.scores) <= 0).all()
    assert (found.scores >= 0.5).all()
    assert len(found) <= role.max_detections


@st.composite
def crowds(draw: st.DrawFn) -> Detections:
    count = draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (count, 2))], axis=1)
    return Detections(
        boxes.astype(np.float32),
        rng.uniform(0, 1, count).astype(np.float32),
        rng.integers(0, 3, count).astype(np.int8),
        saturated=False,
    )


def iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


@given(crowd=crowds(), limit=st.floats(0.1, 0.9))
def test_suppression_keeps_the_best_and_nothing_that_a_kept_one_covers(
    crowd: Detections, limit: float
) -> None:
    kept: list[int] = []
    for index in np.argsort(-crowd.scores, kind="stable"):
        rivals = [k for k in kept if crowd.kinds[k] == crowd.kinds[index]]
        if all(iou(crowd.boxes[index], crowd.boxes[rival]) <= limit for rival in rivals):
            kept.append(int(index))
    assert suppress(crowd.boxes, crowd.scores, crowd.kinds, limit).tolist() == kept


@given(crowd=crowds(), limit=st.floats(0.1, 0.9))
def test_suppressing_twice_changes_nothing(crowd: Detections, limit: float) -> None:
    first = suppress(crowd.boxes, crowd.scores, crowd.kinds, limit)
    again = suppress(crowd.boxes[first], crowd.scores[first], crowd.kinds[first], limit)
    assert again.tolist() == list(range(len(first)))


def test_a_nucleus_beside_its_own_cell_is_no_second_cell() -> None:
    """Nested white boxes are one cell; nested red boxes, and white cells that touch, are two."""
    scores = np.full((1, 3, 8, 8), -20.0, np.float32)
    boxes = np.zeros((1, 4, 8, 8), np.float32)

    def put(kind: int, row: int, column: int, half: float, logit: float) -> None:
        scores[0, kind, row, column] = logit
        boxes[0, :, row, column] = half

    put(0, 4, 2, 2.0, 3.0)  # a cell, 32 px wide
    put(0, 4, 3, 0.9, 2.0)  # inside it, 14 px
    put(0, 4, 6, 2.0, 1.0)  # its neighbour, touching
    put(1, 1, 5, 1.5, 3.0)
    put(1, 1, 6, 0.45, 2.0)  # a red cell within a red cell's box
    role = DetectorRole(
        input_height=64,
        input_width=64,
        strides=(8,),
        score_thresholds={"wbc": 0.5, "rbc": 0.5, "platelet": 0.5},
    )
    found = decode({"scores_8": scores, "boxes_8": boxes}, role, 1.0, 64, 64)
    assert sorted(found.kinds.tolist()) == [0, 0, 1, 1]
    white = found.boxes[found.kinds == 0]
    assert ((white[:, 2] - white[:, 0]) > 20).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_crowd_is_suppressed_as_few_are(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours only, or OpenCV's each with each: the same boxes stay, in the same order."""
    rng = np.random.default_rng(seed)
    corner, sides = rng.uniform(0, 300, (400, 2)), rng.uniform(5, 50, (400, 2))
    boxes = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    scores = np.round(rng.uniform(0, 1, 400), 2).astype(np.float32)  # with many that are equal
    kinds = rng.integers(0, 3, 400).astype(np.int8)
    crowd = detect.suppress(boxes, scores, kinds, 0.4)
    monkeypatch.setattr(detect, "_CROWD", 1_000)
    assert np.array_equal(crowd, detect.suppress(boxes, scores, kinds, 0.4))
    assert 20 < len(crowd) < 380


def test_all_guesses_of_a_detector_are_suppressed_in_time() -> None:
    """At a threshold near nothing there are thousands, some as large as the frame."""
    rng = np.random.default_rng(0)
    corner, sides = rng.uniform(0, 600, (6_000, 2)), rng.uniform(5, 60, (6_000, 2))
    sides[:200] *= 8
    boxes = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    scores = rng.uniform(0, 1, len(boxes)).astype(np.float32)
    started = time.thread_time()
    detect.suppress(boxes, scores, np.zeros(len(boxes), np.int8), 0.5)
    assert time.thread_time() - started < 2  # 0.2 s; all pairs took seven


def test_boxes_that_touch_are_found_among_all_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b = (
        np.concatenate([c, c + rng.uniform(0, 60, c.shape)], axis=1)
        for c in rng.uniform(-200, 200, (2, 80, 2))
    )
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    wanted = np.nonzero((low < high).all(axis=-1))
    assert len(wanted[0]) > 50
    assert all(np.array_equal(x, y) for x, y in zip(touching(a, b), wanted, strict=True))
