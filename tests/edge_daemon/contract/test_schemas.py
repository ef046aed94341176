"""The published schemas: up to date, and as strict as the models they were made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.messages import Message, optional_fields
from edge_daemon.contract.schemas import documents, message_schema, write
from edge_daemon.contract.topics import CHANNELS, channel_of
from tests.edge_daemon.contract.samples import SAMPLES

DOCUMENTS = documents()
COMMAND = "python -m edge_daemon.contract.schemas docs/contract"


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_the_documentation_is_up_to_date(repository: Path, name: str) -> None:
    published = repository / "docs" / "contract" / name
    assert published.is_file(), f"docs/contract/{name} is missing: {COMMAND}"
    assert published.read_text() == DOCUMENTS[name], f"{name} is out of date: {COMMAND}"


def test_a_model_of_the_same_name_elsewhere_changes_nothing() -> None:
    """Models are told by name within the contract; the registry has its own ``Desired``."""

    class Desired(StrictModel):
        id: str = ""

    assert Desired().id == ""
    assert documents() == DOCUMENTS
    assert "each order is carried out once" in DOCUMENTS["desired.schema.json"]


def test_nothing_else_lies_beside_it(repository: Path) -> None:
    assert {file.name for file in (repository / "docs" / "contract").iterdir()} == set(DOCUMENTS)


def test_it_is_written_whole(tmp_path: Path) -> None:
    write(tmp_path / "contract")
    assert {f.name: f.read_text() for f in (tmp_path / "contract").iterdir()} == DOCUMENTS


def validator(message: Message) -> jsonschema.Draft202012Validator:
    schema = message_schema(channel_of(message))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("message", SAMPLES, ids=lambda m: m.schema_id)
def test_every_message_keeps_its_schema(message: Message) -> None:
    validator(message).validate(json.loads(message.to_json()))


@pytest.mark.parametrize("message", SAMPLES, ids=lambda m: m.schema_id)
def test_a_schema_refuses_missing_and_unknown_fields_and_other_versions(message: Message) -> None:
    fields = json.loads(message.to_json())
    check = validator(message)
    may_be_absent = optional_fields(type(message))
    for name in fields:
        without = {n: v for n, v in fields.items() if n != name}
        assert check.is_valid(without) == (name in may_be_absent), name
    assert not check.is_valid({**fields, "colour": "red"})
    assert not check.is_valid({**fields, "schema": fields["schema"].replace("/1", "/2")})


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "rejected", "reason": "blurred"},  # with cells
        {"reason": "blurred"},
        {"width": None},
        {"cells": [{"id": 0, "box": [0, 0, 9, 9], "kind": "wbc", "score": 0.5}]},
        {"cells": [{"id": 0, "box": [0, 0, 9, 9], "kind": "rbc", "score": 0.5, "p_blast": 0.5}]},
    ],
)
def test_the_schema_of_a_frame_knows_what_belongs_together(changes: dict[str, Any]) -> None:
    fields = {**json.loads(SAMPLES[0].to_json()), **changes}
    assert not validator(SAMPLES[0]).is_valid(fields)


def test_the_asyncapi_file_points_only_at_what_exists() -> None:
    api = json.loads(DOCUMENTS["asyncapi.json"])
    assert api["asyncapi"] == "3.0.0"
    assert set(api["channels"]) == {channel.leaf for channel in CHANNELS}
    for name, channel in api["channels"].items():
        assert all(f"{{{p}}}" in channel["address"] for p in channel["parameters"])
        payload = channel["messages"][name].get("payload")
        assert payload is None or payload["$ref"].removeprefix("./") in DOCUMENTS
    for name, operation in api["operations"].items():
        assert operation["channel"]["$ref"] == f"#/channels/{name}"
        assert operation["action"] in ("send", "receive")
