"""A figure takes the page's colours, keeps its ids to itself and asks nobody for anything."""

from __future__ import annotations

import re

import pytest

from trainer.area_baseline import NAME
from trainer.report.palette import looks_of
from trainer.report.svg import INK, OKABE_ITO, drawing, inline_svg


@pytest.fixture(scope="module")
def svg() -> str:
    with drawing(3, 2, "small") as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=OKABE_ITO[0])
        axes.text(0.5, 0.5, "0.12345")
        return inline_svg(figure, "small", 'a "line" < another')


def test_colours_are_those_of_the_page(svg: str) -> None:
    assert "var(--hue-0)" in svg
    assert "currentColor" in svg
    assert OKABE_ITO[0] not in svg
    assert INK not in svg


def test_nothing_is_fetched_and_no_style_leaks_into_the_page(svg: str) -> None:
    assert "http" not in svg
    assert "<style" not in svg
    assert "<metadata" not in svg


def test_every_reference_is_to_an_id_of_this_figure(svg: str) -> None:
    ids = set(re.findall(r'\sid="([^"]+)"', svg))
    references = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))

    assert references
    assert references <= ids
    assert all(name.startswith("small-") for name in ids)


def test_a_figure_describes_itself_and_rounds_no_label(svg: str) -> None:
    assert svg.startswith('<svg role="img" aria-label="a &quot;line&quot; &lt; another"')
    assert ">0.12345</text>" in svg


def test_no_two_models_look_alike() -> None:
    looks = looks_of([f"model {n}" for n in range(12)] + [NAME])

    assert len({(look.colour, look.line) for look in looks.values()}) == 13
    assert len({look.line for look in list(looks.values())[:6]}) == 6
