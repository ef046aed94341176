"""Two bundles compared cell by cell: each cell once, in one picture where there is one."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.contract.findings import CellResult, Opinion
from edge_daemon.contract.shadow import MOST_DISAGREEMENTS, Candidate, ShadowFrames
from edge_daemon.contract.terms import CellLabel
from edge_daemon.shadow.cells import Shown
from edge_daemon.shadow.comparison import MOST_PICTURE_BYTES, Compared, Comparison
from edge_daemon.shadow.report import ShadowStanding, body_of
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.placement import Joined, Placement
from edge_daemon.vision.slide import SlideThresholds
from edge_daemon.vision.slide_map import SlideMap

WIDTH, HEIGHT = 400, 300
SIDE = 40.0
P = {"blast": 0.9, "normal": 0.1, "uncertain": 0.5}
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def cell(
    x: float, y: float = 100.0, label: CellLabel = "normal", score: float = 0.9, p: float = -1.0
) -> Sighting:
    """A nucleated cell of 40 pixels whose upper left corner is there, as a frame shows it."""
    box = (max(x, 0.0), y, min(x + SIDE, WIDTH), y + SIDE)
    return Sighting(box, "wbc", score, label, P[label] if p < 0 else p)


def shown(
    frame: int,
    *sightings: Sighting,
    at: tuple[float, float] = (0.0, 0.0),
    island: int = 0,
    field: int = 0,
    joined: Joined | None = None,
    before: tuple[Joined, ...] = (),
) -> Shown:
    """What the active bundle found in a frame that lies ``at`` that place on the slide."""
    x, y = at
    place = np.array([x, y, x + WIDTH, y + HEIGHT])
    cells = [
        CellResult(
            id=index,
            box=(one.box[0], one.box[1], one.box[2] - one.box[0], one.box[3] - one.box[1]),
            kind=one.kind,
            score=one.score,
            p_blast=one.p_blast,
            label=one.label,
            unique_id=10 + index if one.kind == "wbc" else None,
        )
        for index, one in enumerate(sightings)
    ]
    placement = Placement(frame, field, island, place, "image", joined=joined)
    return Shown(frame, cells, sightings, False, placement, NOISE, before)


def compared(*frames: tuple[Shown, list[Sighting]]) -> Compared:
    comparison = Comparison()
    for one, candidate in frames:
        comparison.enter(one, candidate, saturated=False)
    return comparison.latest


def test_a_cell_is_the_same_where_the_boxes_overlap_and_each_is_one_of_the_other():
    active = [cell(50), cell(150, label="blast")]
    candidate = [cell(54, label="uncertain"), cell(148, label="blast"), cell(300)]
    found = compared((shown(0, *active), candidate))
    assert found.labels == Counter(
        {("normal", "uncertain"): 1, ("blast", "blast"): 1, (None, "normal"): 1}
    )
    assert found.disagreements == 2


def test_of_two_that_overlap_a_cell_the_better_one_is_it():
    found = compared((shown(0, cell(100)), [cell(110, label="blast"), cell(101)]))
    assert found.labels == Counter({("normal", "normal"): 1, (None, "blast"): 1})


def test_red_cells_and_platelets_are_not_compared():
    red = Sighting((10, 10, 40, 40), "rbc", 0.9)
    assert compared((shown(0, red), [red])).labels == Counter()


def test_a_cell_that_five_frames_show_is_one_disagreement():
    frames = [
        (shown(n, cell(200 - 20 * n), at=(20 * n, 0)), [cell(200 - 20 * n, label="blast")])
        for n in range(5)
    ]
    found = compared(*frames)
    assert found.frames == 5
    assert found.labels == Counter({("normal", "blast"): 1})
    assert len(found.worst) == 1


def test_both_are_judged_in_the_view_that_shows_the_cell_best_to_the_active_bundle():
    found = compared(
        (shown(0, cell(200, score=0.8)), [cell(200, score=0.99, label="blast")]),
        (shown(1, cell(150, score=0.9), at=(50, 0)), [cell(150, score=0.5, label="uncertain")]),
    )
    assert found.labels == Counter({("normal", "uncertain"): 1})
    (worst,) = found.worst
    assert (worst.frame, worst.unique_id) == (1, 10)


def test_what_the_candidate_did_not_find_there_it_may_have_found_elsewhere():
    found = compared(
        (shown(0, cell(200, score=0.8)), [cell(200, label="blast")]),
        (shown(1, cell(150, score=0.9), at=(50, 0)), []),
    )
    assert found.labels == Counter({("normal", "blast"): 1})
    (worst,) = found.worst
    assert worst.frame == 1


def test_a_cell_that_each_found_in_another_frame_was_found_by_both():
    found = compared(
        (shown(0, cell(200)), []),
        (shown(1, at=(50, 0)), [cell(150)]),
    )
    assert found.labels == Counter({("normal", "normal"): 1})
    assert found.worst == ()


def test_half_a_cell_gives_way_to_the_whole_of_it():
    cut = WIDTH - SIDE / 2
    found = compared(
        (shown(0, cell(cut, label="uncertain")), [cell(cut, label="uncertain")]),
        (shown(1, cell(200), at=(cut - 200, 0)), [cell(200)]),
    )
    assert found.labels == Counter({("normal", "normal"): 1})


def test_a_sliver_that_does_not_show_the_centre_does_not_count():
    assert compared((shown(0, cell(WIDTH - 10)), [cell(WIDTH - 10)])).labels == Counter()


def test_pieces_that_turn_out_to_be_one_share_their_cells():
    joined = Joined(source=1, target=0, dx=300.0, dy=0.0)
    found = compared(
        (shown(0, cell(320)), [cell(320)]),
        (shown(1, cell(20, label="blast"), island=1), [cell(20, label="blast")]),
        (shown(2, cell(120), at=(200, 0), joined=joined), [cell(120)]),
    )
    assert sum(found.labels.values()) == 1


def test_a_frame_that_was_skipped_still_joins_its_pieces():
    joined = Joined(source=1, target=0, dx=300.0, dy=0.0)
    found = compared(
        (shown(0, cell(320)), [cell(320)]),
        (shown(1, cell(20), island=1), [cell(20)]),
        (shown(3, cell(120), at=(200, 0), before=(joined,)), [cell(120)]),
    )
    assert found.labels == Counter({("normal", "normal"): 1})


def test_fields_share_no_cell_and_keep_their_counts():
    found = compared(
        (shown(0, cell(100)), [cell(100, label="blast")]),
        (shown(1, cell(100), field=1), [cell(100, label="blast")]),
    )
    assert found.labels == Counter({("normal", "blast"): 2})
    assert [one.frame for one in found.worst] == [0, 1]


def test_a_better_view_takes_a_disagreement_back():
    found = compared(
        (shown(0, cell(200, score=0.8)), [cell(200, label="blast")]),
        (shown(1, cell(150, score=0.9), at=(50, 0)), [cell(150)]),
    )
    assert found.worst == ()
    assert (found.shift_micro, found.shift_absolute_micro) == (0, 0)


class TestWorst:
    def test_a_blast_that_falls_silent_comes_first_and_a_normal_cell_last(self):
        found = compared(
            (
                shown(
                    0,
                    cell(20, 20, "normal"),
                    cell(120, 20, "normal"),
                    cell(220, 20, "blast"),
                    cell(320, 20, "blast"),
                    cell(20, 120, "normal"),
                ),
                [
                    cell(120, 20, "uncertain"),
                    cell(220, 20, "normal", p=0.01),
                    cell(20, 120, "blast"),
                ],
            )
        )
        said = [
            (one.active and one.active.label, one.candidate and one.candidate.label)
            for one in found.worst
        ]
        assert said == [
            ("blast", None),
            ("blast", "normal"),
            ("normal", "blast"),
            ("normal", "uncertain"),
            ("normal", None),
        ]

    def test_the_list_is_bounded_and_the_count_is_not(self):
        places = [(10 + 45 * (n % 8), 10 + 45 * (n // 8)) for n in range(48)]
        found = compared((shown(0, *(cell(x, y, "blast") for x, y in places)), []))
        assert found.disagreements == 48
        assert len(found.worst) == MOST_DISAGREEMENTS

    def test_one_that_had_no_room_moves_up(self):
        places = [(10 + 45 * (n % 8), 10 + 45 * (n // 8)) for n in range(24)]
        blasts = [cell(x, y, "blast", score=0.8) for x, y in places]
        better = [cell(x, y, "blast", score=0.9) for x, y in places[:10]]
        found = compared((shown(0, *blasts), []), (shown(1, *better), better))
        assert len(found.worst) == 14
        assert found.disagreements == 14

    def test_each_has_its_picture_cut_from_the_frame_that_it_names(self):
        found = compared((shown(0, cell(100, label="blast")), []))
        (worst,) = found.worst
        assert worst.jpeg is not None
        jpeg = base64.b64decode(worst.jpeg)
        assert len(jpeg) <= MOST_PICTURE_BYTES
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape[0] == picture.shape[1] > 20


class TestReport:
    def body(self, completion="finished", **changes):
        candidate = {"bundle": "tiny-0.2.0", "digest": "sha256:" + "1" * 64}
        found = compared(
            (
                shown(0, cell(50, label="blast"), cell(150), cell(250)),
                [cell(50, label="blast"), cell(150, label="uncertain"), cell(50, 200, "blast")],
            )
        )
        standing = ShadowStanding(
            Candidate(**candidate), ShadowFrames(analysed=3, compared=1, skipped=2), found
        )
        return body_of(standing, SlideThresholds(**changes), completion)

    def test_every_share_stands_beside_its_counts(self):
        body = self.body()
        assert body["table"].blast.blast == body["table"].normal.uncertain == 1
        assert body["only_active"].normal == body["only_candidate"].blast == 1
        agreement = body["agreement"]
        assert (agreement.agreed, agreement.cells, agreement.estimate) == (1, 2, 0.5)
        assert agreement.low == pytest.approx(0.0126, abs=1e-4)
        assert agreement.high == pytest.approx(0.9874, abs=1e-4)
        active, candidate = body["by_active"], body["by_candidate"]
        assert (active.blasts, active.uncertain, active.nucleated_cells) == (1, 0, 3)
        assert (candidate.blasts, candidate.uncertain, candidate.nucleated_cells) == (2, 1, 3)
        assert candidate.blast_fraction.estimate == pytest.approx(2 / 3)
        assert body["p_blast_shift"].mean == pytest.approx(0.2)
        assert body["disagreements"] == 3

    def test_what_the_counts_would_say_follows_the_thresholds_of_the_site(self):
        body = self.body(min_nucleated_cells=3, negative_below=0.0, positive_above=0.001)
        assert body["by_active"].disposition == body["by_candidate"].disposition == "positive"
        assert self.body()["by_candidate"].disposition == "insufficient"

    def test_an_aborted_slide_says_nothing(self):
        body = self.body("aborted", min_nucleated_cells=3, negative_below=0.0, positive_above=0.001)
        assert body["by_active"].disposition == body["by_candidate"].disposition == "insufficient"

    def test_pictures_come_with_the_last_report_only(self):
        assert all(one.jpeg for one in self.body()["worst"])
        assert not any(one.jpeg for one in self.body(None)["worst"])


LABELS = st.sampled_from(["blast", "normal", "uncertain"])
CELLS = st.lists(
    st.tuples(
        st.integers(-20, WIDTH - 10),
        st.integers(0, HEIGHT - 50),
        LABELS,
        st.floats(0.5, 1.0),
    ),
    max_size=8,
)
FRAMES = st.lists(st.tuples(st.integers(0, 300), CELLS, CELLS), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(frames=FRAMES)
def test_counts_that_were_kept_are_those_that_a_fresh_count_gives(frames):
    """Whatever frames show, the sums are those of the cells, and a report can be made of them."""
    comparison = Comparison()
    for number, (x, active, candidate) in enumerate(frames):
        one = shown(number, *(cell(*each) for each in active), at=(x, 0))
        comparison.enter(one, [cell(*each) for each in candidate], saturated=False)
    found = comparison.latest
    judged = [one.judged for one in comparison._cells.values()]
    fresh = Counter(one.labels for one in judged if one is not None)
    assert found.labels == fresh
    assert found.shift_micro == sum(one.shift_micro for one in judged if one is not None)
    apart = [one for one in judged if one is not None and one.labels[0] != one.labels[1]]
    assert found.disagreements == len(apart)
    assert len(found.worst) == min(len(apart), MOST_DISAGREEMENTS)


@settings(max_examples=40, deadline=None)
@given(frames=FRAMES)
def test_a_bundle_against_itself_agrees_and_counts_as_the_slide_map_does(frames):
    comparison, slide_map = Comparison(), SlideMap()
    for number, (x, active, _) in enumerate(frames):
        cells = [cell(*each) for each in _apart(active)]
        one = shown(number, *cells, at=(x, 0))
        first = number == 0
        placement = Placement(number, 0, 0, one.placement.frame, "first" if first else "image")
        slide_map.replay(placement, cells)
        comparison.enter(one, cells, saturated=False)
    found = comparison.latest
    assert found.disagreements == 0
    for label in ("blast", "normal", "uncertain"):
        assert found.labels[label, label] == slide_map.count("wbc", label)


@settings(max_examples=40, deadline=None)
@given(before=FRAMES, lost=FRAMES, last=CELLS, dx=st.integers(0, 500))
def test_so_it_does_when_a_lost_position_is_found_again(before, lost, last, dx):
    comparison, slide_map = Comparison(), SlideMap()
    joined = Joined(source=1, target=0, dx=float(dx), dy=0.0)
    steps = [
        *(("image", 0, x, active, None) for x, active, _ in before),
        *(("image", 1, x, active, None) for x, active, _ in lost),
        ("image", 0, dx, last, joined),
    ]
    islands: set[int] = set()
    for number, (tie, island, x, active, join) in enumerate(steps):
        cells = [cell(*each) for each in _apart(active)]
        one = shown(number, *cells, at=(x, 0), island=island, joined=join)
        if island not in islands:
            tie = "lost" if islands else "first"
            islands.add(island)
        slide_map.replay(replace(one.placement, tie=tie), cells)
        comparison.enter(one, cells, saturated=False)
    found = comparison.latest
    assert found.disagreements == 0
    for label in ("blast", "normal", "uncertain"):
        assert found.labels[label, label] == slide_map.count("wbc", label)


def _apart(cells):
    """The detector leaves no two boxes of a cell; a shrunken copy of that rule."""
    kept = []
    for one in cells:
        if all(abs(one[0] - other[0]) > 25 or abs(one[1] - other[1]) > 25 for other in kept):
            kept.append(one)
    return kept


def test_an_opinion_is_rounded_as_in_a_message():
    found = compared((shown(0, cell(100, p=0.1234564)), [cell(100, label="blast", p=0.9)]))
    (worst,) = found.worst
    assert worst.active == Opinion(p_blast=0.123456, label="normal")
    assert found.shift_micro == 776544
