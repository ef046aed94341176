"""The simulated microscope keeps to the contract, repeats itself, and knows its truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources import simulated
from edge_daemon.sources.base import Frame, Source
from edge_daemon.sources.open import open_source
from edge_daemon.sources.simulated import SimulatedSource, open_simulated
from edge_daemon.sources.simulated_settings import PARAMETERS, SimulatedSettings, parse_settings
from tests.edge_daemon.sources.contract import MakeSource, SourceContract

COARSE = "sim://?width=320&height=240&um_per_px=0.15"
"""The default field at half its resolution: a quarter of the work."""

SMALL = "sim://?fields=4&width=160&height=120&um_per_px=0.2&white=3"


def frames_of(spec: str) -> list[Frame]:
    with open_simulated(spec) as source:
        return list(source)


class TestSimulatedSource(SourceContract):
    @pytest.fixture
    def make_source(self) -> MakeSource:
        def make() -> Source:
            return open_source(SMALL)

        return make


def test_the_same_address_gives_the_same_bytes() -> None:
    first, second = frames_of(SMALL), frames_of(SMALL)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    other = frames_of(SMALL + "&seed=8")
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))


def test_a_frame_is_the_same_in_whatever_order_frames_are_taken() -> None:
    source = SimulatedSource(parse_settings(SMALL))
    backwards = [source.take_frame(index) for index in (3, 2, 1, 0)]
    forwards = [frame.pixels for frame in frames_of(SMALL)]
    assert all(np.array_equal(a, b) for a, b in zip(backwards[::-1], forwards, strict=True))


def test_frames_have_the_size_scale_and_stage_that_was_asked_for() -> None:
    frames = frames_of(SMALL)
    assert [frame.pixels.shape for frame in frames] == [(120, 160, 3)] * 4
    assert {frame.um_per_px for frame in frames} == {0.2}
    assert {frame.field for frame in frames} == {0}
    assert len({frame.stage for frame in frames}) == 4


def test_scale_and_stage_can_be_kept_from_the_daemon() -> None:
    frames = frames_of(SMALL + "&scale=unknown&stage=none")
    assert {frame.um_per_px for frame in frames} == {None}
    assert {frame.stage for frame in frames} == {None}
    known = frames_of(SMALL)
    assert np.array_equal(frames[0].pixels, known[0].pixels), "the slide itself is the same"


def test_the_stage_is_off_by_jitter_and_backlash_only() -> None:
    exact = open_simulated(f"{COARSE}&fields=12&jitter=0&backlash=0").truth()
    assert all(frame.stop.true_um == frame.stop.reported_um for frame in exact.frames)
    real = open_simulated(f"{COARSE}&fields=12&jitter=1.5&backlash=4").truth()
    errors_px = [
        np.subtract(frame.stop.true_um, frame.stop.reported_um) / 0.15 for frame in real.frames
    ]
    assert 0 < np.abs(errors_px).max() < 12


def test_the_truth_is_the_same_before_and_after_the_run() -> None:
    source = open_simulated(SMALL)
    before = source.truth().unique
    with source:
        for _ in source:
            pass
    assert source.truth().unique == before
    assert before.white > 0
    assert before.red > 0


def test_white_cells_are_where_the_truth_says_and_nowhere_else() -> None:
    """Nuclei are the only thing that absorbs red light strongly."""
    source = open_simulated("sim://?fields=6&white=2&stain=0&focus=0&noise=0&vignetting=0")
    for frame in source.truth().frames:
        dark = source.take_frame(frame.index)[..., 0] < 130
        inside = np.zeros_like(dark)
        truth = frame.field
        for box, kind in zip(truth.boxes.astype(int), truth.kinds, strict=True):
            if kind == "wbc":
                inside[box[1] : box[3], box[0] : box[2]] = True
        for box, kind, visible in zip(
            truth.boxes.astype(int), truth.kinds, truth.visible, strict=True
        ):
            if kind == "wbc" and visible > 0.9:
                assert dark[box[1] : box[3], box[0] : box[2]].mean() > 0.1
        assert (dark & ~inside).sum() < 200


def test_spoilt_frames_are_as_many_as_asked_for_and_known() -> None:
    source = open_simulated(f"{COARSE}&fields=20&defects=0.3")
    truth = source.truth()
    spoilt = {frame.index: frame.defect for frame in truth.frames if frame.defect}
    assert sorted(spoilt.values()) == ["empty"] * 2 + ["out_of_focus"] * 2 + ["overexposed"] * 2
    sound = next(frame.index for frame in truth.frames if frame.defect is None)
    sharpness = cv2.Laplacian(source.take_frame(sound), cv2.CV_64F).var()
    for index, defect in spoilt.items():
        frame = source.take_frame(index)
        if defect == "overexposed":
            assert np.median(frame) == 255
        elif defect == "empty":
            assert not len(truth.frames[index].field.boxes)
            assert frame.std() < 12
        else:
            assert cv2.Laplacian(frame, cv2.CV_64F).var() < sharpness


def test_cells_that_only_spoilt_frames_show_are_not_in_the_count() -> None:
    assert open_simulated(f"{COARSE}&fields=4&defects=1").truth().unique.white == 0


def test_more_of_a_cell_must_be_seen_the_higher_visible_is() -> None:
    counts = [
        open_simulated(f"{COARSE}&fields=6&red=25&visible={share}").truth().unique.red
        for share in ("0.05", "0.5", "1")
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2]


def test_every_parameter_is_documented() -> None:
    documentation = simulated.__doc__ or ""
    assert [name for name in PARAMETERS if f"``{name}=" not in documentation] == []


def test_an_address_without_parameters_is_the_default_slide() -> None:
    assert parse_settings("sim://") == parse_settings("sim://?") == SimulatedSettings()


def test_values_and_folders_are_read_from_the_address() -> None:
    settings = parse_settings("sim://?seed=9&overlap=0.1&cells=a%20b/c+d&backgrounds=e&split=val")
    assert settings.seed == 9
    assert settings.overlap == 0.1
    assert (settings.cells, settings.backgrounds, settings.split) == ("a b/c+d", "e", "val")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("sim://?sead=7", "did you mean seed"),
        ("sim://?sead=7", "allowed are seed, fields"),
        ("sim://?fields=ten", "give a whole number"),
        ("sim://?fields=1.5", "give a whole number"),
        ("sim://?fields=0", "from 1 to 10000"),
        ("sim://?overlap=nan", "from 0 to 0.8"),
        ("sim://?stage=broken", "reported, none"),
        ("sim://?seed", "has no value"),
        ("sim://?seed=1&seed=2", "given twice"),
        ("sim://slide?seed=1", "after the question mark"),
        ("sim://?cells=folder", "add backgrounds=FOLDER"),
        ("sim://?split=val", "add cells= and backgrounds="),
        ("sim://?cells=/no/such&backgrounds=/no/such", "no such folder"),
    ],
)
def test_a_wrong_address_is_refused_in_one_line(spec: str, says: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_simulated(spec)
    message = str(caught.value)
    assert says in message
    assert message.startswith(spec)
    assert "\n" not in message


@pytest.fixture(scope="module", params=["bccd/val", "txl-pbc/val"])
def real(request: pytest.FixtureRequest, leuko_data: Path) -> SimulatedSource:
    """C-NMC val cells on val backgrounds, as the counting requirement is measured."""
    return open_simulated(
        f"sim://?fields=4&white=2&vignetting=0&noise=0&focus=0&split=val"
        f"&cells={leuko_data / 'cnmc2019'}&backgrounds={leuko_data / request.param}"
    )


class TestRealPixels:
    def test_overlapping_fields_show_the_same_pixels(self, real: SimulatedSource) -> None:
        left, _ = real.slide.render_field(20.0, 20.0)
        right, _ = real.slide.render_field(20.0 + 100 * 0.075, 20.0 + 60 * 0.075)
        assert np.array_equal(left[60:, 100:], right[:-60, :-100])

    def test_every_nucleus_in_sight_is_in_the_truth(self, real: SimulatedSource) -> None:
        shown = 0
        for frame in real.truth().frames:
            pixels = real.take_frame(frame.index).astype(int)
            outside = np.ones(pixels.shape[:2], np.bool_)
            truth = frame.field
            for x0, y0, x1, y1 in truth.boxes.astype(int):
                nucleus = pixels[y0:y1, x0:x1]
                if min(nucleus.shape[:2]) >= 24:  # of a sliver at the border only the rim is seen
                    shown += 1
                    assert np.percentile(nucleus[..., 1], 20) < 110
                outside[max(0, y0 - 4) : y1 + 4, max(0, x0 - 4) : x1 + 4] = False
            dark = (pixels[..., 1] < 90) & (pixels[..., 2] > pixels[..., 1] + 40) & outside
            _, _, stats, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8))
            largest_um2 = max([0, *stats[1:, cv2.CC_STAT_AREA]]) * 0.075**2
            assert largest_um2 < 12
        assert shown >= 4

    def test_only_white_cells_are_claimed(self, real: SimulatedSource) -> None:
        unique = real.truth().unique
        assert unique.exact_kinds == ("wbc",)
        assert unique.red == unique.platelets == 0
        assert unique.white > 0


def test_a_split_without_a_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    with pytest.raises(SourceError, match=r"no manifest\.csv"):
        open_simulated(f"sim://?cells={tmp_path}&backgrounds={tmp_path}&split=val")


def test_backgrounds_without_annotations_are_refused(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    cv2.imwrite(str(tmp_path / "all" / "1.png"), np.full((20, 20, 3), 90, np.uint8))
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1.png"), np.full((20, 20, 3), 90, np.uint8))
    with pytest.raises(SourceError, match="no picture with an annotation"):
        open_simulated(f"sim://?cells={tmp_path}&backgrounds={tmp_path}")


class TestTargetsAndDefects:
    """What lies on the stage and what is wrong with the optics, for calibrating them."""

    FIELD = "sim://?fields=2&width=320&height=240&um_per_px=0.15&focus=0&noise=0&vignetting=0"

    def test_the_defaults_are_no_defects(self) -> None:
        plain = frames_of(self.FIELD)
        said = frames_of(self.FIELD + "&target=smear&motion=0&cast=0&sweep=0&pitch=3&angle=9")
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(plain, said, strict=True))

    def test_a_blank_field_is_glass_and_its_truth_is_empty(self) -> None:
        with open_simulated(self.FIELD + "&target=blank") as source:
            assert isinstance(source, SimulatedSource)
            assert source.frame_truth(0).field.kinds == ()
            assert np.ptp(next(iter(source)).pixels.reshape(-1, 3), axis=0).max() <= 1

    def test_a_micrometer_repeats_at_its_pitch(self) -> None:
        (picture, _) = (frame.pixels for frame in frames_of(self.FIELD + "&target=micrometer"))
        row = picture[120, :, 1].astype(float)
        dark = row < 0.6 * row.max()
        starts = np.flatnonzero(dark[1:] & ~dark[:-1])
        assert len(starts) >= 3
        assert np.diff(starts) == pytest.approx(10 / 0.15, abs=1.5)

    def test_motion_blurs_along_its_way_only(self) -> None:
        still, moved = frames_of(self.FIELD)[0], frames_of(self.FIELD + "&motion=2")[0]
        change = {
            axis: np.abs(np.diff(moved.pixels.astype(float), axis=axis)).mean()
            / np.abs(np.diff(still.pixels.astype(float), axis=axis)).mean()
            for axis in (0, 1)
        }
        assert min(change.values()) < 0.9
        assert moved.pixels.mean() == pytest.approx(still.pixels.mean(), abs=1.0)

    def test_a_lamp_has_a_colour(self) -> None:
        red, green, blue = frames_of(self.FIELD + "&target=blank&cast=1")[0].pixels[120, 160]
        assert red > green > blue

    def test_a_sweep_is_sharpest_in_the_middle(self) -> None:
        frames = frames_of(self.FIELD.replace("fields=2", "fields=5") + "&sweep=6")
        sharp = [cv2.Laplacian(frame.pixels[..., 1], cv2.CV_64F).var() for frame in frames]
        assert int(np.argmax(sharp)) == 2
