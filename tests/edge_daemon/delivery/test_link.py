"""One connection: which protocol it speaks, and the one line for each way it can fail."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from edge_daemon.contract.messages import Crop
from edge_daemon.delivery.backoff import Backoff, Redial
from edge_daemon.delivery.link import check_broker, open_link
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError
from tests.edge_daemon.delivery.inbox import Inbox, brisk
from tests.edge_daemon.delivery.parcels import origin, put_crop, put_frames
from tests.edge_daemon.delivery.proxy import Proxy, chokes_on, knows_no_mqtt_5
from tests.mosquitto import Mosquitto


def test_a_broker_that_answers_is_described_in_one_line(mosquitto: Path, tmp_path: Path) -> None:
    with Mosquitto(mosquitto, tmp_path) as broker:
        line = check_broker(brisk(broker.url))
    assert line.startswith(f"broker {broker.url} answers with MQTT 5 in ")


@pytest.mark.parametrize("answer", [True, False], ids=["says so", "hangs up"])
def test_a_broker_of_mqtt_3_1_1_is_served_too(
    mosquitto: Path, tmp_path: Path, answer: bool
) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Proxy(broker.port, knows_no_mqtt_5(answer)) as old_broker,
        Inbox(brisk(old_broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(brisk(old_broker.url), outbox, sender) as publisher,
    ):
        assert "answers with MQTT 3.1.1" in check_broker(brisk(old_broker.url))
        put_frames(outbox, sender, 20)
        about = put_crop(outbox, sender, b"\xff\xd8 cell \xff\xd9")
        assert publisher.flush(10) == 0
        assert publisher.link.line.endswith("connected with MQTT 3.1.1")
        assert inbox.wait_for_frames(20)
        assert inbox.wait_for_crops(1)
    (crop,) = [r for r in inbox.received if r.jpeg]
    assert crop.jpeg == b"\xff\xd8 cell \xff\xd9"
    assert isinstance(crop.message, Crop)
    assert crop.message.model_copy(update={"historical": False}) == about
    assert (crop.topic.slide, crop.topic.item) == ("slide-7", "12")


def test_a_message_that_breaks_the_connection_does_not_block_the_others(
    mosquitto: Path, tmp_path: Path
) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Proxy(broker.port, chokes_on(b"field-0002.jpg")) as picky_broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(brisk(picky_broker.url), outbox, sender) as publisher,
    ):
        put_frames(outbox, sender, 8)
        assert publisher.flush(15) == 1
        assert "the connection breaks on it" in publisher.link.line
        assert inbox.wait_for_frames(7)
        assert sorted(inbox.frames) == [0, 1, 3, 4, 5, 6, 7]


def failure(settings: BrokerSettings) -> str:
    with pytest.raises(BrokerError) as caught:
        open_link(settings, "tester")
    line = str(caught.value)
    assert line.startswith(f"broker {settings.url}: ")
    assert "\n" not in line
    return line


def test_nobody_listening() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert "nothing listens there: start the broker" in failure(brisk(f"mqtt://127.0.0.1:{port}"))


def test_an_unknown_host() -> None:
    assert "host name is unknown" in failure(brisk("mqtt://broker.invalid"))


def test_a_port_that_stays_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        assert "no answer in 0.3 s" in failure(brisk(url, connect_timeout_s=0.3))


def test_wrong_credentials(mosquitto: Path, tmp_path: Path) -> None:
    with Mosquitto(mosquitto, tmp_path, extra="allow_anonymous false") as broker:
        line = failure(brisk(broker.url))
        assert "refused the connection (not authorized): check username" in line
        line = failure(brisk(broker.url.replace("//", "//scope:secret@")))
        assert "secret" not in line


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, and keys of a broker and of a device signed by it."""
    import trustme

    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, identity in (("broker", "127.0.0.1"), ("device", "scope-1")):
        issued = authority.issue_cert(identity, common_name=identity)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    return folder


def test_tls_with_client_certificates(mosquitto: Path, tmp_path: Path, certificates: Path) -> None:
    tls = (
        f"cafile {certificates}/ca.pem\ncertfile {certificates}/broker.pem\n"
        f"keyfile {certificates}/broker.key\nrequire_certificate true"
    )
    known = {
        "ca_file": certificates / "ca.pem",
        "cert_file": certificates / "device.pem",
        "key_file": certificates / "device.key",
    }
    sender = origin()
    with Mosquitto(mosquitto, tmp_path / "broker", extra=tls) as broker:
        url = broker.url.replace("mqtt://", "mqtts://")
        assert "answers with MQTT 5 over TLS" in check_broker(brisk(url, **known))
        with (
            Inbox(brisk(url, **known)) as inbox,
            Outbox(tmp_path / "outbox.db") as outbox,
            Publisher(brisk(url, **known), outbox, sender) as publisher,
        ):
            put_frames(outbox, sender, 100)
            assert publisher.flush(10) == 0
            assert inbox.wait_for_frames(100)
        assert "its certificate is not trusted" in failure(brisk(url))
        failure(brisk(url, ca_file=certificates / "ca.pem"))
        failure(brisk(broker.url, connect_timeout_s=1.0))
    with Mosquitto(mosquitto, tmp_path / "plain") as broker:
        url = broker.url.replace("mqtt://", "mqtts://")
        assert "does this port speak TLS" in failure(brisk(url, connect_timeout_s=1.0))
    with pytest.raises(BrokerError, match=r"TLS files of the broker .* cannot be used"):
        open_link(brisk(url, ca_file=tmp_path / "missing.pem"), "tester")


def test_waits_double_up_to_the_limit_and_never_all_at_once() -> None:
    settings = BrokerSettings(url="mqtt://broker", reconnect_min_s=1, reconnect_max_s=8)
    backoff = Backoff(settings)
    waits = [backoff.next_s() for _ in range(8)]
    for wait, longest in zip(waits, [1, 2, 4, 8, 8, 8, 8, 8], strict=True):
        assert longest / 2 <= wait <= longest
    assert len(set(waits[3:])) > 1
    backoff.reset()
    assert backoff.next_s() <= 1


def test_who_connects_again_tries_each_address_and_tells_each_cause_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    addresses = ["mqtt://a.example", "mqtt://b.example"]
    settings = BrokerSettings(
        url=addresses[0], other_urls=(addresses[1],), reconnect_min_s=0.05, reconnect_max_s=0.1
    )
    redial = Redial(settings, logging.getLogger("listener"), "nobody listens")
    assert redial.is_due

    tried = []
    for why in ("refused", "refused", "gone"):
        tried.append(redial.settings.url)
        redial.failed(why)
        assert not redial.is_due
    assert tried == [addresses[0], addresses[1], addresses[0]]
    assert [record.getMessage() for record in caplog.records] == [
        "refused; nobody listens meanwhile",
        "gone; nobody listens meanwhile",
    ]
    assert wait_until(lambda: redial.is_due, 5)

    redial.held()
    redial.failed("gone")
    assert caplog.records[-1].getMessage() == "gone; nobody listens meanwhile"
    assert len(caplog.records) == 3
