"""Reading one picture: what is converted how, and what is refused with which words."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.errors import FrameReadError
from edge_daemon.sources.reading import ReadingRules, decode_picture, read_picture
from tests.edge_daemon.sources.pictures import encoded, speckled, written
from tests.soak import repeated

pytestmark = pytest.mark.soak

LOSSLESS = [".png", ".bmp", ".tiff"]
EVERY_FORMAT = [*LOSSLESS, ".jpg", ".webp"]


def exif_rotated(jpeg: bytes) -> bytes:
    """The same JPEG with an EXIF block that asks for a turn by 90 degrees (orientation 6)."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    block = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def png_header(width: int, height: int) -> bytes:
    """A PNG that states a size and holds nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + crc


def refusal(data: bytes, name: str = "slide/a.jpg") -> str:
    with pytest.raises(FrameReadError) as caught:
        decode_picture(data, name)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    return message


class TestConversion:
    @pytest.mark.parametrize("suffix", LOSSLESS)
    def test_colours_arrive_as_rgb(self, suffix: str) -> None:
        picture = speckled()
        assert np.array_equal(decode_picture(encoded(picture, suffix), "a"), picture)

    @pytest.mark.parametrize("suffix", [".jpg", ".webp"])
    def test_lossy_colours_arrive_as_rgb(self, suffix: str) -> None:
        red = np.full((32, 32, 3), (220, 20, 40), np.uint8)
        got = decode_picture(encoded(red, suffix), "a")
        assert np.abs(got.astype(int) - red).max() <= 12

    @pytest.mark.parametrize("suffix", EVERY_FORMAT)
    def test_grey_is_replicated(self, suffix: str) -> None:
        grey = speckled()[..., 1]
        got = decode_picture(encoded(grey, suffix), "a")
        assert got.shape == (*grey.shape, 3)
        assert np.array_equal(got[..., 0], got[..., 1])
        assert np.array_equal(got[..., 0], got[..., 2])

    @pytest.mark.parametrize("suffix", [".png", ".tiff"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_16_bit_is_scaled_by_the_range_of_the_container(
        self, suffix: str, channels: int
    ) -> None:
        """Not by the brightest pixel: the same light gives the same value in every frame."""
        shape = (8, 8) if channels == 1 else (8, 8, 3)
        dim = np.full(shape, 25_700, np.uint16)
        got = decode_picture(encoded(dim, suffix), "a")
        assert got.dtype == np.uint8
        assert np.all(got == 100)

    def test_a_12_bit_camera_is_scaled_by_its_own_white(self) -> None:
        data = encoded(np.full((8, 8), 4095, np.uint16), ".png")
        assert np.all(decode_picture(data, "a", ReadingRules(white_16bit=4095)) == 255)

    @pytest.mark.parametrize("suffix", [".png", ".webp"])
    def test_transparency_shows_the_white_of_empty_glass(self, suffix: str) -> None:
        picture = np.dstack([speckled(), np.full((48, 64), 255, np.uint8)])
        picture[:24, :, 3] = 0
        lossless = (cv2.IMWRITE_WEBP_QUALITY, 101) if suffix == ".webp" else ()
        got = decode_picture(encoded(picture, suffix, *lossless), "a")
        assert np.all(got[:24] == 255)
        assert np.array_equal(got[24:], picture[24:, :, :3])

    def test_16_bit_with_transparency(self) -> None:
        picture = np.full((8, 8, 4), 65_535, np.uint16)
        picture[..., :3] = 0
        picture[..., 3] = 32_896  # 128 of 255
        assert np.all(decode_picture(encoded(picture, ".png"), "a") == 127)

    def test_the_unused_byte_of_a_32_bit_bmp_is_no_transparency(self) -> None:
        picture = np.dstack([speckled(), np.zeros((48, 64), np.uint8)])
        got = decode_picture(encoded(picture, ".bmp"), "a")
        assert np.array_equal(got, picture[..., :3])

    def test_exif_orientation_is_ignored(self) -> None:
        """A frame that turns against the stage cannot be registered."""
        jpeg = encoded(speckled(), ".jpg")
        rotated = decode_picture(exif_rotated(jpeg), "a")
        assert np.array_equal(rotated, decode_picture(jpeg, "a"))

    @pytest.mark.parametrize("suffix", EVERY_FORMAT)
    def test_one_pixel_is_a_picture(self, suffix: str) -> None:
        """Whether it is of any use is for the quality gate to say."""
        assert decode_picture(encoded(speckled(width=1, height=1), suffix), "a").shape == (1, 1, 3)

    def test_a_progressive_jpeg_is_read(self) -> None:
        data = encoded(speckled(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
        assert decode_picture(data, "a").shape == (48, 64, 3)

    def test_a_jpeg_with_restart_markers_is_read(self) -> None:
        data = encoded(speckled(), ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 1)
        assert decode_picture(data, "a").shape == (48, 64, 3)

    def test_bytes_after_the_end_of_a_jpeg_do_no_harm(self) -> None:
        data = encoded(speckled(), ".jpg")
        assert decode_picture(data + b"appended by the camera", "a").shape == (48, 64, 3)


class TestRefusal:
    @pytest.mark.parametrize("suffix", EVERY_FORMAT)
    @pytest.mark.parametrize("kept", [0.02, 0.3, 0.5, 0.9, 0.999])
    def test_a_file_that_was_cut_short(self, suffix: str, kept: float) -> None:
        data = encoded(speckled(width=320, height=240), suffix)
        message = refusal(data[: int(len(data) * kept)])
        assert "cut short or damaged: copy it again" in message

    @pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
    def test_a_jpeg_whose_end_is_zeros(self, kept: float) -> None:
        """What a device leaves that lost power while writing."""
        data = encoded(speckled(width=320, height=240), ".jpg")
        cut = int(len(data) * kept)
        assert "cut short or damaged" in refusal(data[:cut] + bytes(len(data) - cut))

    @pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
    def test_a_jpeg_that_was_closed_after_the_cut(self, kept: float) -> None:
        data = encoded(speckled(width=320, height=240), ".jpg")
        message = refusal(data[: int(len(data) * kept)] + b"\xff\xd9")
        assert "part of the JPEG is missing" in message
        assert "copy it again" in message

    def test_a_flat_grey_jpeg_is_not_taken_for_a_damaged_one(self) -> None:
        grey = np.full((48, 64, 3), 128, np.uint8)
        assert decode_picture(encoded(grey, ".jpg"), "a").shape == grey.shape

    def test_a_png_with_a_flipped_bit(self) -> None:
        data = bytearray(encoded(speckled(), ".png"))
        data[len(data) // 2] ^= 1
        assert "wrong checksum" in refusal(bytes(data))

    @pytest.mark.parametrize("size", [(20_000, 20_000), (8_001, 8_000), (2**31 - 1, 2**31 - 1)])
    def test_a_picture_too_large_is_refused_by_its_header(self, size: tuple[int, int]) -> None:
        message = refusal(png_header(*size))
        assert f"{size[0]} x {size[1]} pixels are more than the limit of 64 megapixels" in message
        assert "cut it into fields" in message

    @pytest.mark.parametrize("suffix", EVERY_FORMAT)
    def test_the_size_is_known_before_decoding_in_every_format(self, suffix: str) -> None:
        data = encoded(speckled(width=40, height=30), suffix)
        with pytest.raises(FrameReadError, match="40 x 30 pixels are more than the limit"):
            decode_picture(data, "a", ReadingRules(max_pixels=40 * 30 - 1))
        decode_picture(data, "a", ReadingRules(max_pixels=40 * 30))

    def test_a_real_file_of_20000_by_20000_pixels(self, tmp_path: Path) -> None:
        path = written(tmp_path / "huge.png", np.zeros((20_000, 20_000), np.uint8))
        with pytest.raises(FrameReadError, match="20000 x 20000 pixels are more than the limit"):
            read_picture(path)

    @pytest.mark.parametrize(
        ("data", "what", "remedy"),
        [
            (b"", "the file is empty", "copy it again"),
            (bytes(5000), "holds only zeros", "copy it again"),
            (b"no picture at all, just text", "this is not a picture", "save it as PNG or JPEG"),
            (b"GIF89a" + bytes(20), "this is GIF", "save it as PNG or JPEG"),
            (b"%PDF-1.7", "this is PDF", "save it as PNG or JPEG"),
            (b"\0\0\0 ftypheic", "AVIF, HEIC or MP4", "save it as PNG or JPEG"),
            (b"II+\0\x08\0\0\0", "this is BigTIFF", "save it as PNG or JPEG"),
            (png_header(0, 10), "states 0 x 10 pixels", "copy it again"),
            (b"\xff\xd8\xff", "header is incomplete", "copy it again"),
        ],
    )
    def test_what_is_no_picture(self, data: bytes, what: str, remedy: str) -> None:
        message = refusal(data)
        assert what in message
        assert remedy in message

    def test_a_cmyk_jpeg(self) -> None:
        jpeg = bytearray(encoded(speckled(), ".jpg"))
        frame_header = jpeg.index(b"\xff\xc0")
        jpeg[frame_header + 9] = 4
        assert "4 colour components (CMYK?)" in refusal(bytes(jpeg))

    def test_a_float_tiff(self) -> None:
        message = refusal(encoded(np.ones((8, 8), np.float32), ".tiff"))
        assert "float" in message
        assert "save it as 8 bit" in message

    def test_a_tiff_of_several_pictures(self) -> None:
        ok, data = cv2.imencodemulti(".tiff", [speckled(0), speckled(1)])
        assert ok
        assert "save each as a file of its own" in refusal(data.tobytes())

    def test_an_animated_png(self) -> None:
        png = encoded(speckled(), ".png")
        chunk = b"acTL" + struct.pack(">II", 2, 0)
        animation = struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk))
        assert "animated PNG" in refusal(png[:33] + animation + png[33:])


class TestFile:
    def test_it_is_read(self, tmp_path: Path) -> None:
        path = written(tmp_path / "zellen äöü 1.png", speckled())
        assert np.array_equal(read_picture(path), speckled())

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FrameReadError, match=r"a\.png: there is no such file: check the path"):
            read_picture(tmp_path / "a.png")

    def test_a_folder_by_the_name_of_a_picture(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").mkdir()
        with pytest.raises(FrameReadError, match="this is not a file"):
            read_picture(tmp_path / "a.png")

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.png")
        with pytest.raises(FrameReadError, match="this is not a file"):
            read_picture(tmp_path / "a.png")

    def test_larger_than_any_picture_within_the_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        with path.open("wb") as file:
            file.truncate(9_000_000)
        with pytest.raises(FrameReadError, match="the file has 9 MB, more than any picture"):
            read_picture(path, ReadingRules(max_pixels=1_000_000))

    def test_one_that_the_disk_does_not_give(self) -> None:
        """A file of Linux whose reading fails with an input/output error, also for root."""
        with pytest.raises(FrameReadError, match=r"cannot be read \(.+\): check its permissions"):
            read_picture(Path("/proc/self/mem"))


SEEDS = [encoded(speckled(), suffix) for suffix in EVERY_FORMAT]


def read_or_refused(data: bytes) -> None:
    """The one invariant: an RGB picture, or one line."""
    try:
        pixels = decode_picture(data, "a", ReadingRules(max_pixels=1_000_000))
    except FrameReadError as error:
        line = str(error)
    else:
        line = "a: picture"
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
    assert line.startswith("a: ")
    assert "\n" not in line


@settings(max_examples=repeated(150), deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", *(seed[:40] for seed in SEEDS)]))
def test_arbitrary_bytes_are_a_picture_or_one_line(data: bytes, start: bytes) -> None:
    read_or_refused(start + data)


@settings(max_examples=repeated(300), deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
    in_header=st.booleans(),
)
def test_a_changed_picture_is_a_picture_or_one_line(
    seed: bytes, changes: list[tuple[float, int]], in_header: bool
) -> None:
    data = bytearray(seed)
    reach = 200 if in_header else len(data)
    for place, value in changes:
        data[min(int(place * reach), len(data) - 1)] = value
    read_or_refused(bytes(data))


@settings(max_examples=repeated(100), deadline=None)
@given(seed=st.sampled_from(SEEDS), begin=st.floats(0, 1), lost=st.floats(0, 1))
def test_a_picture_with_a_piece_missing_is_a_picture_or_one_line(
    seed: bytes, begin: float, lost: float
) -> None:
    at = int(begin * len(seed))
    read_or_refused(seed[:at] + seed[at + int(lost * (len(seed) - at)) :])


def test_opencv_does_not_print_beside_our_line(capfd: pytest.CaptureFixture[str]) -> None:
    damaged = bytearray(encoded(speckled(), ".bmp"))
    damaged[30] = 77  # a compression that does not exist
    refusal(bytes(damaged))
    assert capfd.readouterr().err == ""
