"""A device that is refused for its certificate's dates says so, though no broker told it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme

from edge_daemon.delivery.own_certificate import fault
from edge_daemon.delivery.settings import BrokerSettings

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)


def settings(folder: Path, begins: datetime, ends: datetime) -> BrokerSettings:
    authority = trustme.CA()
    issued = authority.issue_cert("scope-1", not_before=begins, not_after=ends)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "device.pem")
    issued.private_key_pem.write_to_path(folder / "device.key")
    return BrokerSettings(
        url="mqtts://broker",
        ca_file=folder / "ca.pem",
        cert_file=folder / "device.pem",
        key_file=folder / "device.key",
    )


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        (NOW - 9 * DAY, NOW - DAY, "has expired: renew it"),
        (NOW + DAY, NOW + 9 * DAY, "is not valid yet: is its clock right?"),
    ],
)
def test_dates_that_are_wrong_are_named(
    tmp_path: Path, begins: datetime, ends: datetime, said: str
) -> None:
    assert said in (fault(settings(tmp_path, begins, ends)) or "")


def test_nothing_is_said_of_a_certificate_in_date_of_whatever_authority(tmp_path: Path) -> None:
    good = settings(tmp_path, NOW - DAY, NOW + DAY)
    assert fault(good) is None
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    assert fault(good) is None


def test_nothing_is_said_without_a_certificate_or_of_a_broken_one(tmp_path: Path) -> None:
    assert fault(BrokerSettings(url="mqtts://broker")) is None
    broken = settings(tmp_path, NOW - DAY, NOW + DAY)
    (tmp_path / "device.pem").write_text("nothing")
    assert fault(broken) is None
