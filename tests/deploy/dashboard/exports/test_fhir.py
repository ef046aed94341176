"""A slide as FHIR: valid, with a status that says how far it may be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from deploy.dashboard.exports.fhir import bundle_of, to_json
from deploy.dashboard.exports.patients import read_patients
from deploy.dashboard.exports.record import SlideRecord
from tests.deploy.dashboard.exports.conftest import Desk


def resources(record: SlideRecord, **more: Any) -> dict[str, list[dict[str, Any]]]:
    """By type; what the models of fhir.resources do not take fails here."""
    text = to_json(bundle_of(record, **more))
    Bundle.model_validate_json(text)
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in json.loads(text)["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


def report(desk: Desk, slide: int = 1) -> dict[str, Any]:
    return resources(desk.record(slide))["DiagnosticReport"][0]


@pytest.mark.parametrize("slide", [1, 2, 3, 4])
def test_every_slide_is_a_valid_bundle_whose_references_hold(desk: Desk, slide: int) -> None:
    bundle = bundle_of(desk.record(slide))
    Bundle.model_validate_json(to_json(bundle))

    addresses = {entry["fullUrl"] for entry in bundle["entry"]}
    assert len(addresses) == len(bundle["entry"])
    asked = set(_references(bundle))
    assert asked <= addresses
    assert bundle == {**bundle_of(desk.record(slide)), "timestamp": bundle["timestamp"]}


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if "reference" in value else []
        return own + [one for inner in value.values() for one in _references(inner)]
    return [one for inner in value for one in _references(inner)] if isinstance(value, list) else []


def test_the_status_follows_the_signatures(desk: Desk) -> None:
    assert report(desk)["status"] == "preliminary"

    desk.sign("review")
    first = report(desk)
    assert first["status"] == "final"
    assert first["conclusion"].startswith("Signed by Rosa: review.")
    assert first["conclusionCode"][0]["coding"][0]["code"] == "review"
    assert len(first["resultsInterpreter"]) == 1

    desk.decide("normal")
    changed = report(desk)
    assert changed["status"] == "amended"
    assert changed["conclusion"].startswith("Changed since it was signed, and not signed again.")
    assert "resultsInterpreter" not in changed
    assert "conclusionCode" not in changed

    desk.sign("review")
    assert report(desk)["status"] == "amended"
    desk.reopen()
    desk.sign("negative")
    assert report(desk)["status"] == "corrected"


def test_a_slide_that_waits_for_its_second_reader_is_preliminary(desk: Desk) -> None:
    desk.sign("review", second="always")
    assert report(desk)["status"] == "preliminary"

    desk.sign("review", user="ruth", second="always")
    assert report(desk)["status"] == "final"
    assert len(report(desk)["resultsInterpreter"]) == 2


def test_observations_have_the_status_of_the_report(desk: Desk) -> None:
    desk.sign("review")

    found = resources(desk.record())

    assert {one["status"] for one in found["Observation"]} == {"final"}
    assert len(found["DiagnosticReport"][0]["result"]) == len(found["Observation"])


def test_figures_are_those_of_the_page_with_the_codes_that_were_looked_up(desk: Desk) -> None:
    desk.decide("not_a_cell")
    record = desk.record()

    by_code = {one["code"]["coding"][0]["code"]: one for one in resources(record)["Observation"]}

    share = by_code["26446-5"]
    assert share["code"]["coding"][0]["system"] == "http://loinc.org"
    assert share["valueQuantity"]["value"] == pytest.approx(
        100 * (record.after.fraction or 0), abs=1e-3
    )
    low, high = (one["valueQuantity"]["value"] for one in share["component"])
    assert low < share["valueQuantity"]["value"] < high
    assert by_code["11282-1"]["valueQuantity"]["value"] == record.after.nucleated
    alone = by_code["model-blast-fraction"]["valueQuantity"]["value"]
    assert alone == pytest.approx(100 * (record.before.fraction or 0), abs=1e-3)


def test_gaps_are_told(desk: Desk) -> None:
    found = resources(desk.record(4))

    missing = next(
        one for one in found["Observation"] if one["code"]["coding"][0]["code"] == "frames-missing"
    )
    assert missing["valueQuantity"]["value"] == 3
    assert "3 frames did not arrive." in found["DiagnosticReport"][0]["conclusion"]


def test_no_patient_is_named_unless_the_site_names_one(desk: Desk, tmp_path: Path) -> None:
    record = desk.record()
    assert "Patient" not in to_json(bundle_of(record))
    file = tmp_path / "patients.csv"
    file.write_text(f"site,slide,patient\n{record.row.site},{record.row.name},Patient/4711\n")

    found = resources(record, patients=read_patients(file))

    for kind in ("DiagnosticReport", "Observation", "Specimen"):
        assert {one["subject"]["reference"] for one in found[kind]} == {"Patient/4711"}
