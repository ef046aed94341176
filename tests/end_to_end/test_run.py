"""``leuko-edge run`` as systemd would run it: a configuration, a broker, and a signal to stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.contract.bundle import file_entry, load_bundle
from edge_daemon.contract.messages import (
    Command,
    CommandReply,
    FrameResult,
    Health,
    ShadowReport,
    SlideSummary,
    Status,
)
from edge_daemon.contract.topics import topic_of
from edge_daemon.delivery.broker import free_port
from edge_daemon.delivery.link import open_link
from edge_daemon.delivery.parcel import Parcel
from edge_daemon.delivery.receiver import Received, Receiver, wait_until
from edge_daemon.delivery.settings import BrokerSettings
from tests.edge_daemon.scenes import frame
from tests.edge_daemon.service.client import ask
from tests.edge_daemon.sources.pictures import written
from tests.edge_daemon.sources.rtsp_camera import RtspCamera
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.mosquitto import Mosquitto

CONFIG = """
health_every_s = 0.2
[device]
site = "clinic-1"
name = "scope-2"
[source]
url = "{source}"
[models]
{models}
[broker]
url = "{broker}"
reconnect_min_s = 0.1
[slide]
name = "slide-7"
"""


class Heard:
    """Messages by type, in the order of arrival."""

    def __init__(self) -> None:
        self.all: list[object] = []

    def take(self, received: Received) -> None:
        self.all.append(received.message)

    def of(self, kind: type) -> list:
        return [message for message in self.all if isinstance(message, kind)]


@pytest.fixture
def clinic(mosquitto, tmp_path):
    heard = Heard()
    with Mosquitto(mosquitto, tmp_path / "broker") as broker:
        receiver = Receiver(BrokerSettings.from_url(broker.url), heard.take)
        receiver.start()
        with ExitStack() as daemons:
            bundle = write_tiny_bundle(tmp_path / "bundles")

            def run(
                source: str, more: str = "", chosen: str = f'bundle = "{bundle}"'
            ) -> subprocess.Popen[str]:
                config = tmp_path / "device.toml"
                text = CONFIG.format(source=source, models=chosen, broker=broker.url)
                config.write_text(text + more)
                command = [sys.executable, "-m", "edge_daemon.cli", "run", config]
                process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
                daemons.callback(process.kill)  # whatever a failed test leaves running
                return process

            yield heard, run
        receiver.stop()


def test_a_slide_from_birth_to_goodbye(clinic):
    heard, run = clinic
    process = run("sim://?seed=3&fields=12&fps=8")
    _, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert wait_until(lambda: [s.state for s in heard.of(Status)][-1:] == ["offline"], 10)
    assert [s.state for s in heard.of(Status)] == ["online", "offline"]
    frames = heard.of(FrameResult)
    assert [f.frame for f in frames] == list(range(12))
    assert {(f.site, f.device, f.slide) for f in frames} == {("clinic-1", "scope-2", "slide-7")}
    assert all(f.stage is not None and f.um_per_px_from == "configured" for f in frames)
    summary = heard.of(SlideSummary)[-1]
    assert summary.complete
    assert summary.frames.captured == 12
    health = heard.of(Health)
    assert health
    assert health[-1].frames.captured <= 12
    assert set(health[-1].latency) >= {"quality", "detect"}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_slide_in_good_order(clinic, how):
    heard, run = clinic
    process = run("sim://?seed=3&fields=300&fps=20")
    assert wait_until(lambda: len(heard.of(FrameResult)) >= 5, 60)
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert wait_until(lambda: any(s.ended_at for s in heard.of(SlideSummary)), 10)
    summary = heard.of(SlideSummary)[-1]
    assert not summary.complete
    assert summary.frames.captured == len(heard.of(FrameResult))
    assert wait_until(lambda: heard.of(Status)[-1].state == "offline", 10)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("camra://0", "sources of kind camra:// are unknown"),
        ("/no/such/field.png", "there is no such file or folder"),
        ("camera://usb3", "not an index, a path or serial/NUMBER"),
        ("rtsp://127.0.0.1/live#transprot=udp", "did you mean transport"),
    ],
)
def test_a_source_that_can_never_come_is_one_line(clinic, source, told):
    heard, run = clinic
    process = run(source)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 5
    assert told in said
    assert "Traceback" not in said
    assert heard.of(FrameResult) == []


class TestACameraThatIsAbsentAtTheStart:
    """The daemon stays up, says so everywhere, and screens once the camera is there."""

    SHOWN = "[http]\nenabled = true\nport = {port}\n[quality]\nmin_focus = 0.0\n"

    def waits(self, heard: Heard, page: str, words: str) -> None:
        assert wait_until(lambda: bool(heard.of(Status)), 60)
        first = heard.of(Status)[0]
        assert first.state == "degraded"
        assert words in first.reason
        ready = ask(page, "/readyz")
        assert ready.status == 503
        assert any(words in reason for reason in ready.json["reasons"])
        advice = ask(page, "/state").json["advice"]
        assert (advice["word"], advice["urgency"]) == ("Stop", "stop")
        assert words in advice["sentence"]
        assert ask(page, "/livez").status == 200
        assert heard.of(FrameResult) == []

    def screens(self, heard: Heard, page: str, process: subprocess.Popen[str], source: str) -> None:
        assert wait_until(lambda: len(heard.of(FrameResult)) >= 3, 60)
        assert wait_until(lambda: heard.of(Status)[-1].state == "online", 30)
        assert wait_until(lambda: ask(page, "/readyz").status == 200, 30)
        assert [frame.frame for frame in heard.of(FrameResult)][:3] == [0, 1, 2]
        assert not any(frame.source.startswith("sim") for frame in heard.of(FrameResult))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert heard.of(SlideSummary)[-1].camera.startswith(source)

    def test_a_network_camera_that_is_switched_on_later(self, clinic):
        heard, run = clinic
        port, at = free_port(), free_port()
        page = f"http://127.0.0.1:{port}"
        process = run(f"rtsp://127.0.0.1:{at}/live#open_timeout_s=20", self.SHOWN.format(port=port))
        self.waits(heard, page, "it is not there yet (the camera does not answer, or refuses")
        with RtspCamera(port=at):
            self.screens(heard, page, process, f"rtsp://127.0.0.1:{at}/live: 160 x 120")

    def test_a_folder_that_is_mounted_later(self, clinic, tmp_path):
        heard, run = clinic
        port = free_port()
        page = f"http://127.0.0.1:{port}"
        folder = tmp_path / "share" / "slide"
        process = run(f"watch://{folder}", self.SHOWN.format(port=port))
        self.waits(heard, page, "the folder cannot be listed")
        folder.mkdir(parents=True)
        for index in range(3):
            written(folder / f"{index}.png", frame(index).pixels)
        self.screens(heard, page, process, f"watch://{folder}")

    def test_a_stop_ends_the_wait(self, clinic):
        heard, run = clinic
        process = run("camera://serial/NOBODY")
        assert wait_until(lambda: bool(heard.of(Status)), 60)
        assert "camera with serial number 'NOBODY'" in heard.of(Status)[0].reason
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert wait_until(lambda: heard.of(Status)[-1].state == "offline", 10)


def test_killed_in_the_middle_the_slide_goes_on_with_its_counts(clinic):
    heard, run = clinic
    slide = "sim://?seed=3&fields=40&fps=20"
    process = run(slide)
    assert wait_until(lambda: len(heard.of(FrameResult)) >= 10, 60)
    process.kill()
    process.wait(timeout=30)
    process = run(slide)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert "slide slide-7 goes on where it was cut off" in said
    assert wait_until(lambda: any(s.complete for s in heard.of(SlideSummary)), 10)
    summary = heard.of(SlideSummary)[-1]
    assert (summary.slide, summary.frames.captured) == ("slide-7", 40)
    # What was on its way when the process was killed may have come twice, never not at all.
    frames = heard.of(FrameResult)
    assert {f.frame for f in frames} == set(range(40))
    assert len({f.boot_id for f in frames}) == 2
    assert len({(f.boot_id, f.seq) for f in frames}) == 40


def test_a_slide_begins_and_ends_by_command(clinic, tmp_path):
    heard, run = clinic
    run("sim://?seed=3&fields=400&fps=20", 'start = "on_command"\n')
    assert wait_until(lambda: bool(heard.of(Status)), 60)

    send = partial(asked, heard, tmp_path)
    assert heard.of(FrameResult) == []
    assert send("slide-start", slide="S-17", operator="op-1").ok
    assert wait_until(lambda: len(heard.of(FrameResult)) >= 5, 60)
    assert send("slide-pause").result["activity"] == "paused"
    assert not send("slide-start", slide="S-18").ok
    reply = send("slide-finish")
    assert reply.ok, reply.reason
    assert wait_until(lambda: any(s.complete for s in heard.of(SlideSummary)), 10)
    summary = heard.of(SlideSummary)[-1]
    assert (summary.slide, summary.operator, summary.completion) == ("S-17", "op-1", "finished")
    assert summary.frames.captured == len(heard.of(FrameResult))


def asked(heard: Heard, folder: Path, name: str, **args: object) -> CommandReply:
    """Send a command over MQTT and wait for its reply."""
    command = Command(
        site="clinic-1",
        device="scope-2",
        id=uuid.uuid4().hex,
        name=name,
        expires_at=datetime.now(timezone.utc) + timedelta(minutes=5),
        args=args,
    )
    broker = BrokerSettings.from_url(broker_of(folder))
    link = open_link(broker, f"central-{name}")
    link.publish(Parcel(topic_of(command), command.to_json(), boot_id="", seq=0))
    while not link.take_acknowledgements():
        link.pump(0.1)
    link.close()
    replied = wait_until(lambda: any(r.id == command.id for r in heard.of(CommandReply)), 120)
    assert replied, name
    return next(r for r in heard.of(CommandReply) if r.id == command.id)


def broker_of(folder: Path) -> str:
    (line,) = [
        line
        for line in (folder / "device.toml").read_text().splitlines()
        if line.startswith('url = "mqtt')
    ]
    return line.split('"')[1]


def test_a_bundle_is_staged_and_tried_and_kept_only_when_it_is_proven(clinic, tmp_path):
    heard, run = clinic
    send = partial(asked, heard, tmp_path)
    more = 'start = "on_command"\n[commands]\nallow = ["bundle-stage", "bundle-activate"]\n'
    good = write_tiny_bundle(tmp_path / "incoming", "0.2.0")
    lying = write_tiny_bundle(tmp_path / "incoming", "0.3.0")
    with np.load(lying / "golden.npz") as golden:
        answers = {name: golden[name] for name in golden.files}
    answers["classifier/logits"] = answers["classifier/logits"] + 7
    np.savez(lying / "golden.npz", **answers)
    manifest = json.loads((lying / "bundle.json").read_text())
    manifest["files"]["golden.npz"] = file_entry(lying / "golden.npz").model_dump()
    (lying / "bundle.json").write_text(json.dumps(manifest))

    def begin():
        boots = {status.boot_id for status in heard.of(Status)}
        process = run("sim://?seed=3&fields=400&fps=20", more, chosen='store = "kept"')
        assert wait_until(
            lambda: heard.of(Status) and heard.of(Status)[-1].boot_id not in boots, 60
        )
        return process

    process = begin()
    assert "is not staged" in (send("bundle-activate", bundle="tiny-0.2.0").reason or "")
    for folder in (good, lying):
        assert send("bundle-stage", path=str(folder)).ok
    reply = send("bundle-activate", bundle="tiny-0.2.0")
    assert reply.ok, reply.reason
    assert reply.bundle == reply.result["digest"] == load_bundle(good).digest
    refused = send("bundle-activate", bundle="tiny-0.3.0")
    assert "fails its golden set" in (refused.reason or "")
    assert refused.bundle == reply.bundle
    process.kill()
    process.wait(timeout=30)
    begin()
    assert heard.of(Status)[-1].bundle == reply.bundle


def test_a_candidate_looks_on_by_command_and_again_after_a_kill_until_it_is_active(
    clinic, tmp_path
):
    heard, run = clinic
    ask = partial(asked, heard, tmp_path)
    allowed = ["bundle-stage", "bundle-activate", "bundle-shadow", "slide-start", "slide-finish"]
    more = f'start = "on_command"\n[commands]\nallow = {[*allowed, "status"]}\n'
    candidate = write_tiny_bundle(tmp_path / "incoming", "0.2.0", novelty_limit=3.0)
    digest = load_bundle(candidate).digest

    def begin():
        boots = {status.boot_id for status in heard.of(Status)}
        process = run("sim://?seed=3&fields=400&fps=20", more, chosen='store = "kept"')
        assert wait_until(
            lambda: heard.of(Status) and heard.of(Status)[-1].boot_id not in boots, 60
        )
        return process

    process = begin()
    assert ask("bundle-stage", path=str(candidate)).ok
    reply = ask("bundle-shadow", bundle="tiny-0.2.0")
    assert reply.ok, reply.reason
    assert reply.result["shadow"]["digest"] == digest != reply.bundle
    assert ask("slide-start", slide="S-1").ok
    assert wait_until(lambda: len(heard.of(FrameResult)) >= 5, 60)
    assert "S-1 is under way" in (ask("bundle-shadow").reason or "")
    assert wait_until(lambda: bool(heard.of(ShadowReport)), 60)
    report = heard.of(ShadowReport)[-1]
    assert (report.slide, report.fault, report.frames.first) == ("S-1", None, 0)
    assert (report.candidate.digest, report.bundle) == (digest, reply.bundle)
    process.kill()
    process.wait(timeout=30)
    begin()
    assert wait_until(lambda: any(r.frames.first for r in heard.of(ShadowReport)), 60)
    assert ask("slide-finish").ok
    assert wait_until(lambda: any(r.completion for r in heard.of(ShadowReport)), 30)
    report = heard.of(ShadowReport)[-1]
    frames = report.frames
    summary = next(s for s in heard.of(SlideSummary) if s.complete)
    assert (report.slide, report.completion, report.candidate.digest) == ("S-1", "finished", digest)
    assert frames.compared + frames.skipped == frames.analysed
    assert 5 <= frames.first < summary.frames.captured
    rest = {f.frame: f.outcome for f in heard.of(FrameResult) if f.frame >= frames.first}
    assert frames.analysed == list(rest.values()).count("analysed"), "of the rest of the slide"
    assert ask("status").result["shadow"]["digest"] == digest
    reply = ask("bundle-activate", bundle="tiny-0.2.0")
    assert (reply.ok, reply.bundle) == (True, digest)
    assert ask("status").result["shadow"] is None
