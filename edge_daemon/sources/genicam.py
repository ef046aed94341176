"""GigE Vision and USB3 Vision cameras (GenICam), through the library ``harvesters``.

``genicam://SERIAL?cti=/opt/maker/producer.cti&exposure_us=8000&gain=1.5``. The producer (``.cti``)
is the camera maker's transport layer; the library is the extra ``leukoedge[genicam]`` and is
imported only here. Names of features are those of the GenICam Standard Features Naming Convention.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge_daemon.errors import AbsentSourceError, SourceError
from edge_daemon.sources.address import settings_from
from edge_daemon.sources.base import Pixels, Source
from edge_daemon.sources.device import Device, LiveSettings, Shot
from edge_daemon.sources.live import LiveCamera
from edge_daemon.sources.request import SourceRequest

_NS_PER_MS = 1e6
_TOLERANCE = 0.1
_TIMEOUT = "TimeoutException"
"""Of the package genicam, by name: it is there only where the library is."""
# GenICam names a Bayer pattern by its first two pixels, OpenCV by two in the second row.
_TO_RGB: dict[str, int | None] = {
    "RGB8": None,
    "BGR8": cv2.COLOR_BGR2RGB,
    "RGBa8": cv2.COLOR_RGBA2RGB,
    "BGRa8": cv2.COLOR_BGRA2RGB,
    "Mono8": cv2.COLOR_GRAY2RGB,
    "BayerRG8": cv2.COLOR_BayerBG2RGB,
    "BayerBG8": cv2.COLOR_BayerRG2RGB,
    "BayerGR8": cv2.COLOR_BayerGB2RGB,
    "BayerGB8": cv2.COLOR_BayerGR2RGB,
}
_CHANNELS = {"RGB8": 3, "BGR8": 3, "RGBa8": 4, "BGRa8": 4}


class GenicamSettings(LiveSettings):
    """How to run a GenICam camera. What is None is left as the camera has it."""

    cti: str = Field(min_length=1, description="path of the maker's producer")
    width: int | None = Field(default=None, ge=16)
    height: int | None = Field(default=None, ge=16)
    fps: float | None = Field(default=None, gt=0)
    pixel_format: str | None = Field(default=None, description="such as RGB8, BayerRG8")
    exposure_us: float | None = Field(default=None, gt=0, description="fixed, in microseconds")
    gain: float | None = Field(default=None, ge=0, description="fixed, in the camera's unit (dB)")
    red_gain: float | None = Field(default=None, gt=0, description="fixed white balance")
    blue_gain: float | None = Field(default=None, gt=0, description="fixed white balance")


class Harvester(Protocol):
    """The part of ``harvesters.core.Harvester`` that is used."""

    @property
    def device_info_list(self) -> Any: ...  # noqa: D102

    def add_file(self, file_path: str, check_existence: bool, check_validity: bool) -> None: ...  # noqa: D102

    def update(self) -> None: ...  # noqa: D102

    def create(self, search_key: Any) -> Any: ...  # noqa: D102

    def reset(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Library:
    """The seam to ``harvesters.core``: its two classes that are used."""

    new_harvester: Callable[[], Harvester]
    callback: Any


def open_genicam(request: SourceRequest, library: Library | None = None) -> Source:
    """The source of ``genicam://SERIAL?cti=...``.

    Raises:
        SourceError: no serial number, no producer, or a setting is unknown.
    """
    serial, _, query = request.rest.partition("?")
    serial = unquote(serial)
    name = f"genicam://{serial}"
    if not serial:
        raise SourceError(
            "genicam://: name the camera by its serial number: genicam://SERIAL?cti=..."
        )
    settings = settings_from(GenicamSettings, query, name)
    return LiveCamera(
        name,
        lambda: GenicamDevice(name, serial, settings, library or load_library()),
        settings,
        um_per_px=request.um_per_px,
        stop=request.stop,
        on_event=request.on_event,
        may_come_later=request.may_come_later,
    )


def load_library() -> Library:
    """``harvesters``, which is imported nowhere else.

    Raises:
        SourceError: it is not installed.
    """
    try:
        from harvesters.core import Callback, Harvester
    except ImportError as error:
        raise SourceError(
            f"genicam:// needs the library harvesters ({error}): pip install 'leukoedge[genicam]'"
        ) from None
    # It logs what it raises, with a traceback: the operator gets one line from us instead.
    logging.getLogger("harvesters.core").setLevel(logging.CRITICAL)
    return Library(Harvester, Callback)


def _counter(callback: Any) -> Any:
    """Counts the pictures that the library let go. It calls nothing but its own base class."""

    class Incomplete(callback):  # type: ignore[misc]
        count = 0

        def emit(self, context: object = None) -> None:  # noqa: ARG002 the library's signature
            self.count += 1

    return Incomplete()


class GenicamDevice(Device):
    """One open camera. Its harvester is its own: a producer that hung is dropped with it."""

    def __init__(self, name: str, serial: str, settings: GenicamSettings, library: Library) -> None:
        """Open the camera with this serial number, set it up and start it.

        Raises:
            SourceError: the producer or camera is absent, or a setting is not taken.
        """
        self._name = name
        # Before the watch takes it for hung; cameras take their time for the first picture.
        self._timeout_s = 0.9 * settings.first_frame_timeout_s
        self._next_timeout_s = 0.9 * settings.frame_timeout_s
        self._harvester = library.new_harvester()
        self._camera: Any = None
        self._fps = settings.fps
        self._incomplete = _counter(library.callback)
        try:
            self._camera = self._find(serial, settings.cti)
            words = self._set_up(settings)
            # The library throws incomplete pictures away; the ledger must know of each.
            self._camera.add_callback(self._camera.Events.INCOMPLETE_BUFFER, self._incomplete)
            self._camera.start()
        except BaseException:
            self.close()
            raise
        self._description = ", ".join(words)

    @property
    def description(self) -> str:
        """Size, format and fixed settings, as the camera has them."""
        return self._description

    @property
    def fps(self) -> float | None:
        """Pictures per second that were asked for."""
        return self._fps

    def read(self) -> Shot:
        """The next picture, or what is wrong with it.

        Raises:
            SourceError: nothing came in time.
        """
        if self._incomplete.count:
            self._incomplete.count -= 1
            return Shot(None, "a picture came incomplete (torn): check cable and network")
        try:
            buffer = self._camera.fetch(timeout=self._timeout_s)
        except Exception as error:
            if type(error).__name__ == _TIMEOUT:
                raise SourceError(
                    f"no frame for {self._timeout_s:g} s, the camera has stopped"
                ) from None
            raise
        self._timeout_s = self._next_timeout_s
        if buffer is None:
            return Shot(None, "a picture came without its data (torn): check cable and network")
        with buffer:
            components = buffer.payload.components
            if not components:
                return Shot(None, "the camera sent no picture: set pixel_format")
            return self._shot(components[0], _driver_ms(buffer))

    def is_plugged_in(self) -> bool:
        """Nobody can tell without asking the producer, which may hang."""
        return True

    def close(self) -> None:
        """Stop the camera and let the producer go."""
        try:
            if self._camera is not None:
                self._camera.stop()
                self._camera.destroy()
        finally:
            self._harvester.reset()

    def _find(self, serial: str, cti: str) -> Any:
        if not Path(cti).is_file():
            raise SourceError(f"{self._name}: there is no producer {cti}: give cti=/path/to/it.cti")
        try:
            self._harvester.add_file(cti, check_existence=True, check_validity=True)
            self._harvester.update()
        except Exception as error:  # noqa: BLE001 genicam's exceptions exist only where it does
            raise SourceError(
                f"{self._name}: the producer {cti} does not work ({_text(error)}): install the "
                "camera maker's for this machine"
            ) from None
        found = [info.serial_number for info in self._harvester.device_info_list]
        if serial not in found:
            there = f"connected are {', '.join(map(str, found))}" if found else "none is connected"
            raise AbsentSourceError(f"{self._name}: no camera with this serial number: {there}")
        return self._harvester.create({"serial_number": serial})

    def _set_up(self, wanted: GenicamSettings) -> list[str]:
        numbers = (
            ("Width", None, wanted.width, "width"),
            ("Height", None, wanted.height, "height"),
            ("ExposureTime", "ExposureAuto", wanted.exposure_us, "exposure_us"),
            ("Gain", "GainAuto", wanted.gain, "gain"),
        )
        if wanted.pixel_format is not None:
            self._choose("PixelFormat", wanted.pixel_format, "pixel_format")
        if wanted.fps is not None:
            # Some cameras have no switch for it; then the rate is always fixed.
            if self._node("AcquisitionFrameRateEnable") is not None:
                self._node("AcquisitionFrameRateEnable").value = True
            self._fix("AcquisitionFrameRate", None, wanted.fps, "fps")
        for feature, automatic, value, setting in numbers:
            if value is not None:
                self._fix(feature, automatic, value, setting)
        for colour, value in (("Red", wanted.red_gain), ("Blue", wanted.blue_gain)):
            if value is not None:
                self._choose("BalanceWhiteAuto", "Off", f"{colour.lower()}_gain")
                self._choose("BalanceRatioSelector", colour, f"{colour.lower()}_gain")
                self._fix("BalanceRatio", None, value, f"{colour.lower()}_gain")
        return self._description_now()

    def _node(self, feature: str) -> Any:
        return getattr(self._camera.remote_device.node_map, feature, None)

    def _choose(self, feature: str, choice: str, setting: str) -> None:
        node = self._node(feature)
        if node is None:
            raise self._has_no(feature, setting)
        try:
            node.value = choice
        except Exception as error:  # noqa: BLE001 genicam's exceptions exist only where it does
            raise self._refuses(setting, choice, error) from None

    def _fix(self, feature: str, automatic: str | None, value: float, setting: str) -> None:
        node = self._node(feature)
        if node is None:
            raise self._has_no(feature, setting)
        if automatic is not None and self._node(automatic) is not None:
            self._choose(automatic, "Off", setting)
        try:
            node.value = value
        except Exception as error:  # noqa: BLE001 as above
            raise self._refuses(setting, f"{value:g}", error) from None
        took = float(node.value)
        if abs(took - value) > _TOLERANCE * value:
            raise SourceError(
                f"{self._name}: the camera took {setting}={took:g}, not the {value:g} asked for: "
                "set a value that it has"
            )

    def _has_no(self, feature: str, setting: str) -> SourceError:
        return SourceError(f"{self._name}: the camera has no {feature}: leave {setting} out")

    def _refuses(self, setting: str, value: str, error: Exception) -> SourceError:
        return SourceError(
            f"{self._name}: the camera refuses {setting}={value} ({_text(error)}): set a value in "
            "its range"
        )

    def _description_now(self) -> list[str]:
        def value(feature: str) -> Any:
            node = self._node(feature)
            return None if node is None else node.value

        def number(feature: str, automatic: str, what: str, unit: str) -> str:
            if value(feature) is None:
                return f"no {what}"
            if value(automatic) not in (None, "Off"):
                return f"{what} automatic"
            return f"{what} {value(feature):g}{unit}"

        rate = value("AcquisitionFrameRate")
        return [
            f"{value('Width')} x {value('Height')}",
            *([f"{rate:g} fps"] if rate is not None else []),
            str(value("PixelFormat")),
            number("ExposureTime", "ExposureAuto", "exposure", " us"),
            number("Gain", "GainAuto", "gain", ""),
        ]

    def _shot(self, component: Any, driver_ms: float) -> Shot:
        pixel_format = str(component.data_format)
        if pixel_format not in _TO_RGB:
            return Shot(
                None,
                f"pictures in {pixel_format} are not read: set pixel_format to one of "
                f"{', '.join(_TO_RGB)} that the camera has",
            )
        channels = _CHANNELS.get(pixel_format, 1)
        data = np.asarray(component.data)
        size = int(component.height) * int(component.width) * channels
        if data.dtype != np.uint8 or data.size < size:
            return Shot(None, "the camera sent less than a picture (torn): check cable and network")
        shape = (int(component.height), int(component.width), channels)
        return Shot(_rgb(data[:size].reshape(shape), pixel_format), driver_ms=driver_ms)


def _driver_ms(buffer: Any) -> float:
    try:
        return float(buffer.timestamp_ns) / _NS_PER_MS
    except Exception:  # noqa: BLE001 many producers have no time stamps, and raise
        return 0.0


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _rgb(raw: npt.NDArray[np.uint8], pixel_format: str) -> Pixels:
    code = _TO_RGB[pixel_format]
    # A copy in any case: the buffer goes back to the producer, which fills it anew.
    return raw.copy() if code is None else np.asarray(cv2.cvtColor(raw, code), np.uint8)
