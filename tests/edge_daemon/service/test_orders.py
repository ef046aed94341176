"""What is desired, written down as it comes; whatever comes, the connection goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.delivery.link import Arrival
from edge_daemon.service.orders import MOST_BYTES, OrderFile


def arrival(payload: bytes) -> Arrival:
    return Arrival("leukoedge/v1/lab/scope-1/desired", payload, retained=True, about=None)


def test_an_order_is_written_down_byte_for_byte(tmp_path: Path) -> None:
    orders = OrderFile(tmp_path / "update" / "desired.json")

    for payload in (b'{"id": 1}', b'{"id": 2}', b'{"id": 2}'):
        orders.take(arrival(payload))
        assert orders.file.read_bytes() == payload


def test_an_order_that_is_taken_back_or_no_order_leaves_the_one_before(tmp_path: Path) -> None:
    orders = OrderFile(tmp_path / "desired.json")
    orders.take(arrival(b'{"id": 1}'))

    for payload in (b"", b"x" * (MOST_BYTES + 1)):
        orders.take(arrival(payload))

    assert orders.file.read_bytes() == b'{"id": 1}'


def test_a_disk_that_refuses_costs_the_order_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "update").write_text("a file where the folder should be")

    OrderFile(tmp_path / "update" / "desired.json").take(arrival(b'{"id": 1}'))

    assert "no update is taken" in caplog.text
