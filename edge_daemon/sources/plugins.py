"""Sources of third parties: packages that declare an entry point in ``leukoedge.sources``.

The entry point's name is the scheme of its addresses, its value a callable that takes a
:class:`edge_daemon.sources.request.SourceRequest` and returns a source
(``docs/sources.md`` has an example). A package is imported only when its scheme is asked for, and
whatever is wrong with it is one line that disturbs no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from edge_daemon.errors import LeukoError, SourceError
from edge_daemon.sources.base import Source
from edge_daemon.sources.request import SourceRequest

GROUP = "leukoedge.sources"

_NEEDED = ("name", "frame_count", "__enter__", "__exit__", "__iter__")


@dataclass(frozen=True)
class Plugin:
    """One scheme of one package."""

    scheme: str
    entry_point: EntryPoint

    @property
    def package(self) -> str:
        """Name and version of the package that declares it."""
        package = self.entry_point.dist
        return f"{package.name} {package.version}" if package is not None else "an unknown package"

    def open(self, request: SourceRequest) -> Source:
        """The source that the package makes of the request.

        Raises:
            SourceError: one line that names the package: it cannot be imported, failed, or did not
                give a source.
        """
        try:
            source = self.load()(request)  # type: ignore[operator]
        except LeukoError:
            raise
        except Exception as error:  # noqa: BLE001 other people's code: one line, whatever it was
            raise self._broken(f"failed ({_text(error)})") from None
        lacking = [name for name in _NEEDED if not hasattr(type(source), name)]
        if lacking:
            raise self._broken(f"gave something that is no source (no {', '.join(lacking)})")
        return source  # type: ignore[no-any-return]

    def load(self) -> object:
        """Import what the entry point names.

        Raises:
            SourceError: it cannot be imported, or cannot be called.
        """
        try:
            target = self.entry_point.load()
        except Exception as error:  # noqa: BLE001 as above
            raise self._broken(f"cannot be loaded ({_text(error)})") from None
        if not callable(target):
            raise self._broken("is no function")
        return target

    def _broken(self, what: str) -> SourceError:
        return SourceError(
            f"{self.scheme}://: its plugin {self.entry_point.value} of {self.package} {what}: "
            "mend or remove that package"
        )


def plugins() -> list[Plugin]:
    """All that are installed, by scheme; none of them is imported."""
    return sorted(
        (Plugin(found.name, found) for found in _declared()),
        key=lambda plugin: (plugin.scheme, plugin.package),
    )


def plugin_for(scheme: str) -> Plugin | None:
    """The one plugin for a scheme, or None.

    Raises:
        SourceError: two packages declare it; neither is guessed at.
    """
    found = [plugin for plugin in plugins() if plugin.scheme == scheme]
    if len(found) > 1:
        raise SourceError(
            f"{scheme}://: several packages declare it ({', '.join(p.package for p in found)}): "
            "remove all but one"
        )
    return found[0] if found else None


def _declared() -> Iterator[EntryPoint]:
    seen: set[tuple[str, str, str]] = set()
    for found in entry_points(group=GROUP):
        # One package may lie twice on the path (a checkout and its installation).
        key = (found.name, found.value, found.dist.name if found.dist is not None else "")
        if key not in seen:
            seen.add(key)
            yield found


def _text(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
