"""Labels are read as they are printed, or not at all; smears have none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.contract.topics import check_name
from edge_daemon.sources.images import list_pictures
from edge_daemon.sources.reading import read_picture
from edge_daemon.vision.label import LONGEST_SIDE, LabelReader, slide_name
from tests.edge_daemon.vision.drawn_labels import Pixels, code128, ean13, qr, shown
from tests.edge_daemon.vision.label_table import rendered
from tests.soak import repeated

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def smear() -> Pixels:
    return rendered(1)[0]


@pytest.mark.parametrize("angle", [0, 20, 45, 90, 200])
@pytest.mark.parametrize(("blur", "noise"), [(0.0, 0.0), (1.0, 12.0)])
def test_a_qr_code_is_read_however_it_lies(smear, angle, blur, noise):
    seen = shown(qr("S26-00123"), smear, width_px=300, angle=angle, blur=blur, noise=noise)
    assert LabelReader().read(seen) == ("S26-00123",)


def test_a_large_picture_is_read_smaller(smear):
    large = np.kron(smear, np.ones((4, 4, 1), np.uint8))
    assert max(large.shape) > 2 * LONGEST_SIDE
    assert LabelReader().read(shown(qr("S26-00123"), large, width_px=1100)) == ("S26-00123",)


@pytest.mark.parametrize("angle", [0, 90, 180])
def test_ean_13_is_read_on_request_only(smear, angle):
    code, digits = ean13("202600012345")
    seen = shown(code, smear, width_px=360, angle=angle, blur=0.5)
    assert LabelReader(barcodes=True).read(seen) == (digits,)
    assert LabelReader().read(seen) == ()


def test_two_labels_are_both_read(smear):
    wide = np.concatenate([shown(qr(text), smear, width_px=250) for text in ("b", "a")], axis=1)
    assert LabelReader().read(wide) == ("a", "b")


def test_other_linear_codes_are_no_qr_codes(smear):
    """With ``barcodes`` some would be wrong EAN numbers, which is why it is not the default."""
    frame = np.kron(smear, np.ones((2, 2, 1), np.uint8))
    for text in ("S26-00123", "12345678", "ABC"):
        assert LabelReader().read(shown(code128(text), frame, width_px=700, blur=1.0)) == ()


def test_a_label_out_of_focus_is_not_guessed(smear):
    for blur in (4.0, 8.0, 16.0):
        seen = shown(qr("S26-00123"), smear, width_px=200, blur=blur)
        assert LabelReader(barcodes=True).read(seen) in ((), ("S26-00123",))


def test_smears_have_no_label(leuko_data):
    reader = LabelReader(barcodes=True)
    for name in ("bccd/val", "txl-pbc/val"):
        for path in list_pictures(leuko_data / name)[:: 20 if repeated(1) == 1 else 1]:
            assert reader.read(read_picture(path)) == (), path


@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90))
@settings(max_examples=repeated(30), deadline=None)
def test_any_picture_may_be_looked_at(seed, height, width):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert LabelReader(barcodes=True).read(pixels) == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("S26-00123", "S26-00123"),
        ("  4006381333931\r\n", "4006381333931"),
        ("S26/123 A", "S26-123-A"),
        ("#17#", "17"),
        ("", None),
        ("§§§", None),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
    ],
)
def test_a_label_gives_a_name_or_none(text, name):
    assert slide_name(text) == name


@given(st.text())
def test_what_is_given_is_a_name(text):
    name = slide_name(text)
    if name is not None:
        check_name(name, "slide")
