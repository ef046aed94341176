"""What stands on every page of the report, and across it until it is signed."""

from __future__ import annotations

from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

from deploy.dashboard.exports import pdf_drawing as drawing
from deploy.dashboard.exports.record import SlideRecord
from deploy.dashboard.web import formats

MARGIN = 17 * mm
_CHIPS = {"positive": "blast", "review": "uncertain", "negative": "normal"}


def first_page(record: SlideRecord, canvas: Canvas, _document: object) -> None:
    """The head of the first page."""
    row = record.row
    top = A4[1] - 17 * mm
    canvas.setFillColor(drawing.ACCENT)
    canvas.rect(0, A4[1] - 5, A4[0], 5, stroke=0, fill=1)
    canvas.setFillColor(drawing.INK)
    canvas.setFont(drawing.BOLD, 19)
    canvas.drawString(MARGIN, top - 8, drawing.told(row.name))
    canvas.setFont(drawing.REGULAR, 9)
    canvas.setFillColor(drawing.SOFT)
    about = [f"{row.site} / {row.device}"]
    about += ["control slide"] if row.control else []
    about += [f"begun {formats.moment(row.started_at)}"] if row.started_at else []
    about += [f"ended {formats.moment(row.ended_at)}"] if row.ended_at else []
    canvas.drawString(MARGIN, top - 23, drawing.told(" \u00b7 ".join(about)))
    completion = record.summary.get("completion")
    state = formats.word(row.state) + (f": {formats.completion(completion)}" if completion else "")
    canvas.drawString(MARGIN, top - 35, drawing.told(f"{state} \u00b7 {state_of(record)}"))
    said = record.conclusion or row.disposition
    if said is not None:
        colour = drawing.CLASSES[_CHIPS.get(said, "not_a_cell")]
        chip = ("Signed: " if record.conclusion else "Models: ") + formats.word(said)
        drawing.chip(canvas, chip, A4[0] - MARGIN, top - 5, colour)
    canvas.setStrokeColor(drawing.LINE)
    canvas.line(MARGIN, top - 45, A4[0] - MARGIN, top - 45)


def later_page(record: SlideRecord, canvas: Canvas, _document: object) -> None:
    """The head of every other page."""
    canvas.setFont(drawing.BOLD, 9)
    canvas.setFillColor(drawing.INK)
    canvas.drawString(MARGIN, A4[1] - 17 * mm, drawing.told(record.row.name))
    canvas.setFont(drawing.REGULAR, 8)
    canvas.setFillColor(drawing.SOFT)
    canvas.drawRightString(A4[0] - MARGIN, A4[1] - 17 * mm, drawing.told(state_of(record)))
    canvas.setStrokeColor(drawing.LINE)
    canvas.line(MARGIN, A4[1] - 19.5 * mm, A4[0] - MARGIN, A4[1] - 19.5 * mm)


def around(record: SlideRecord, canvas: Canvas, _document: object) -> None:
    """What stands on every page: the foot, and across it what it may not be taken for."""
    canvas.setFont(drawing.BOLD, 7.5)
    canvas.setFillColor(drawing.INK)
    canvas.drawString(MARGIN, 14 * mm, "Research use only. Not for diagnosis.")
    canvas.setFont(drawing.REGULAR, 7)
    canvas.setFillColor(drawing.SOFT)
    made = f"LeukoEdge, made {formats.moment(record.made_at)}, slide {record.row.id} of database "
    canvas.drawString(MARGIN, 10.5 * mm, drawing.told(made + record.database[:12]))
    across = {"final": None, "corrected": None}.get(record.status, "PRELIMINARY")
    if record.status == "amended":
        across = None if record.is_signed else "NOT SIGNED AGAIN"
    if across is None:
        return
    canvas.saveState()
    canvas.translate(A4[0] / 2, A4[1] / 2)
    canvas.rotate(52)
    canvas.setFillColor(drawing.WARN, alpha=0.11)
    canvas.setFont(drawing.BOLD, 84 if len(across) < 12 else 66)
    canvas.drawCentredString(0, -25, across)
    canvas.restoreState()


def state_of(record: SlideRecord) -> str:
    """How far it may be trusted, in words."""
    if record.is_signed:
        word = {"amended": "signed again", "corrected": "corrected and signed again"}
        return word.get(record.status, "signed")
    if record.status == "amended":
        return "changed since it was signed, waits to be signed again"
    wanted = ", a second reader is wanted" if record.row.review == "first" else ", not signed"
    return f"preliminary{wanted}"


class Numbered(Canvas):  # type: ignore[misc]
    """Writes "page 1 of 3", which is known when all pages are there."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - ReportLab's name
        """Put a page aside."""
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Write all of them."""
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self.setFont(drawing.REGULAR, 7)
            self.setFillColor(drawing.SOFT)
            text = f"page {number} of {len(self._pages)}"
            self.drawRightString(A4[0] - MARGIN, 10.5 * mm, text)
            super().showPage()
        super().save()
