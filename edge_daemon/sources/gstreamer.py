"""GStreamer pipelines and the CSI cameras of a Jetson, through OpenCV.

``gst://v4l2src device=/dev/video0 ! video/x-raw,width=1920 ! videoconvert`` is a pipeline as
``gst-launch-1.0`` takes it, without its end: what hands the pictures over is added. Settings stand
behind ``#``, because a pipeline may hold any other sign: ``gst://...#frame_timeout_s=3``.

``csi://0?width=1920&height=1080&fps=30`` builds the pipeline of JetPack's ``nvarguscamerasrc``,
with exposure, gain and white balance fixed where they are given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Literal
from urllib.parse import unquote

import cv2
from pydantic import Field

from edge_daemon.errors import AbsentSourceError, SourceError
from edge_daemon.sources.address import settings_from
from edge_daemon.sources.backpressure import BackPressure
from edge_daemon.sources.base import Source
from edge_daemon.sources.capture import Capture, OpenCapture, OpenCvDevice, size_and_rate
from edge_daemon.sources.device import Device, LiveSettings
from edge_daemon.sources.live import LiveCamera
from edge_daemon.sources.quiet_opencv import quiet_opencv
from edge_daemon.sources.request import SourceRequest

_TO_BGR = "videoconvert ! video/x-raw,format=BGR"
_NS_PER_US = 1000

WhiteBalance = Literal["off", "auto", "incandescent", "fluorescent", "warm-fluorescent", "daylight"]
_WHITE_BALANCE_MODES: dict[str, int] = {
    "off": 0, "auto": 1, "incandescent": 2, "fluorescent": 3, "warm-fluorescent": 4, "daylight": 5,
}  # fmt: skip
"""``wbmode`` of nvarguscamerasrc."""


class CsiSettings(LiveSettings):
    """How to run a CSI camera. What is None is left to the camera."""

    width: int = Field(default=1920, ge=16)
    height: int = Field(default=1080, ge=16)
    fps: int = Field(default=30, ge=1)
    exposure_us: float | None = Field(default=None, gt=0, description="fixed, in microseconds")
    gain: float | None = Field(default=None, ge=1, description="fixed, analogue, 1 is none")
    white_balance: WhiteBalance = "auto"
    flip: int = Field(default=0, ge=0, le=7, description="flip-method of nvvidconv")


def open_gstreamer(request: SourceRequest, open_capture: OpenCapture | None = None) -> Source:
    """The source of ``gst://PIPELINE#settings``.

    Raises:
        SourceError: there is no pipeline, or a setting is unknown.
    """
    pipeline, _, query = request.rest.partition("#")
    pipeline = unquote(pipeline).strip().rstrip("!").strip()
    if not pipeline:
        raise SourceError(
            "gst://: the pipeline is missing: write gst://videotestsrc ! videoconvert"
        )
    name = f"gst://{pipeline.split(maxsplit=1)[0]}"
    settings = settings_from(LiveSettings, query, name)
    if "appsink" not in pipeline:
        pipeline = f"{pipeline} ! {_TO_BGR} ! {_sink(settings)}"
    return _source(name, pipeline, settings, [], request, open_capture)


def open_csi(request: SourceRequest, open_capture: OpenCapture | None = None) -> Source:
    """The source of ``csi://SENSOR?settings``.

    Raises:
        SourceError: the sensor is no number, or a setting is unknown or out of range.
    """
    sensor, _, query = request.rest.partition("?")
    if not sensor.isdecimal():
        raise SourceError(f"{request.address}: name the sensor by its number, as in csi://0")
    settings = settings_from(CsiSettings, query, request.address)
    name = f"csi://{int(sensor)}"
    fixed = [
        *([f"exposure {settings.exposure_us:g} us"] if settings.exposure_us else []),
        *([f"gain {settings.gain:g}"] if settings.gain else []),
        f"white balance {settings.white_balance}",
    ]
    pipeline = csi_pipeline(int(sensor), settings)
    return _source(name, pipeline, settings, fixed, request, open_capture)


def csi_pipeline(sensor: int, settings: CsiSettings) -> str:
    """The pipeline of JetPack for one sensor: Argus, a conversion on the GPU, BGR.

    A fixed value is given as a range of one value, and then the automatic is locked (``aelock``).
    """
    source = f"nvarguscamerasrc sensor-id={sensor}"
    if settings.exposure_us is not None:
        exposure_ns = round(settings.exposure_us * _NS_PER_US)
        source += f' exposuretimerange="{exposure_ns} {exposure_ns}"'
    if settings.gain is not None:
        source += f' gainrange="{settings.gain:g} {settings.gain:g}" ispdigitalgainrange="1 1"'
    if settings.exposure_us is not None and settings.gain is not None:
        source += " aelock=true"
    source += f" wbmode={_WHITE_BALANCE_MODES[settings.white_balance]}"
    size = f"width={settings.width},height={settings.height}"
    return " ! ".join(
        (
            source,
            f"video/x-raw(memory:NVMM),{size},framerate={settings.fps}/1",
            f"nvvidconv flip-method={settings.flip}",
            "video/x-raw,format=BGRx",
            _TO_BGR,
            _sink(settings),
        )
    )


def _sink(settings: LiveSettings) -> str:
    newest = settings.back_pressure is BackPressure.LATEST
    return f"appsink drop={str(newest).lower()} max-buffers=2 sync=false"


def _source(
    name: str,
    pipeline: str,
    settings: LiveSettings,
    fixed: list[str],
    request: SourceRequest,
    open_capture: OpenCapture | None,
) -> Source:
    fps = float(settings.fps) if isinstance(settings, CsiSettings) else None
    return LiveCamera(
        name,
        lambda: _open(name, pipeline, fixed, fps, open_capture),
        settings,
        um_per_px=request.um_per_px,
        stop=request.stop,
        on_event=request.on_event,
        may_come_later=request.may_come_later,
    )


def _open(
    name: str, pipeline: str, fixed: list[str], fps: float | None, open_capture: OpenCapture | None
) -> Device:
    quiet_opencv()
    if open_capture is None and not has_gstreamer():
        raise SourceError(
            f"{name}: this OpenCV is built without GStreamer, as all from PyPI are: on a Jetson, "
            "make the environment with --system-site-packages and pip uninstall opencv-python "
            "opencv-python-headless, so that JetPack's OpenCV is used"
        )
    capture = (open_capture or _open_pipeline)(pipeline)
    if not capture.isOpened():
        capture.release()
        raise AbsentSourceError(
            f"{name}: GStreamer cannot run this pipeline: try it as gst-launch-1.0 -v "
            f"{_without_secrets(pipeline)}"
        )
    told_fps = capture.get(cv2.CAP_PROP_FPS)
    return OpenCvDevice(
        capture,
        ", ".join([*size_and_rate(capture), *fixed]),
        fps=fps or (told_fps if 0 < told_fps < 1000 else None),
    )


def _open_pipeline(pipeline: str) -> Capture:
    return cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)


def _without_secrets(pipeline: str) -> str:
    shown = re.sub(r"://[^/@\s]*@", "://***@", pipeline.replace("appsink", "fakesink"))
    return re.sub(r"\b(user-id|user-pw|passw\w*)=(\"[^\"]*\"|\S+)", r"\1=***", shown)


@cache
def has_gstreamer(build_information: Callable[[], str] = cv2.getBuildInformation) -> bool:
    """Whether this OpenCV can run GStreamer pipelines, by what it says of itself."""
    lines = [line.split(":") for line in build_information().splitlines() if "GStreamer" in line]
    return any(line[-1].strip().startswith("YES") for line in lines)
