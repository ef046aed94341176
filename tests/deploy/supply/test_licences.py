"""What an SPDX expression allows, and what a package says of itself."""

from __future__ import annotations

from email.message import Message
from types import SimpleNamespace

import pytest

from deploy.supply.licences import UNKNOWN, load

KNOWN = load()


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("AGPL-3.0-or-later", False),
        ("MIT OR GPL-3.0-only", True),  # one may take it under the first
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-only AND MIT", False),
        ("MIT OR GPL-2.0-only AND ISC", True),  # AND binds before OR
        ("(MIT OR GPL-2.0-only) AND GPL-2.0-only", False),
        ("(MIT OR GPL-2.0-only) AND ISC", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
        ("Apache-2.0 WITH Something-exception", False),
        (UNKNOWN, False),
        ("", False),
        ("MIT MIT", False),
        ("(MIT", False),
        ("MIT)", False),
        ("MIT AND", False),
    ],
)
def test_expressions(expression: str, allowed: bool) -> None:
    assert KNOWN.allows(expression) is allowed


def test_a_package_that_nobody_knows_is_unknown() -> None:
    assert KNOWN.licence_of("no-such-package") == UNKNOWN
    assert KNOWN.exempt("no-such-package") is None


def test_an_exception_counts_for_names_that_begin_with_it_and_no_others() -> None:
    exempt = KNOWN.exempt("nvidia-cublas")
    assert exempt is not None
    assert KNOWN.exempt("nvidiafoo") is None


def test_an_exception_is_for_one_licence_and_not_on_a_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, licence = "nvidia-curand", "LicenseRef-NVIDIA-Proprietary"
    monkeypatch.setattr(type(KNOWN), "_said_by", lambda _self, _name: licence)
    assert KNOWN.may_be(name)
    assert not KNOWN.may_be(name, on_a_device=True)
    monkeypatch.setattr(type(KNOWN), "_said_by", lambda _self, _name: "GPL-3.0-only")
    assert not KNOWN.may_be(name)
    assert not KNOWN.may_be("tomli")  # it says so itself, whatever the list says


def test_of_two_classifiers_the_unknown_one_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = Message()
    for last in ("MIT License", "GNU General Public License v3 (GPLv3)"):
        fields["Classifier"] = f"License :: OSI Approved :: {last}"
    monkeypatch.setattr(
        "deploy.supply.licences.distribution", lambda _name: SimpleNamespace(metadata=fields)
    )
    assert KNOWN.licence_of("no-such-package") == UNKNOWN


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("pydantic", "MIT"),  # an expression
        ("rich", "MIT"),  # a licence field
        ("markdown-it-py", "MIT"),  # a classifier
        ("onnxscript", "MIT"),  # the whole text in the field
        ("protobuf", "BSD-3-Clause"),  # a name that is no SPDX
    ],
)
def test_what_packages_say(name: str, licence: str) -> None:
    assert KNOWN.licence_of(name) == licence
