"""From what the operator writes to the source that is meant.

An address is ``kind://...``; what has no ``://`` is a file or folder. ``SCHEMES`` has the kinds
that LeukoEdge knows itself; packages may add others (:mod:`edge_daemon.sources.plugins`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import OnEvent, Source
from edge_daemon.sources.plugins import plugin_for, plugins
from edge_daemon.sources.reading import ReadingRules
from edge_daemon.sources.request import SourceRequest


def open_source(
    spec: str,
    *,
    scan: bool = False,
    recursive: bool = True,
    um_per_px: float | None = None,
    rules: ReadingRules | None = None,
    stop: threading.Event | None = None,
    on_event: OnEvent | None = None,
    may_come_later: bool = False,
) -> Source:
    """The source that ``spec`` means, ready to be entered with ``with``.

    Args:
        spec: an address, a file or a folder.
        scan: the pictures of a folder overlap and show one field.
        recursive: a folder's own folders are searched too.
        um_per_px: scale of the pictures, if known (the simulated microscope knows its own).
        rules: limits and conversions for files.
        stop: ends the iteration of a source without an end when it is set.
        on_event: told what the operator must know of a live source (lost, back); from a thread of
            the source.
        may_come_later: a camera, or a folder to watch, that is absent when it is entered is waited
            for, and in ``trouble`` until then. What can never come is refused all the same.

    Raises:
        SourceError: no such thing, no such kind of source, or an empty folder.
    """
    scheme, separator, rest = spec.partition("://")
    request = SourceRequest(
        spec,
        rest,
        scan,
        recursive,
        um_per_px,
        rules,
        stop or threading.Event(),
        on_event,
        may_come_later,
    )
    if not separator:
        return _from_path(replace(request, rest=spec))
    known = SCHEMES.get(scheme)
    if known is not None:
        return known.open(request)
    plugin = plugin_for(scheme)
    if plugin is not None:
        return plugin.open(request)
    raise SourceError(
        f"{_without_secrets(spec)}: sources of kind {scheme}:// are unknown: give {_accepted()}"
    )


def _from_path(request: SourceRequest) -> Source:
    from edge_daemon.sources.images import PICTURE_SUFFIXES, ImageSource, list_pictures
    from edge_daemon.sources.video import VIDEO_SUFFIXES, VideoSource

    spec = request.address
    if not request.rest.strip():
        raise SourceError(f"no source given: give {_accepted()}")
    path = Path(request.rest).expanduser()
    suffix = path.suffix.lower()
    scale = request.um_per_px
    if path.is_dir():
        pictures = list_pictures(path, recursive=request.recursive)
        return ImageSource(
            pictures,
            spec,
            relative_to=path,
            scan=request.scan,
            rules=request.rules,
            um_per_px=scale,
        )
    if not path.exists():
        raise SourceError(f"{spec}: there is no such file or folder: check the path")
    if suffix in VIDEO_SUFFIXES:
        return VideoSource(path, rules=request.rules, um_per_px=scale)
    if suffix in PICTURE_SUFFIXES:
        return ImageSource([path], spec, scan=request.scan, rules=request.rules, um_per_px=scale)
    raise SourceError(
        f"{spec}: neither a picture nor a video by its name ({suffix or 'no ending'}): "
        f"give {_accepted()}"
    )


def _file(request: SourceRequest) -> Source:
    return _from_path(replace(request, rest=unquote(request.rest)))


def _camera(request: SourceRequest) -> Source:
    from edge_daemon.sources.address import settings_from
    from edge_daemon.sources.camera import CameraSettings, CameraSource

    which, _, query = request.rest.partition("?")
    return CameraSource(
        unquote(which),
        settings_from(CameraSettings, query, request.address),
        um_per_px=request.um_per_px,
        stop=request.stop,
        on_event=request.on_event,
        may_come_later=request.may_come_later,
    )


def _gstreamer(request: SourceRequest) -> Source:
    from edge_daemon.sources.gstreamer import open_gstreamer

    return open_gstreamer(request)


def _csi(request: SourceRequest) -> Source:
    from edge_daemon.sources.gstreamer import open_csi

    return open_csi(request)


def _rtsp(request: SourceRequest) -> Source:
    from edge_daemon.sources.rtsp import open_rtsp

    return open_rtsp(request)


def _genicam(request: SourceRequest) -> Source:
    from edge_daemon.sources.genicam import open_genicam

    return open_genicam(request)


def _watch(request: SourceRequest) -> Source:
    from edge_daemon.sources.watched_folder import open_watched

    return open_watched(request)


def _simulated(request: SourceRequest) -> Source:
    from edge_daemon.sources.simulated import open_simulated
    from edge_daemon.sources.simulated_faults import with_faults

    return with_faults(open_simulated(request.address), request)


_Open: TypeAlias = Callable[[SourceRequest], Source]


@dataclass(frozen=True)
class Scheme:
    """One kind of address that LeukoEdge knows itself."""

    open: _Open
    example: str
    what: str


SCHEMES: dict[str, Scheme] = {
    "file": Scheme(_file, "file:///slides/a", "a folder of pictures, a picture or a video"),
    "watch": Scheme(_watch, "watch:///slides/today", "a folder that pictures are written into"),
    "camera": Scheme(_camera, "camera://serial/ABC123", "a camera of Linux (V4L2, UVC)"),
    "csi": Scheme(_csi, "csi://0?width=1920&height=1080&fps=30", "a Jetson's CSI camera"),
    "gst": Scheme(_gstreamer, "gst://videotestsrc ! videoconvert", "a GStreamer pipeline"),
    "rtsp": Scheme(_rtsp, "rtsp://user:password@host/path", "a network camera"),
    "rtsps": Scheme(_rtsp, "rtsps://user:password@host/path", "the same through TLS"),
    "genicam": Scheme(
        _genicam, "genicam://SERIAL?cti=/path/producer.cti", "a GigE Vision or USB3 Vision camera"
    ),
    "sim": Scheme(_simulated, "sim://?seed=7", "the simulated microscope"),
}
"""What stands before ``://``; a plugin cannot take the place of one of these."""


def _accepted() -> str:
    kinds = [*SCHEMES, *sorted({plugin.scheme for plugin in plugins()} - SCHEMES.keys())]
    return f"a file, a folder, {', '.join(f'{kind}://...' for kind in kinds)}"


def _without_secrets(spec: str) -> str:
    scheme, separator, rest = spec.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
