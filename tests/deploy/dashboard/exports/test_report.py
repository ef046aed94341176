"""The PDF report: what it may not be taken for stands on every page."""

from __future__ import annotations

import re
import zlib
from base64 import a85decode
from dataclasses import replace

import pytest

from deploy.dashboard.exports.pdf import CELLS, report
from deploy.dashboard.queries.cells import crop
from tests.deploy.dashboard.exports.conftest import Desk


def pages(pdf: bytes) -> list[str]:
    """The text of each page; the standard fonts keep it readable."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(a85decode(stream.strip(), adobe=stream.strip()[-2:] == b"~>"))
        except (ValueError, zlib.error):
            continue
        if b" Tj" in content:
            words = re.findall(rb"\(((?:\\.|[^()\\])*)\) Tj", content)
            found.append(b" ".join(words).decode("cp1252"))
    return found


def made(desk: Desk, slide: int = 1) -> list[str]:
    record = desk.record(slide, CELLS)
    with desk.database.reading() as connection:
        pictures = {
            one.unique_id: found.jpeg
            for one in record.worst
            if (found := crop(connection, slide, one.unique_id)) is not None
        }
    pdf = report(record, pictures)
    assert pdf.startswith(b"%PDF-")
    return pages(pdf)


def test_preliminary_stands_across_every_page_until_it_is_signed(desk: Desk) -> None:
    before = made(desk)
    desk.sign("review")
    after = made(desk)
    desk.decide("normal")
    changed = made(desk)

    assert before
    assert all("PRELIMINARY" in page for page in before)
    assert not any("PRELIMINARY" in page or "NOT SIGNED" in page for page in after)
    assert all("NOT SIGNED AGAIN" in page for page in changed)
    assert all("Research use only" in page for page in before + after + changed)


def test_it_says_who_signed_with_which_models_and_what_is_missing(desk: Desk) -> None:
    desk.sign("review", slide=4)
    text = " ".join(made(desk, 4))

    assert "Rosa" in text
    assert "sha256:19d3b2f4" in text
    assert "3 frames did not arrive: 5 to 6, 9." in text
    assert "Signed: For review" in text


def test_a_slide_without_a_result_and_pictures_that_are_none_are_told(desk: Desk) -> None:
    record = desk.record(3, CELLS)
    broken = {one.unique_id: b"no picture" for one in record.worst}

    text = " ".join(pages(report(record, broken)))
    empty = " ".join(pages(report(replace(record, worst=(), summary={}), {})))

    assert text.count("no picture here") == len(record.worst)
    assert "still under way" in text
    assert "No summary has come yet" in empty


@pytest.mark.parametrize("name", ["<b>x</b> & y", "Łódź 血", "a" * 64, "50 % (est.)"])
def test_any_name_and_comment_can_be_printed(desk: Desk, name: str) -> None:
    desk.sign("review")
    record = desk.record()
    signed = tuple(replace(one, full_name=name, comment=name) for one in record.signed)

    assert report(replace(record, signed=signed, row=replace(record.row, name=name)), {})
