"""Where the broker is: what may be written, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://broker", "broker", 1883, False),
        ("mqtts://broker.lab.example", "broker.lab.example", 8883, True),
        ("mqtt://127.0.0.1:5555/", "127.0.0.1", 5555, False),
        ("mqtt://[::1]:1999", "::1", 1999, False),
    ],
)
def test_a_url_says_where_and_how(url: str, host: str, port: int, tls: bool) -> None:
    settings = BrokerSettings.from_url(url)
    assert (settings.host, settings.port, settings.tls) == (host, port, tls)


def test_credentials_leave_the_url_and_show_nowhere() -> None:
    settings = BrokerSettings.from_url("mqtt://scope-1:p%40ss@broker:1884")
    assert settings.url == "mqtt://broker:1884"
    assert settings.username == "scope-1"
    assert settings.password is not None
    assert settings.password.get_secret_value() == "p@ss"
    assert "p@ss" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "more", "line"),
    [
        ("broker:1883", {}, "broker url 'broker:1883' is wrong: write mqtt://host:port"),
        ("http://broker", {}, "is wrong: write mqtt://host:port or mqtts://host:port"),
        ("mqtt://", {}, "is wrong"),
        ("mqtt://broker:port", {}, "is wrong"),
        ("mqtt://broker:99999", {}, "Port out of range"),
        ("mqtt://broker/topic", {}, "has something after the port"),
        ("http://scope:secret@broker", {}, "broker url 'broker' is wrong"),
        ("mqtt://a:b@broker", {"username": "a"}, "given twice"),
        ("mqtt://broker", {"password": "x"}, "a broker password needs a username"),
        ("mqtts://broker", {"cert_file": "device.pem"}, "cert_file and key_file go together"),
        ("mqtt://broker", {"ca_file": "ca.pem"}, "need TLS: write mqtts://"),
        ("mqtt://broker", {"reconnect_min_s": 60}, "larger than reconnect_max_s"),
        ("mqtt://broker", {"keepalive_s": 0}, "greater than or equal to 5"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(url: str, more: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BrokerSettings.from_url(url, **more)
    assert line in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_addresses_come_in_turn_and_share_all_else() -> None:
    settings = BrokerSettings(
        url="mqtts://user:pw@a:1", other_urls=("mqtts://b:2",), ca_file=Path("ca.pem")
    )
    assert [settings.at(number).url for number in range(3)] == [
        "mqtts://a:1",
        "mqtts://b:2",
        "mqtts://a:1",
    ]
    assert (settings.at(1).username, settings.at(1).port) == ("user", 2)


@pytest.mark.parametrize("other", ["mqtts://b:2", "mqtt://user:pw@b:2", "http://b", "b"])
def test_another_address_of_another_kind_is_refused(other: str) -> None:
    with pytest.raises(ConfigError) as error:
        BrokerSettings.from_url("mqtt://a:1", other_urls=(other,))
    assert "pw" not in str(error.value)
