"""What is drawn in the report of a slide: the interval, the differential, a cell with its picture.

Sizes are points (1/72 inch), as everywhere in ReportLab.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

from PIL import Image, UnidentifiedImageError
from reportlab.lib.colors import Color, HexColor, white
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable

from deploy.dashboard.queries.cells import Cell
from deploy.dashboard.web.formats import MARKS, Bar, percent, place, word
from deploy.dashboard.web.slide import Counts

INK, SOFT, LINE, ACCENT = (HexColor(one) for one in ("#16181b", "#54575d", "#dddad2", "#00617a"))
SUNK, RANGE, WARN = HexColor("#faf9f6"), HexColor("#b9c9d3"), HexColor("#7c5600")
CLASSES: Final = {
    "blast": HexColor("#b04a00"),
    "uncertain": HexColor("#856000"),
    "normal": HexColor("#00705a"),
    "not_a_cell": HexColor("#565a61"),
}
"""As on the pages; a class has a shape and a word as well."""
REGULAR, BOLD, ITALIC = "Helvetica", "Helvetica-Bold", "Helvetica-Oblique"


def told(text: object) -> str:
    """Text in the letters that the standard fonts of PDF have; others become a question mark."""
    plain = str(text).replace("\u202f", "\u00a0").replace("\u2212", "-")
    return plain.encode("cp1252", "replace").decode("cp1252")


class IntervalBar(Flowable):  # type: ignore[misc]
    """An interval on the scale of the pages, which goes by the square root."""

    def __init__(self, bar: Bar | None, width: float) -> None:
        super().__init__()
        self._bar, self.width, self.height = bar, width, 30

    def draw(self) -> None:
        """Draw it."""
        canvas: Canvas = self.canv
        middle, scale = 19, self.width / 100
        canvas.setFillColor(LINE)
        canvas.rect(0, middle - 1, self.width, 2, stroke=0, fill=1)
        canvas.setFont(REGULAR, 6.5)
        for mark in MARKS:
            x = place(mark) * scale
            canvas.setFillColor(SOFT if mark in (0.05, 0.20) else LINE)
            canvas.rect(x - 0.4, middle - 7, 0.8, 14, stroke=0, fill=1)
            canvas.setFillColor(SOFT)
            text = f"{100 * mark:.0f}" + (" %" if mark == 1 else "")
            write = canvas.drawString if mark == 0 else canvas.drawCentredString
            (canvas.drawRightString if mark == 1 else write)(x, 2, text)
        if self._bar is None:
            return
        low, high = self._bar.low * scale, self._bar.high * scale
        canvas.setFillColor(RANGE)
        canvas.roundRect(low, middle - 4, max(high - low, 1.2), 8, 1.5, stroke=0, fill=1)
        if self._bar.estimate is not None:
            canvas.setFillColor(ACCENT)
            canvas.rect(self._bar.estimate * scale - 1.1, middle - 7, 2.2, 14, stroke=0, fill=1)


class DifferentialBar(Flowable):  # type: ignore[misc]
    """Shares of the nucleated cells, one under the other before and after review."""

    def __init__(self, rows: Sequence[tuple[str, Counts]], width: float) -> None:
        super().__init__()
        self._rows, self.width, self.height = rows, width, 13.0 * len(rows)

    def draw(self) -> None:
        """Draw it."""
        canvas: Canvas = self.canv
        begin = 52.0
        room = self.width - begin
        for index, (name, counts) in enumerate(self._rows):
            y = self.height - 13 * (index + 1) + 2
            canvas.setFont(REGULAR, 7.5)
            canvas.setFillColor(SOFT)
            canvas.drawString(0, y + 2, name)
            x, total = begin, max(1, counts.nucleated)
            for label in ("blast", "uncertain", "normal"):
                wide = room * getattr(counts, label) / total
                if wide > 0:
                    canvas.setFillColor(CLASSES[label])
                    canvas.rect(x, y, max(wide - 0.6, 0.4), 9, stroke=0, fill=1)
                x += wide


class CellPicture(Flowable):  # type: ignore[misc]
    """A cell: its picture in the colour of its class, and what models and people said of it."""

    def __init__(self, cell: Cell, jpeg: bytes | None, width: float) -> None:
        super().__init__()
        self._cell, self._picture = cell, _reader(jpeg)
        self.width, self.height = width, width + 31

    def draw(self) -> None:
        """Draw it."""
        canvas, cell, side = self.canv, self._cell, self.width
        bottom = self.height - side
        colour = CLASSES.get(cell.reviewed_label or cell.label, SOFT)
        if self._picture is not None:
            canvas.drawImage(self._picture, 0, bottom, side, side, preserveAspectRatio=True)
        else:
            canvas.setFillColor(SUNK)
            canvas.rect(0, bottom, side, side, stroke=0, fill=1)
            canvas.setFillColor(SOFT)
            canvas.setFont(ITALIC, 7)
            canvas.drawCentredString(side / 2, bottom + side / 2, "no picture here")
        canvas.setStrokeColor(colour)
        canvas.setLineWidth(1.1)
        canvas.rect(0, bottom, side, side, stroke=1, fill=0)
        mark(canvas, cell.reviewed_label or cell.label, 5.5, bottom - 7.2, 3.1)
        canvas.setFillColor(INK)
        canvas.setFont(BOLD, 7.5)
        canvas.drawString(12, bottom - 10, word(cell.reviewed_label or cell.label))
        canvas.setFont(REGULAR, 7)
        canvas.drawRightString(side, bottom - 10, f"p {cell.p_blast:.3f}")
        canvas.setFillColor(SOFT)
        canvas.setFont(REGULAR, 6.5)
        said = "nobody looked yet"
        if cell.reviewed_label is not None:
            said = told(f"{cell.reviewed_by}: model said {word(cell.label).lower()}")
        canvas.drawString(0, bottom - 19, _shortened(canvas, said, side))
        about = f"cell {cell.unique_id}, frame {cell.frame}"
        if cell.second_p_blast is not None:
            about += f", 2nd {cell.second_p_blast:.2f}"
        canvas.drawString(0, bottom - 27, _shortened(canvas, about, side))


def mark(canvas: Any, label: str, x: float, y: float, radius: float) -> None:
    """The shape of a class: triangle, diamond, circle, and a cross for what is no cell."""
    colour: Color = CLASSES.get(label, SOFT)
    canvas.setFillColor(colour)
    canvas.setStrokeColor(colour)
    if label == "normal":
        canvas.circle(x, y, radius, stroke=0, fill=1)
        return
    if label == "not_a_cell":
        canvas.setLineWidth(1.4)
        r = 0.8 * radius
        canvas.line(x - r, y - r, x + r, y + r)
        canvas.line(x - r, y + r, x + r, y - r)
        return
    corners = [(x, y + radius), (x + radius, y), (x, y - radius), (x - radius, y)]
    if label == "blast":
        corners = [(x, y + radius), (x + radius, y - radius), (x - radius, y - radius)]
    path = canvas.beginPath()
    path.moveTo(*corners[0])
    for corner in corners[1:]:
        path.lineTo(*corner)
    path.close()
    canvas.drawPath(path, stroke=0, fill=1)


def chip(canvas: Canvas, text: str, right: float, y: float, colour: Color) -> None:
    """A word in a filled box whose right end is given."""
    canvas.setFont(BOLD, 9)
    wide = canvas.stringWidth(text, BOLD, 9) + 14
    canvas.setFillColor(colour)
    canvas.roundRect(right - wide, y - 5, wide, 17, 3, stroke=0, fill=1)
    canvas.setFillColor(white)
    canvas.drawString(right - wide + 7, y, text)


def interval_in_words(counts: Counts) -> str:
    """The 95 % interval."""
    return f"{percent(counts.low)} to {percent(counts.high)}"


def _reader(jpeg: bytes | None) -> ImageReader | None:
    """A picture to be drawn; a broken one is told as none."""
    if jpeg is None:
        return None
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            picture.load()
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError):
        return None
    return ImageReader(io.BytesIO(jpeg))


def _shortened(canvas: Canvas, text: str, most: float) -> str:
    while canvas.stringWidth(text, REGULAR, 6.5) > most and len(text) > 4:
        text = text[:-2].rstrip("\u2026") + "\u2026"
    return text
