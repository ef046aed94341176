"""What a slide's figures are called in HL7 FHIR.

LOINC has the fraction of blasts, the number of cells counted and the finding on a smear; each was
looked up, see docs/dashboard/interfaces.md. Codes "by Manual count" are not used: before review
nobody counted, and after it a person has looked at the cells in question, not at all. What LOINC
has no term for is told in a code system of this program, and never by a code that nearly fits.
"""

from __future__ import annotations

from typing import Any

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
LOCAL = "urn:leukoedge:codes"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
SPECIMEN = "http://terminology.hl7.org/CodeSystem/v2-0487"

REPORT = (LOINC, "5909-7", "Blood smear finding [Identifier] in Blood by Light microscopy")
FRACTION = (LOINC, "26446-5", "Blasts/Leukocytes in Blood")
COUNTED = (LOINC, "11282-1", "Cells Counted Total [#] in Blood")

SCREENING = (LOCAL, "blast-screening", "Screening of a blood smear for blasts")
MODEL_FRACTION = (LOCAL, "model-blast-fraction", "Blasts among nucleated cells, models alone")
DISPOSITION = (LOCAL, "disposition", "What the models say of the slide")
BLASTS = (LOCAL, "blasts-counted", "Blasts counted")
UNCERTAIN = (LOCAL, "uncertain-counted", "Nucleated cells left to a reader as uncertain")
UNREVIEWED = (LOCAL, "cells-to-look-at", "Cells not cleared that nobody has looked at")
FRAMES = (LOCAL, "frames-analysed", "Frames analysed")
FRAMES_MISSING = (LOCAL, "frames-missing", "Frames that did not arrive")
LOW = (LOCAL, "interval-low", "Lower end of the exact 95 % interval")
HIGH = (LOCAL, "interval-high", "Upper end of the exact 95 % interval")
BUNDLE = (LOCAL, "bundle", "Digest of the models' bundle")
DAEMON = (LOCAL, "daemon", "Version of the program on the device")

DISPOSITIONS = {
    "positive": (LOCAL, "positive", "The whole interval is above the limit"),
    "review": (LOCAL, "review", "A reader has to look"),
    "negative": (LOCAL, "negative", "The whole interval is below the limit"),
    "insufficient": (LOCAL, "insufficient", "Too few nucleated cells"),
}


def concept(*codes: tuple[str, str, str], text: str | None = None) -> dict[str, Any]:
    """A CodeableConcept."""
    coding = [{"system": one[0], "code": one[1], "display": one[2]} for one in codes]
    return {"coding": coding, "text": text or codes[0][2]}


def quantity(value: float, unit: str, code: str) -> dict[str, Any]:
    """A Quantity in UCUM."""
    return {"value": value, "unit": unit, "system": UCUM, "code": code}


def percent(fraction: float) -> dict[str, Any]:
    """A share of one as a Quantity in per cent."""
    return quantity(round(100 * fraction, 4), "%", "%")


def number(value: int) -> dict[str, Any]:
    """A count as a Quantity without a unit."""
    return quantity(value, "1", "1")
