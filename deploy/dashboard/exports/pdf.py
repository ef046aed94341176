"""The report of a slide as PDF: one page of figures, then the worst cells with their pictures.

Until a person has signed, PRELIMINARY stands across every page; a slide that changed after it was
signed says so in the same way. Fonts are those that every PDF reader has, so letters outside
Western European alphabets are told as a question mark.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from deploy.dashboard.exports import pdf_drawing as drawing
from deploy.dashboard.exports.pdf_pages import (
    MARGIN,
    Numbered,
    around,
    first_page,
    later_page,
    state_of,
)
from deploy.dashboard.exports.record import SlideRecord
from deploy.dashboard.web import formats

MEDIA_TYPE = "application/pdf"
CELLS = 40
"""Pictures in a report: eight rows of five."""
_IN_A_ROW = 5
_WIDTH = A4[0] - 2 * MARGIN
_GAP = 5 * mm

_BODY = ParagraphStyle("body", fontName=drawing.REGULAR, fontSize=8.5, leading=11.5,
                       textColor=drawing.INK)  # fmt: skip
_SOFT = ParagraphStyle("soft", parent=_BODY, textColor=drawing.SOFT)
_HEAD = ParagraphStyle("head", parent=_BODY, fontName=drawing.BOLD, fontSize=10.5, leading=14,
                       spaceBefore=9, spaceAfter=3, textColor=drawing.ACCENT)  # fmt: skip
_BIG = ParagraphStyle("big", parent=_BODY, fontName=drawing.BOLD, fontSize=23, leading=27)
_FIGURE = ParagraphStyle("figure", parent=_BODY, alignment=2)
_FIGURE_SOFT = ParagraphStyle("figure soft", parent=_SOFT, alignment=2)
_PLAIN = TableStyle([
    ("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 1.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
])  # fmt: skip
_RULED = TableStyle([*_PLAIN.getCommands(), ("LINEBELOW", (0, 0), (-1, -1), 0.4, drawing.LINE)])


def report(record: SlideRecord, pictures: Mapping[int, bytes]) -> bytes:
    """The PDF of a slide.

    Args:
        record: with the worst cells.
        pictures: JPEG by number of the cell; one that cannot be read is told as missing.
    """
    row = record.row
    file = io.BytesIO()
    document = BaseDocTemplate(
        file,
        pagesize=A4,
        title=f"{row.name}: {state_of(record)}",
        author="LeukoEdge",
        subject=f"Slide {row.name} of {row.site}/{row.device}, research use only",
        creator=f"LeukoEdge, database {record.database}",
        lang="en",
    )
    first = Frame(MARGIN, 21 * mm, _WIDTH, A4[1] - 21 * mm - 41 * mm, 0, 0, 0, 0)
    later = Frame(MARGIN, 21 * mm, _WIDTH, A4[1] - 21 * mm - 26 * mm, 0, 0, 0, 0)
    document.addPageTemplates([
        PageTemplate("first", [first], partial(first_page, record), partial(around, record),
                     autoNextPageTemplate="later"),
        PageTemplate("later", [later], partial(later_page, record), partial(around, record)),
    ])  # fmt: skip
    document.build(_story(record, pictures), canvasmaker=Numbered)
    return file.getvalue()


def _story(record: SlideRecord, pictures: Mapping[int, bytes]) -> list[Flowable]:
    half = (_WIDTH - _GAP) / 2
    gap = Spacer(_GAP, 1)
    two = [half, _GAP, half]
    story: list[Flowable] = [
        Table([[_verdict(record, half), gap, _differential(record, half)]], two, style=_PLAIN),
        Table([[_reasons(record), gap, _quality(record, half)]], two, style=_PLAIN),
        *_signatures(record),
    ]
    if record.worst:
        story += [CondPageBreak(60 * mm), _head("Cells, worst first"), _about_cells(record)]
        story.append(_gallery(record, pictures))
    return story


def _verdict(record: SlideRecord, width: float) -> list[Flowable]:
    counts, before = record.counts, record.before
    after = "after review" if record.decided else "models alone, no cell reviewed"
    lines = [
        _head("Blasts among nucleated cells"),
        Paragraph(_safe(formats.percent(counts.fraction)), _BIG),
        Paragraph(f"95 % interval {_safe(drawing.interval_in_words(counts))}, {after}", _BODY),
        Spacer(1, 3),
        drawing.IntervalBar(counts.bar, width),
    ]
    if record.decided:
        text = f"Models alone: {formats.percent(before.fraction)}, "
        lines.append(Paragraph(_safe(text + drawing.interval_in_words(before)), _SOFT))
    return lines


def _differential(record: SlideRecord, width: float) -> list[Flowable]:
    before, after = record.before, record.after
    head = [Paragraph("", _SOFT), *(Paragraph(one, _FIGURE_SOFT) for one in ("Models", "Reviewed"))]
    rows = [head]
    for label in ("blast", "uncertain", "normal", "not_a_cell"):
        was = "" if label == "not_a_cell" else formats.count(getattr(before, label))
        is_now = formats.count(getattr(after, label)) if record.decided else formats.NO_FIGURE
        rows.append(_figures(formats.word(label), was, is_now))
    total = formats.count(after.nucleated) if record.decided else formats.NO_FIGURE
    rows.append(_figures("<b>Nucleated</b>", formats.count(before.nucleated), total, markup=True))
    bars = [("models", before)] + ([("reviewed", after)] if record.decided else [])
    return [
        _head("Differential"),
        Table(rows, [width - 110, 55, 55], style=_RULED),
        Spacer(1, 5),
        drawing.DifferentialBar(bars, width),
    ]


def _reasons(record: SlideRecord) -> list[Flowable]:
    lines: list[Flowable] = [_head("Why, and what is missing")]
    reasons = record.summary.get("reasons", ())
    lines += [Paragraph(f"&bull;&nbsp; {_safe(reason)}", _BODY) for reason in reasons]
    if not record.summary:
        lines.append(Paragraph("No summary has come yet.", _BODY))
    row, delivery = record.row, record.delivery
    warnings = []
    if row.state in ("running", "paused"):
        warnings.append("The slide is still under way: figures will change.")
    if row.doubled:
        warnings.append("Two slides of this name came from this device; figures may mix them.")
    if record.stale:
        warnings.append("Results came in after the slide was signed.")
    if delivery.frames_missing:
        holes = ", ".join(
            f"{a}" if a == b else f"{a} to {b}" for a, b in delivery.missing_frames[:12]
        )
        more = len(delivery.missing_frames) - 12
        holes += f" and {more} more gaps" if more > 0 else ""
        lost = formats.plural(delivery.frames_missing, "frame")
        warnings.append(f"{lost} did not arrive{f': {holes}' if holes else ''}.")
    if delivery.cells_missing:
        lost = formats.plural(delivery.cells_missing, "cell")
        warnings.append(f"{lost} that the device counted did not arrive.")
    if row.unreviewed:
        warnings.append(f"{formats.plural(row.unreviewed, 'cell')} that nobody has looked at.")
    colour = drawing.WARN.hexval()[2:]
    lines += [Paragraph(f'<font color="#{colour}"><b>!</b>&nbsp; {_safe(one)}</font>', _BODY)
              for one in warnings]  # fmt: skip
    if record.purged_at is not None:
        text = f"Frames were deleted by retention on {formats.moment(record.purged_at)}."
        lines.append(Paragraph(_safe(text), _SOFT))
    elif delivery.whole and record.summary:
        lines.append(Paragraph("All frames that the device told of arrived.", _SOFT))
    return lines


def _quality(record: SlideRecord, width: float) -> list[Flowable]:
    found, area = record.quality, record.summary.get("coverage_mm2")
    rows = [
        ("Frames analysed", formats.count(found.analysed)),
        ("Rejected, dropped, failed", f"{found.rejected}, {found.dropped}, {found.failed}"),
        ("With a hint; with more cells than listed", f"{found.hinted}; {found.saturated}"),
        ("Area analysed", formats.NO_FIGURE if area is None else f"{area:.2f} mm\u00b2"),
        ("Sharpness, mean", formats.NO_FIGURE if found.focus is None else f"{found.focus:.0f}"),
        ("Brightness, mean", formats.percent(found.exposure, 0)),
        (
            "Stain, distance from the reference",
            formats.NO_FIGURE if found.stain_shift is None else f"{found.stain_shift:.2f}",
        ),
    ]
    table = [_figures(name, value) for name, value in rows]
    lines: list[Flowable] = [_head("Quality"), Table(table, [width - 80, 80], style=_RULED)]
    lines += [
        Paragraph(f"{formats.count(number)} &times; {_safe(reason)}", _SOFT)
        for reason, number in found.reasons[:4]
    ]
    return lines


def _signatures(record: SlideRecord) -> list[Flowable]:
    lines: list[Flowable] = [_head("Signatures")]
    if not record.signed:
        lines.append(Paragraph("Nobody has signed this slide.", _BODY))
    rows: list[list[Any]] = []
    for one in record.signed:
        counts = one in record.standing
        void = "" if counts or one.kind == "reopen" else " (void)"
        said = "" if one.conclusion is None else f": {formats.word(one.conclusion)}"
        who = f"<b>{_safe(one.full_name or one.user)}</b> {_safe(formats.word(one.kind) + said)}"
        comment = "" if one.comment is None else f"<br/><i>{_safe(one.comment)}</i>"
        style = _BODY if counts else _SOFT
        when = f"{formats.moment(one.at)}, row {one.number}, models {formats.bundle(one.bundle)}"
        rows.append([Paragraph(f"{who}{void}{comment}", style), Paragraph(_safe(when), _SOFT)])
    if rows:
        lines.append(Table(rows, [_WIDTH - 215, 215], style=_RULED))
    bundle = record.row.bundle or formats.NO_FIGURE
    name = f"{record.bundle_name}, " if record.bundle_name else ""
    text = f"Models: {name}{bundle}. Program on the device: {record.version or formats.NO_FIGURE}."
    return [*lines, Spacer(1, 3), Paragraph(_safe(text), _SOFT)]


def _about_cells(record: SlideRecord) -> Flowable:
    text = (
        f"{len(record.worst)} of {formats.plural(record.before.nucleated, 'nucleated cell')}: "
        "blasts, then uncertain ones, by falling probability p as the models say; normal ones only "
        "where there is a picture or a decision. The class is the last word of a person, if any."
    )
    return Paragraph(_safe(text), _SOFT)


def _gallery(record: SlideRecord, pictures: Mapping[int, bytes]) -> Table:
    room = (_WIDTH + 8) / _IN_A_ROW
    cells = [
        drawing.CellPicture(one, pictures.get(one.unique_id), room - 8) for one in record.worst
    ]
    rows: list[list[Any]] = [cells[at : at + _IN_A_ROW] for at in range(0, len(cells), _IN_A_ROW)]
    rows[-1] += [""] * (_IN_A_ROW - len(rows[-1]))
    style = TableStyle([*_PLAIN.getCommands(), ("TOPPADDING", (0, 0), (-1, -1), 6)])
    return Table(rows, [room] * _IN_A_ROW, style=style, hAlign="LEFT")


def _head(text: str) -> Paragraph:
    return Paragraph(text, _HEAD)


def _figures(name: str, *values: str, markup: bool = False) -> list[Paragraph]:
    shown = name if markup else _safe(name)
    return [Paragraph(shown, _BODY), *(Paragraph(_safe(one), _FIGURE) for one in values)]


def _safe(text: object) -> str:
    return escape(drawing.told(text))
