"""A slide as HL7 FHIR R4: a Bundle with DiagnosticReport, Observations, Device and Specimen.

Made of plain values; the tests hold it to the ``fhir.resources`` models. Addresses inside are UUIDs
made of the database's identity and the slide's number, so the same slide is always told under the
same ones. A patient is named only where the site's own file names one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from deploy.dashboard.exports import fhir_codes as codes
from deploy.dashboard.exports.patients import NOBODY, Patients
from deploy.dashboard.exports.record import SlideRecord

MEDIA_TYPE = "application/fhir+json; fhirVersion=4.0"
_NAMESPACE = uuid.UUID("6d3a1f52-5b0e-5c8e-9d0f-1c1f8a6d7e10")
_RESEARCH = "Research use only. Models point out cells for a human reader; they make no diagnosis."
Resource = dict[str, Any]


def bundle_of(record: SlideRecord, patients: Patients = NOBODY) -> Resource:
    """The Bundle of a slide, type ``collection``."""
    return _Making(record, patients).bundle()


def to_json(bundle: Mapping[str, Any]) -> str:
    """As it is sent."""
    return json.dumps(bundle, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class _Making:
    """Resources of one slide, which refer to each other."""

    def __init__(self, record: SlideRecord, patients: Patients) -> None:
        self.record, self.row = record, record.row
        self.patient = patients.of(self.row.site, self.row.device, self.row.name)
        # a device has a name in its site, whatever slides it made
        self.device = _urn(record.database, "device", self.row.site, self.row.device)
        self.specimen = self._own("specimen")

    def _own(self, *what: str) -> str:
        return _urn(self.record.database, "slide", str(self.row.id), *what)

    def bundle(self) -> Resource:
        """All of it."""
        observed = list(self._observations())
        entries = [
            (self._own("report"), self._report([address for address, _ in observed])),
            *observed,
            (self.specimen, self._specimen()),
            (self.device, self._device()),
            *self._readers(),
        ]
        return {
            "resourceType": "Bundle",
            "identifier": {"system": "urn:ietf:rfc:3986", "value": self._own("bundle")},
            "type": "collection",
            "timestamp": _instant(self.record.made_at),
            "entry": [
                {"fullUrl": address, "resource": {"id": address[9:], **resource}}
                for address, resource in entries
            ],
        }

    def _report(self, results: list[str]) -> Resource:
        signed = self.record.standing if self.record.is_signed else ()
        found: Resource = {
            "resourceType": "DiagnosticReport",
            "identifier": [_local("slide", f"{self.record.database}/{self.row.id}")],
            "status": self.record.status,
            "category": [codes.concept((codes.SECTION, "HM", "Hematology"))],
            "code": codes.concept(codes.REPORT, codes.SCREENING),
            **self._about(),
            "issued": _instant(signed[-1].at if signed else self.row.newest_at),
            "specimen": [{"reference": self.specimen}],
            "result": [{"reference": one} for one in results],
            "conclusion": self._conclusion(),
        }
        if signed:
            readers = [{"reference": self._reader(one.user)} for one in signed]
            found["resultsInterpreter"] = list({one["reference"]: one for one in readers}.values())
        if self.record.conclusion in codes.DISPOSITIONS:
            found["conclusionCode"] = [codes.concept(codes.DISPOSITIONS[self.record.conclusion])]
        return found

    def _conclusion(self) -> str:
        said = self.record.conclusion
        if said is None:
            begin = "Not signed: results of models that no person stands for."
            if self.record.status == "amended":
                begin = "Changed since it was signed, and not signed again."
        else:
            last = self.record.standing[-1]
            who = last.full_name or last.user
            begin = f"Signed by {who}: {said}." + (f" {last.comment}" if last.comment else "")
        missing = self.record.delivery.frames_missing
        gap = f" {missing} frames did not arrive." if missing else ""
        reasons = " ".join(self.record.summary.get("reasons", ()))
        return f"{begin}{gap} {reasons} {_RESEARCH}".replace("  ", " ")

    def _observations(self) -> Iterator[tuple[str, Resource]]:
        counts, before = self.record.counts, self.record.before
        if self.record.status == "registered":
            return
        if counts.fraction is not None and counts.low is not None and counts.high is not None:
            yield self._observation(
                codes.FRACTION,
                {"valueQuantity": codes.percent(counts.fraction)},
                component=_interval(counts.low, counts.high),
            )
        yield self._observation(codes.COUNTED, {"valueQuantity": codes.number(counts.nucleated)})
        yield self._observation(codes.BLASTS, {"valueQuantity": codes.number(counts.blast)})
        yield self._observation(codes.UNCERTAIN, {"valueQuantity": codes.number(counts.uncertain)})
        if before.fraction is not None and before.low is not None and before.high is not None:
            yield self._observation(
                codes.MODEL_FRACTION,
                {"valueQuantity": codes.percent(before.fraction)},
                component=_interval(before.low, before.high),
            )
        if self.row.disposition in codes.DISPOSITIONS:
            said = codes.concept(codes.DISPOSITIONS[self.row.disposition])
            yield self._observation(codes.DISPOSITION, {"valueCodeableConcept": said})
        for code, count in (
            (codes.UNREVIEWED, self.row.unreviewed),
            (codes.FRAMES, self.record.quality.analysed),
            (codes.FRAMES_MISSING, self.record.delivery.frames_missing),
        ):
            yield self._observation(code, {"valueQuantity": codes.number(count)})

    def _observation(
        self, code: tuple[str, str, str], value: Resource, **more: Any
    ) -> tuple[str, Resource]:
        category = (codes.CATEGORY, "laboratory", "Laboratory")
        return self._own("observation", code[1]), {
            "resourceType": "Observation",
            "status": self.record.status,
            "category": [codes.concept(category)],
            "code": codes.concept(code),
            **self._about(),
            "issued": _instant(self.row.newest_at),
            **value,
            "specimen": {"reference": self.specimen},
            "device": {"reference": self.device},
            **more,
        }

    def _about(self) -> Resource:
        """Of whom, and when it was observed."""
        whom = {} if self.patient is None else {"subject": {"reference": self.patient}}
        begun = self.row.started_at
        if begun is None:
            return {**whom, "effectiveDateTime": _instant(self.row.newest_at)}
        ended = self.row.ended_at
        # a device's clock may jump: a period that ends before it begins is none
        end = {"end": _instant(ended)} if ended is not None and ended >= begun else {}
        return {**whom, "effectivePeriod": {"start": _instant(begun), **end}}

    def _specimen(self) -> Resource:
        whom = {} if self.patient is None else {"subject": {"reference": self.patient}}
        return {
            "resourceType": "Specimen",
            "identifier": [_local("slide-name", f"{self.row.site}/{self.row.name}")],
            "type": codes.concept((codes.SPECIMEN, "BLD", "Whole blood"), text="Blood smear"),
            **whom,
        }

    def _device(self) -> Resource:
        versions = [(codes.DAEMON, self.record.version), (codes.BUNDLE, self.row.bundle)]
        return {
            "resourceType": "Device",
            "identifier": [_local("device", f"{self.row.site}/{self.row.device}")],
            "manufacturer": "LeukoEdge",
            "deviceName": [{"name": self.row.device, "type": "user-friendly-name"}],
            "type": codes.concept((codes.LOCAL, "leukoedge", "Microscope with LeukoEdge")),
            "version": [
                {"type": codes.concept(code), "value": value} for code, value in versions if value
            ],
            "note": [{"text": _RESEARCH}],
        }

    def _readers(self) -> Iterator[tuple[str, Resource]]:
        if not self.record.is_signed:
            return
        names = {one.user: one.full_name or one.user for one in self.record.standing}
        for user, name in names.items():
            yield (
                self._reader(user),
                {
                    "resourceType": "Practitioner",
                    "identifier": [_local("user", user)],
                    "name": [{"text": name}],
                },
            )

    def _reader(self, user: str) -> str:
        return _urn(self.record.database, "user", user)


def _interval(low: float, high: float) -> list[Resource]:
    return [
        {"code": codes.concept(code), "valueQuantity": codes.percent(value)}
        for code, value in ((codes.LOW, low), (codes.HIGH, high))
    ]


def _local(what: str, value: str) -> Resource:
    return {"system": f"urn:leukoedge:{what}", "value": value}


def _urn(*parts: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(parts))}"


def _instant(at: datetime) -> str:
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds")
