"""Only plain files come out of an archive, into one new folder; of anything else nothing does."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.errors import UpdateError
from edge_daemon.update.archive import UnpackLimits, unpack

Entry = tuple[tarfile.TarInfo, bytes]


def plain(name: str, content: bytes = b"content") -> Entry:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def odd(name: str, kind: bytes, link: str = "") -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def packed(*entries: Entry, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[..., Path]:
    def take(content: bytes, **limits: int) -> Path:
        archive = tmp_path / "given.tar"
        archive.write_bytes(content)
        return unpack(archive, tmp_path / "into", UnpackLimits(**limits))

    return take


def test_files_land_in_one_folder_readable_and_not_executable(
    unpacked: Callable[..., Path], tmp_path: Path
) -> None:
    program = plain("b-1.0.0/second")
    program[0].mode = 0o4777
    folder = unpacked(packed(plain("b-1.0.0/first", b"1"), program))

    assert folder == tmp_path / "into" / "b-1.0.0"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "first": b"1",
        "second": b"content",
    }
    assert {file.stat().st_mode & 0o7111 for file in folder.iterdir()} == {0}


GOOD = plain("b/first")
ATTACKS = {
    "absolute path": (plain("/etc/cron.d/evil"), "is an absolute path"),
    "zip-slip": (plain("../evil"), "leads out of its folder"),
    "zip-slip inside": (plain("b/../../evil"), "leads out of its folder"),
    "only dots": (plain("b/.."), "leads out of its folder"),
    "deeper": (plain("b/c/evil"), "is not a plain name in one folder"),
    "no folder": (plain("evil"), "is not a plain name in one folder"),
    "hidden": (plain("b/.bashrc"), "is not a plain name in one folder"),
    "backslash": (plain("b/..\\evil"), "is not a plain name in one folder"),
    "line break": (plain("b/a\nb"), "is not a plain name in one folder"),
    "another folder": (plain("c/evil"), "several folders"),
    "symbolic link": (odd("b/link", tarfile.SYMTYPE, "/etc/shadow"), "is a symbolic link"),
    "link to a folder": (odd("b", tarfile.SYMTYPE, "/"), "is a symbolic link"),
    "hard link": (odd("b/link", tarfile.LNKTYPE, "/etc/shadow"), "is a hard link"),
    "device": (odd("b/disk", tarfile.BLKTYPE), "is a device or pipe"),
    "terminal": (odd("b/tty", tarfile.CHRTYPE), "is a device or pipe"),
    "pipe": (odd("b/pipe", tarfile.FIFOTYPE), "is a device or pipe"),
    "folder": (odd("b/inner", tarfile.DIRTYPE), "is a folder"),
    "sparse": (odd("b/sparse", tarfile.GNUTYPE_SPARSE), "sparse|no sound tar"),
    "twice": (plain("b/first", b"other"), "is in it twice"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_and_nothing_is_left(
    unpacked: Callable[..., Path], tmp_path: Path, attack: str
) -> None:
    entry, why = ATTACKS[attack]
    with pytest.raises(UpdateError, match=why) as caught:
        unpacked(packed(GOOD, entry))

    assert "\n" not in str(caught.value)
    assert list((tmp_path / "into").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_too_many_files_are_refused(unpacked: Callable[..., Path]) -> None:
    content = packed(*(plain(f"b/{number}", b"") for number in range(11)))

    with pytest.raises(UpdateError, match="more than 10 files"):
        unpacked(content, entries=10)


def test_too_many_bytes_are_refused_before_they_are_written(
    unpacked: Callable[..., Path],
) -> None:
    with pytest.raises(UpdateError, match="more than 100 bytes"):
        unpacked(packed(plain("b/1", bytes(60)), plain("b/2", bytes(60))), bytes=100)


def test_a_sparse_file_of_a_terabyte_is_refused(unpacked: Callable[..., Path]) -> None:
    info, _ = plain("b/huge", b"")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.map": "0,0",
    }
    with pytest.raises(UpdateError, match="refused"):
        unpacked(packed((info, b"")))


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_compressed_archive_is_refused_so_that_none_can_explode(
    unpacked: Callable[..., Path], mode: str
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        tar.addfile(*(GOOD[0], io.BytesIO(GOOD[1])))

    with pytest.raises(UpdateError, match="no sound tar"):
        unpacked(out.getvalue())


def test_an_empty_archive_is_refused(unpacked: Callable[..., Path]) -> None:
    with pytest.raises(UpdateError, match="nothing is in it"):
        unpacked(packed())


def test_a_truncated_archive_is_refused(unpacked: Callable[..., Path]) -> None:
    with pytest.raises(UpdateError, match="refused"):
        unpacked(packed(plain("b/1", bytes(5000)))[:3000])


def test_a_folder_that_is_there_is_left_alone(unpacked: Callable[..., Path]) -> None:
    folder = unpacked(packed(plain("b/1", b"old")))
    with pytest.raises(UpdateError, match="is there already"):
        unpacked(packed(plain("b/1", b"new")))

    assert (folder / "1").read_bytes() == b"old"


@given(st.data())
def test_whatever_the_bytes_are_one_line_or_plain_files(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A sound archive with any few bytes changed."""
    content = bytearray(packed(plain("b/1", bytes(700)), plain("b/2"), form=tarfile.GNU_FORMAT))
    places = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("any")
    (folder / "any.tar").write_bytes(content)
    refusal = ""
    try:
        unpack(folder / "any.tar", folder / "into")
    except UpdateError as error:
        refusal = str(error)
    made = list((folder / "into").iterdir())

    assert "\n" not in refusal
    assert len(made) == (0 if refusal else 1)
    assert all(file.is_file() and not file.is_symlink() for one in made for file in one.iterdir())
