"""The HTTP interface, asked by real clients over real sockets."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edge_daemon.contract.messages import CommandReply, ShadowReport, parse_message
from edge_daemon.errors import LeukoError, ServiceError
from edge_daemon.http_settings import HttpSettings
from edge_daemon.service.host.readings import Readings
from edge_daemon.service.http.commands import MAX_BODY_BYTES
from edge_daemon.service.http.server import STOP_WITHIN_S, HttpServer
from edge_daemon.service.metrics import DeviceMetrics
from edge_daemon.vision.annotate import LABELS
from edge_daemon.vision.coverage import Coverage, SeenIsland
from tests.edge_daemon.contract.samples import ENVELOPE, SHADOW
from tests.edge_daemon.service.client import PATIENCE_S, Watcher, ask
from tests.edge_daemon.service.device import HEALTH, Device, running, white_cell

TOKEN = "a-token-" * 3
JSON = {"Content-Type": "application/json"}
READINGS = Readings({}, {}, (), {"over-current": 4}, None, None, HEALTH.clock)


class Desk:
    """Carries out commands as the daemon would."""

    def __init__(self) -> None:
        self.done: list[tuple[str, dict]] = []
        self.refuse: str | None = None

    def execute(self, command) -> CommandReply:
        if self.refuse == "error":
            raise LeukoError("no bundle of that name; stage it first")
        if self.refuse == "bug":
            raise ZeroDivisionError
        self.done.append((command.name, command.args))
        return CommandReply(
            **ENVELOPE,
            id=command.id,
            name=command.name,
            ok=self.refuse is None,
            reason=self.refuse,
            result={"slide": "slide-8"} if self.refuse is None else {},
        )


@pytest.fixture
def device():
    return Device()


@pytest.fixture
def desk():
    return Desk()


def serve(device: Device, desk: Desk | None = None, **settings: object) -> HttpServer:
    metrics = DeviceMetrics(device.view, device.view.frames, lambda: device.link, lambda: READINGS)
    return HttpServer(
        HttpSettings(enabled=True, port=0, **settings),
        device.view,
        site="lab",
        device="scope-1",
        metrics=metrics,
        execute=None if desk is None else desk.execute,
        clock=device.clock,
    )


@pytest.fixture
def server(device, desk):
    with serve(device, desk) as running_server:
        yield running_server


def wait_until(true, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


# --- is it well? --------------------------------------------------------------------------------


def test_live_while_the_loop_turns_and_not_when_it_hangs(server, device):
    device.ready()
    device.frame()
    assert ask(server.url, "/livez").json == {"live": True, "reasons": [], "notes": []}
    device.clock.now_s += 60.0
    answer = ask(server.url, "/livez")
    assert answer.status == 503
    assert answer.json["reasons"] == ["no progress for 60 s while screening slide-7"]


def test_ready_or_not_with_the_reasons(server, device):
    answer = ask(server.url, "/readyz")
    assert (answer.status, answer.json["reasons"]) == (503, ["the daemon is starting"])
    device.ready()
    assert ask(server.url, "/readyz").status == 200
    device.view.hold("control slide", "the control slide was not passed today")
    answer = ask(server.url, "/readyz")
    assert answer.status == 503
    assert answer.json["ready"] is False
    assert answer.json["reasons"] == ["the control slide was not passed today"]


def test_health_and_slide_are_the_messages_themselves_or_not_there_yet(server, device):
    assert ask(server.url, "/health").status == 404
    assert ask(server.url, "/slide").json == {"error": "no slide is being screened"}
    device.last_health = HEALTH
    device.view.on_summary(running())
    assert parse_message(ask(server.url, "/health").body) == HEALTH
    assert parse_message(ask(server.url, "/slide").body) == running()


def test_a_candidate_shows_in_its_report_in_a_note_and_in_metrics(server, device):
    device.ready()
    assert ask(server.url, "/shadow").json == {"error": "no candidate looks on at a slide"}
    assert "leukoedge_shadow" not in ask(server.url, "/metrics").body.decode()
    report = ShadowReport(**SHADOW)
    device.view.on_shadow(report)
    device.view.note("shadow", "leukoedge-0.7.0 is in shadow")
    assert parse_message(ask(server.url, "/shadow").body) == report
    answer = ask(server.url, "/readyz")
    assert (answer.status, answer.json["notes"]) == (200, ["leukoedge-0.7.0 is in shadow"])
    families = text_string_to_metric_families(ask(server.url, "/metrics").body.decode())
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("leukoedge_shadow")
    }
    assert samples["leukoedge_shadow_looks_on", report.candidate.digest, "leukoedge-0.7.0"] == 1
    assert samples["leukoedge_shadow_frames", "compared"] == 6
    assert samples["leukoedge_shadow_frames", "skipped"] == 2
    assert samples["leukoedge_shadow_frames", "waiting"] == 0
    cells = {key[1:]: n for key, n in samples.items() if key[0] == "leukoedge_shadow_cells"}
    assert cells["blast", "blast"] == 9
    assert cells["normal", "blast"] == cells["blast", "none"] == 1
    assert cells["none", "normal"] == 2
    assert sum(cells.values()) == 40
    assert samples["leukoedge_shadow_agreement_ratio",] == 36 / 37
    device.view.slide_started()
    assert ask(server.url, "/shadow").status == 404, "of the slide before, not of this one"
    device.view.note("shadow", None)
    assert ask(server.url, "/readyz").json["notes"] == []


def test_metrics_are_what_prometheus_reads(server, device):
    device.ready()
    device.last_health = HEALTH
    device.view.on_summary(running())
    device.frame(white_cell(1), timings_ms={"detect": 12.0})
    device.frame(outcome="rejected", reason="empty field: x: move on", timings_ms={"quality": 3.0})
    for number in range(30):
        device.frame(outcome="dropped", reason=f"cause {number}")
    answer = ask(server.url, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(answer.body.decode()))
    assert all(family.name.startswith("leukoedge_") for family in families)
    assert all(family.documentation for family in families)
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }
    assert found["leukoedge_frames_total", "analysed"] == 1
    assert found["leukoedge_frames_total", "dropped"] == 30
    assert found["leukoedge_frames_dropped_total", "cause 0"] == 1
    assert found["leukoedge_frames_dropped_total", "other"] == 10
    assert found["leukoedge_frame_latency_seconds_sum", "detect"] == pytest.approx(
        0.012 + 30 * 0.012
    )
    assert found["leukoedge_frame_latency_seconds_count", "glass_to_outbox"] == 32
    assert found["leukoedge_slide_nucleated_cells", "blast"] == 10
    assert found["leukoedge_slide_nucleated_cells", "normal"] == 28
    assert found["leukoedge_broker_connected",] == 1
    assert found["leukoedge_outbox_messages",] == 3
    assert found["leukoedge_temperature_celsius", "gpu"] == 51.5
    assert found["leukoedge_power_watts", "VDD_IN"] == 9.4
    assert found["leukoedge_throttled",] == 1
    assert found["leukoedge_throttle_events_total", "over-current"] == 4
    assert found["leukoedge_clock_synchronised",] == 1
    assert found["leukoedge_uptime_seconds",] == 60
    assert (found["leukoedge_live",], found["leukoedge_ready",]) == (1, 1)
    assert any(name[0] == "leukoedge_build_info" for name in found)


def test_what_is_not_known_is_left_out_of_the_metrics(server, device):
    body = ask(server.url, "/metrics").body.decode()
    assert "leukoedge_clock_synchronised" not in body
    assert "leukoedge_slide_unique_cells" not in body
    assert "leukoedge_ready 0.0" in body


# --- the operator's picture ---------------------------------------------------------------------


def decoded(jpeg: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def test_one_picture_shows_the_newest_frame_with_its_cells(server, device):
    device.ready()
    assert ask(server.url, "/preview.jpg").status == 404
    device.frame(white_cell(1, "blast"))
    answer = ask(server.url, "/preview.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    picture = decoded(answer.body)
    assert picture.shape == (480, 640, 3)
    assert np.abs(picture[140, 101].astype(int) - LABELS["blast"]).max() < 60


def test_a_large_frame_is_shown_at_the_size_of_a_screen(server, device):
    device.frame(size=(1500, 2000))
    assert decoded(ask(server.url, "/preview.jpg").body).shape == (960, 1280, 3)


def test_a_stream_shows_each_new_frame_to_a_client_that_then_goes_away(server, device):
    device.ready()
    with Watcher(server.url) as watcher:
        assert watcher.kind == "multipart/x-mixed-replace; boundary=leukoedge-frame"
        assert decoded(watcher.picture()).mean() < 60  # dark, until there is a frame
        for grey in (100, 160, 220):
            device.frame(grey=grey)
            pictures = (decoded(watcher.picture()) for _ in range(100))  # one may be repeated
            assert any(abs(float(np.median(picture)) - grey) < 4 for picture in pictures)
    encoded = server.preview.encoded
    for _ in range(20):
        device.frame()
    assert ask(server.url, "/livez").status == 200
    # The stream notices that nobody is there at its next picture, at the latest.
    wait_until(lambda: _stays(lambda: server.preview.encoded), "nobody encodes any more")
    assert server.preview.encoded <= encoded + 2


def _stays(value) -> bool:
    before = value()
    time.sleep(0.3)  # three pictures' time: nothing can tell that something does not happen
    return value() == before


def test_nothing_is_encoded_while_nobody_watches_and_once_for_many_who_do(server, device):
    device.ready()
    for _ in range(50):
        device.frame()
    assert server.preview.encoded == 0
    with Watcher(server.url) as first, Watcher(server.url) as second, Watcher(server.url) as third:
        pictures = {watcher.picture() for watcher in (first, second, third)}
        assert len(pictures) == 1
        assert server.preview.encoded == 1


def test_a_watcher_that_does_not_read_holds_nobody_up(server, device):
    device.ready()
    device.frame()
    with Watcher(server.url), Watcher(server.url) as reading:
        reading.picture()
        for grey in range(100, 200, 10):
            device.frame(grey=grey, size=(960, 1280))
        assert ask(server.url, "/livez").status == 200
        assert any(decoded(reading.picture()).shape == (960, 1280, 3) for _ in range(100))


def test_a_picture_that_stays_is_sent_again_and_not_encoded_again(server, device):
    device.ready()
    device.frame()
    with Watcher(server.url) as watcher:
        assert watcher.picture() == watcher.picture()
    assert server.preview.encoded == 1


def test_a_picture_that_stands_still_says_so(server, device):
    device.ready()
    device.frame()
    fresh = decoded(ask(server.url, "/preview.jpg").body)
    device.clock.now_s += 5.0
    stale = decoded(ask(server.url, "/preview.jpg").body)
    assert (np.abs(fresh[440:].astype(int) - stale[440:]) > 60).any()


def test_the_page_needs_nothing_from_elsewhere_and_runs_only_its_own_script(server):
    answer = ask(server.url, "/")
    text = answer.body.decode()
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.search(r"""(src|href)=["'](?!data:)|https?://|@import|url\(""", text)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_the_state_is_all_that_the_page_shows(server, device):
    island = SeenIsland(frozenset({(3, 2), (4, 2), (4, 3)}), ((3.5, 2.5, "blast"),))
    device.view.slide_started(lambda: Coverage((island,), (0, (4.0, 2.0, 5.0, 4.0))))
    ask(server.url, "/state")  # somebody looks
    device.progress.ready("screening slide-7")
    device.frame(white_cell(1))
    device.view.on_summary(running())
    state = ask(server.url, "/state").json
    assert state["advice"] == {
        "word": "60 more cells",
        "sentence": "An answer needs 100 nucleated cells.",
        "urgency": "go on",
    }
    assert state["slide"]["blasts"] == 10
    assert state["slide"]["fraction"]["high"] == 0.412
    assert state["map"] == [
        {
            "rows": ["11", "01"],
            "cells": [[0.5, 0.5, "blast"]],
            "here": [1.0, 0.0, 1.0, 2.0],
        }
    ]


# --- commands -----------------------------------------------------------------------------------


def test_a_command_is_carried_out_and_answered(server, desk):
    body = json.dumps({"slide": "slide-8"})
    answer = ask(server.url, "/commands/slide-start", "POST", body, JSON)
    assert answer.status == 200
    reply = parse_message(answer.body)
    assert isinstance(reply, CommandReply)
    assert (reply.ok, reply.result) == (True, {"slide": "slide-8"})
    assert desk.done == [("slide-start", {"slide": "slide-8"})]


def test_a_command_without_arguments_needs_no_body_and_may_name_itself(server, desk):
    headers = {**JSON, "Idempotency-Key": "cd" * 16}
    answer = ask(server.url, "/commands/slide-finish", "POST", None, headers)
    assert answer.json["id"] == "cd" * 16
    assert desk.done == [("slide-finish", {})]


def test_what_is_not_carried_out_says_why(server, desk):
    desk.refuse = "a slide is being screened"
    answer = ask(server.url, "/commands/slide-start", "POST", "{}", JSON)
    assert (answer.status, answer.json["reason"]) == (409, "a slide is being screened")
    desk.refuse = "error"
    answer = ask(server.url, "/commands/slide-start", "POST", "{}", JSON)
    assert (answer.status, answer.json["error"]) == (409, "no bundle of that name; stage it first")
    desk.refuse = "bug"
    answer = ask(server.url, "/commands/slide-start", "POST", "{}", JSON)
    assert (answer.status, answer.json["error"]) == (500, "the command failed: ZeroDivisionError")


def test_a_daemon_without_commands_says_so(device):
    with serve(device) as server:
        answer = ask(server.url, "/commands/slide-start", "POST", "{}", JSON)
    assert (answer.status, answer.json["error"]) == (503, "this daemon takes no commands")


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "told"),
    [
        ("/commands/format-disk", "{}", JSON, 404, "unknown command; known are slide-start"),
        ("/commands/slide-start", "{}", {}, 415, "application/json"),
        ("/commands/slide-start", "{}", {"Content-Type": "text/plain"}, 415, "application/json"),
        ("/commands/slide-start", "{", JSON, 400, "no JSON object of arguments"),
        ("/commands/slide-start", "[]", JSON, 400, "should be an object"),
        ("/commands/slide-start", "[" * 60_000, JSON, 400, "no JSON object of arguments"),
        ("/commands/slide-start", '{"a": NaN}', JSON, 400, "no JSON object of arguments"),
        ("/commands/slide-start", b"\xff\xfe", JSON, 400, "no JSON object of arguments"),
        ("/commands/slide-start", "{}", {**JSON, "Idempotency-Key": "1"}, 400, "32 hexadecimal"),
        ("/commands/slide-start", "x" * (MAX_BODY_BYTES + 1), JSON, 413, "over 65536 bytes"),
    ],
)
def test_what_is_wrong_with_a_command_is_told_in_a_line(
    server, desk, path, body, headers, status, told
):
    answer = ask(server.url, path, "POST", body, headers)
    assert answer.status == status
    assert told in answer.json["error"]
    assert "\n" not in answer.json["error"]
    assert desk.done == []


def test_a_body_without_a_length_is_read_to_the_limit_and_no_further(server, desk):
    parts = iter([b"x" * 4096] * 100)
    headers = {**JSON, "Transfer-Encoding": "chunked"}
    try:
        answer = ask(server.url, "/commands/slide-start", "POST", parts, headers, chunked=True)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server hung up on what it will not read
    else:
        assert answer.status == 413
    assert desk.done == []
    assert ask(server.url, "/livez").status == 200  # and it answers others as before


def test_a_body_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr("edge_daemon.service.http.commands.BODY_WITHIN_S", 0.1)
    where = server.url.removeprefix("http://")
    host, _, port = where.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(
            f"POST /commands/slide-start HTTP/1.1\r\nHost: {where}\r\n"
            "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{".encode()
        )
        assert b" 408 " in connection.recv(4096)


@given(
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode())
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_is_a_command_or_refused_with_a_reason(server, desk, body):
    desk.done.clear()
    answer = ask(server.url, "/commands/slide-start", "POST", body, JSON)
    if answer.status == 200:
        assert isinstance(parse_message(answer.body), CommandReply)
        assert desk.done[0][1] == (json.loads(body) if body else {})
    else:
        assert answer.status == 400
        assert answer.json["error"]
        assert desk.done == []


@pytest.mark.parametrize("junk", [b"\x00\xff\x00\n\n", b"GET / HTTP/9\r\n\r\n", b"A" * 100_000])
def test_what_is_no_http_ends_that_connection_and_nothing_else(server, device, junk):
    device.ready()
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        try:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        except OSError:
            pass
    assert ask(server.url, "/livez").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/livez", 405), ("GET", "/commands/slide-start", 405)],
)
def test_other_addresses_and_methods_are_refused(server, method, path, status):
    assert ask(server.url, path, method).status == status


# --- who may ask --------------------------------------------------------------------------------

PATHS = ("/", "/state", "/livez", "/readyz", "/health", "/slide", "/metrics", "/preview.jpg")


@pytest.mark.parametrize("path", [*PATHS, "/preview", "/nothing"])
def test_with_a_token_nobody_is_answered_without_it(device, path):
    with serve(device, token=TOKEN) as server:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": "Bearer \xff"},
        ):
            answer = ask(server.url, path, headers=headers)
            assert answer.status == 401
            assert "token" in answer.json["error"]
        assert ask(server.url, f"{path}?token=wrong").status == 401


def test_the_token_opens_by_header_and_by_address(device, desk):
    device.ready()
    device.frame()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with serve(device, desk, token=TOKEN) as server:
        for path in PATHS:
            assert ask(server.url, path, headers=bearer).status != 401
            assert ask(server.url, f"{path}?token={TOKEN}").status != 401
        with Watcher(server.url, f"/preview?token={TOKEN}") as watcher:
            assert watcher.picture()
        answer = ask(server.url, "/commands/slide-finish", "POST", "{}", JSON)
        assert (answer.status, desk.done) == (401, [])
        answer = ask(server.url, "/commands/slide-finish", "POST", "{}", {**JSON, **bearer})
        assert answer.status == 200


def test_no_token_is_logged(device, caplog):
    caplog.set_level(logging.DEBUG)
    with serve(device, token=TOKEN) as server:
        ask(server.url, f"/livez?token={TOKEN}")
        ask(server.url, "/livez", headers={"Authorization": f"Bearer {TOKEN}"})
        ask(server.url, f"/nothing?token={TOKEN}")
        assert TOKEN not in server.url
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8787"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Host": "[", "Origin": "http://["},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_without_a_token_pages_of_elsewhere_can_neither_read_nor_command(server, desk, headers):
    answer = ask(server.url, "/state", headers=headers)
    assert answer.status in (400, 403)
    answer = ask(server.url, "/commands/slide-finish", "POST", "{}", {**JSON, **headers})
    assert answer.status in (400, 403)
    assert desk.done == []


def test_its_own_page_may_command(server, desk):
    answer = ask(server.url, "/commands/slide-finish", "POST", "{}", {**JSON, "Origin": server.url})
    assert answer.status == 200


# --- start and stop -----------------------------------------------------------------------------


def test_a_port_that_is_taken_is_one_line(device, server):
    port = int(server.url.rpartition(":")[2])
    settings = HttpSettings(enabled=True, port=port)
    with (
        pytest.raises(ServiceError, match=rf"http.port {port}: .*choose another port") as error,
        HttpServer(settings, device.view, site="lab", device="scope-1"),
    ):
        pass
    assert "\n" not in str(error.value)


def test_an_address_that_is_not_this_machines_is_one_line(device):
    settings = HttpSettings(enabled=True, host="192.0.2.1", port=0, token=TOKEN)
    with (
        pytest.raises(ServiceError, match=r"http.host '192.0.2.1'"),
        HttpServer(settings, device.view, site="lab", device="scope-1"),
    ):
        pass


def test_it_stops_in_time_although_streams_are_open_and_some_do_not_read(device):
    device.ready()
    with serve(device) as server:
        url = server.url
        with Watcher(url) as reading, Watcher(url), Watcher(url):
            for _ in range(8):  # some MB to those who do not read: more than sockets hold
                device.frame(noise=True)
                reading.picture()
            began = time.monotonic()
            server.__exit__(None, None, None)
            assert time.monotonic() - began <= STOP_WITHIN_S + 0.5
    with pytest.raises(OSError, match="refused"):
        ask(url, "/livez")


def test_many_ask_at_once(server, device):
    device.ready()
    device.frame(white_cell(1))
    paths = ["/state", "/metrics", "/preview.jpg", "/livez"] * 25
    with ThreadPoolExecutor(8) as clients:
        statuses = set(clients.map(lambda path: ask(server.url, path).status, paths))
    assert statuses == {200}
