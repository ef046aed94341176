"""``leuko-edge sources``: which cameras are there, and what may stand before ``://``."""

from __future__ import annotations

from rich.console import Console

from edge_daemon.errors import SourceError
from edge_daemon.sources.open import SCHEMES
from edge_daemon.sources.plugins import Plugin, plugins
from edge_daemon.sources.v4l import VideoDevices
from edge_daemon.sources.v4l_formats import formats_of


def list_sources(console: Console, devices: VideoDevices | None = None) -> None:
    """Print the cameras that Linux tells of, then the schemes, plugins included."""
    _cameras(devices or VideoDevices(), console)
    console.print("\nkinds of source", highlight=False)
    width = max(len(scheme) for scheme in SCHEMES) + 3
    for name, scheme in SCHEMES.items():
        _print(console, f"  {name + '://':<{width}}  {scheme.what}: {scheme.example}")
    for plugin in plugins():
        _print(console, f"  {plugin.scheme + '://':<{width}}  {_standing(plugin)}")


def _cameras(devices: VideoDevices, console: Console) -> None:
    cameras = devices.cameras()
    _print(console, "cameras" if cameras else "cameras: none is plugged in, as far as Linux tells")
    for camera in cameras:
        address = f"serial/{camera.serial}" if camera.serial else str(camera.node)
        _print(console, f"  camera://{address}  {camera.node}  {camera.name}")
        for picture_format, sizes in formats_of(camera.node).items():
            _print(console, f"      {picture_format}  {', '.join(sizes) or 'sizes not told'}")


def _standing(plugin: Plugin) -> str:
    if plugin.scheme in SCHEMES:
        return f"{plugin.package}: passed over, LeukoEdge has this kind itself"
    try:
        plugin.load()
    except SourceError as error:
        return f"BROKEN  {error}"
    return plugin.package


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
