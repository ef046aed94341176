"""Sources of third parties: real entry points of packages that lie on the path for the test."""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Frame
from edge_daemon.sources.images import ImageSource
from edge_daemon.sources.open import open_source
from edge_daemon.sources.plugins import plugins
from tests.edge_daemon.sources.contract import MakeSource, SourceContract
from tests.edge_daemon.sources.pictures import speckled, written

Install = Callable[..., None]

GOOD = """
    from pathlib import Path
    from edge_daemon.sources.images import ImageSource

    def open_scanner(request):
        paths = sorted(Path(request.rest).glob("*.png"))
        return ImageSource(paths, request.address, um_per_px=request.um_per_px)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A package with one entry point, as pip would lay it on the path."""

    def installed(
        scheme: str, code: str, package: str = "acme", name: str = "open_scanner"
    ) -> None:
        folder = tmp_path / f"site-{package}"
        metadata = folder / f"{package}-1.2.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n"
        )
        (metadata / "entry_points.txt").write_text(
            f"[leukoedge.sources]\n{scheme} = {package}_scope:{name}\n"
        )
        (folder / f"{package}_scope.py").write_text(textwrap.dedent(code))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, f"{package}_scope", raising=False)  # of another test
        importlib.invalidate_caches()

    return installed


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    folder = tmp_path / "slide"
    folder.mkdir()
    for index in range(3):
        written(folder / f"{index}.png", speckled(index))
    return folder


class TestPluginKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, install: Install, slide: Path) -> MakeSource:
        install("acme", GOOD)
        return lambda: open_source(f"acme://{slide}")


def test_a_scheme_of_another_package_is_opened(install: Install, slide: Path) -> None:
    install("acme", GOOD)
    with open_source(f"acme://{slide}", um_per_px=0.2) as source:
        assert isinstance(source, ImageSource)
        frames = [frame for frame in source if isinstance(frame, Frame)]
    assert len(frames) == 3
    assert frames[0].um_per_px == 0.2


def test_the_example_of_the_documentation_works(install: Install, slide: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "sources.md").read_text("utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    install("scanner", example)
    with open_source(f"scanner://{slide}") as source:
        assert len(list(source)) == 3
    with pytest.raises(SourceError, match="there is no such export"):
        open_source("scanner:///no/such")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_library", r"cannot be loaded \(ModuleNotFoundError: No module named"),
        ("def other(): pass", r"cannot be loaded \(AttributeError"),
        ("open_scanner = 3", "is no function"),
        ("def open_scanner(request):\n    1 / 0", r"failed \(ZeroDivisionError"),
        ("def open_scanner(request):\n    return 3", "gave something that is no source"),
        ("raise SystemError('two\\nlines')", "cannot be loaded"),
    ],
)
def test_a_broken_plugin_is_one_clear_line(install: Install, code: str, words: str) -> None:
    install("acme", code)
    with pytest.raises(SourceError, match=words) as caught:
        open_source("acme://1")
    line = str(caught.value)
    assert line.startswith("acme://: its plugin acme_scope:open_scanner of acme 1.2 ")
    assert line.endswith(": mend or remove that package")
    assert "\n" not in line


def test_a_line_that_a_plugin_wrote_itself_is_left_as_it_is(install: Install) -> None:
    install(
        "acme",
        """
        from edge_daemon.errors import SourceError

        def open_scanner(request):
            raise SourceError("acme://1: the lid is open: close it")
        """,
    )
    with pytest.raises(SourceError, match=r"^acme://1: the lid is open: close it$"):
        open_source("acme://1")


def test_a_broken_plugin_disturbs_no_other(install: Install, slide: Path) -> None:
    install("broken", "raise RuntimeError", package="broken")
    install("acme", GOOD)
    with open_source(f"acme://{slide}") as source:
        assert len(list(source)) == 3
    assert open_source(str(slide)).frame_count == 3
    with pytest.raises(SourceError, match=r"unknown: give a file, .*acme://..., broken://"):
        open_source("nobody://1")


def test_two_packages_of_one_scheme_are_not_guessed_at(install: Install) -> None:
    install("acme", GOOD)
    install("acme", GOOD, package="other")
    with pytest.raises(SourceError, match=r"several packages declare it \(acme 1.2, other 1.2\)"):
        open_source("acme://1")


def test_a_plugin_never_takes_the_place_of_a_kind_of_ours(install: Install, slide: Path) -> None:
    install("file", "raise AssertionError('imported')")
    assert isinstance(open_source(f"file://{slide}"), ImageSource)
    assert [plugin.scheme for plugin in plugins()] == ["file"]
