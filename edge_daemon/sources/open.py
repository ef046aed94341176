"""From what the operator writes to the source that is meant.

``sim://...``                  the simulated microscope
``camera://0``                 a camera by index; also ``camera:///dev/video0``,
                               ``camera:///dev/v4l/by-id/...`` and ``camera://serial/ABC123``, each
                               with settings such as ``?width=1280&back_pressure=every_frame``
``slides/a``, ``a/1.png``      a folder of pictures, or one
``passage.mp4``                a video
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote

from pydantic import ValidationError

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Source
from edge_daemon.sources.reading import ReadingRules

_ACCEPTED = "a file, a folder, camera://... or sim://..."


def open_source(
    spec: str,
    *,
    scan: bool = False,
    recursive: bool = True,
    um_per_px: float | None = None,
    rules: ReadingRules | None = None,
) -> Source:
    """The source that ``spec`` means, ready to be entered with ``with``.

    Args:
        spec: see the top of this module.
        scan: the pictures of a folder overlap and show one field.
        recursive: a folder's own folders are searched too.
        um_per_px: scale of the pictures, if known (the simulated microscope knows its own).
        rules: limits and conversions for files.

    Raises:
        SourceError: no such thing, no such kind of source, or an empty folder.
    """
    scheme, separator, rest = spec.partition("://")
    if not separator:
        return _from_path(spec, scan, recursive, um_per_px, rules)
    if scheme == "file":
        return _from_path(unquote(rest), scan, recursive, um_per_px, rules)
    if scheme == "camera":
        return _camera(rest, um_per_px)
    if scheme == "sim":
        from edge_daemon.sources.simulated import open_simulated

        return open_simulated(spec)
    raise SourceError(f"{spec}: sources of kind {scheme}:// are unknown: give {_ACCEPTED}")


def _from_path(
    spec: str, scan: bool, recursive: bool, um_per_px: float | None, rules: ReadingRules | None
) -> Source:
    from edge_daemon.sources.images import PICTURE_SUFFIXES, ImageSource, list_pictures
    from edge_daemon.sources.video import VIDEO_SUFFIXES, VideoSource

    if not spec.strip():
        raise SourceError(f"no source given: give {_ACCEPTED}")
    path = Path(spec).expanduser()
    suffix = path.suffix.lower()
    if path.is_dir():
        pictures = list_pictures(path, recursive=recursive)
        return ImageSource(
            pictures,
            spec,
            relative_to=path,
            scan=scan,
            um_per_px=um_per_px,
            rules=rules,
        )
    if not path.exists():
        raise SourceError(f"{spec}: there is no such file or folder: check the path")
    if suffix in VIDEO_SUFFIXES:
        return VideoSource(path, um_per_px=um_per_px, rules=rules)
    if suffix in PICTURE_SUFFIXES:
        return ImageSource([path], spec, scan=scan, um_per_px=um_per_px, rules=rules)
    raise SourceError(
        f"{spec}: neither a picture nor a video by its name ({suffix or 'no ending'}): "
        f"give {_ACCEPTED}"
    )


def _camera(rest: str, um_per_px: float | None) -> Source:
    from edge_daemon.sources.camera import CameraSettings, CameraSource

    which, _, query = rest.partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    try:
        return CameraSource(
            unquote(which), CameraSettings.model_validate(settings), um_per_px=um_per_px
        )
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"]))
        known = ", ".join(CameraSettings.model_fields)
        raise SourceError(
            f"camera://{rest}: setting {setting!r}: {first['msg']}: known settings are {known}"
        ) from None
