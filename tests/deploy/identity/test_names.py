"""An identity is the text of its topics, and no service can pass for a device."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.identity.errors import IdentityError
from deploy.identity.names import ROLES, Role, identity, parse_identity
from edge_daemon.contract.topics import device_root
from edge_daemon.errors import MessageError

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True)


@given(NAMES, NAMES)
def test_the_common_name_of_a_device_is_what_stands_in_its_topics(site: str, device: str) -> None:
    assert device_root(site, device).endswith(f"/{identity(f'{site}/{device}').common_name}")


@given(st.sampled_from(ROLES[1:]), NAMES)
def test_no_service_has_a_name_that_a_site_or_a_device_could_have(role: Role, name: str) -> None:
    service = identity(name, role)
    assert parse_identity(service.common_name) == service
    with pytest.raises(MessageError):
        device_root(service.common_name, "x")
    with pytest.raises(MessageError):
        device_root("x", service.common_name)


@given(st.text(max_size=80))
def test_no_text_becomes_an_identity_that_a_topic_cannot_carry(text: str) -> None:
    with suppress(IdentityError):
        who = parse_identity(text)
        assert who.common_name == text
        assert not set(text) & set('+#\0\n" \t')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scope-1", "write SITE/DEVICE"),
        ("lab/ward/scope-1", "write SITE/DEVICE"),
        ("lab/#", "device '#' is no valid name"),
        ("+/scope-1", "site '\\+' is no valid name"),
        ("/scope-1", "site '' is no valid name"),
        ("king:lab", "is no identity: write SITE/DEVICE or ROLE:NAME"),
        ("device:lab", "is no identity"),
        ("controller:a/b", "the name of a controller has no '/'"),
        ("a" * 40 + "/" + "b" * 40, "a certificate holds names of 64 characters, this one has 81"),
    ],
)
def test_what_is_no_name_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(IdentityError, match=said):
        parse_identity(text)
