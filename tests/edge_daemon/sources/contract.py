"""What every source must keep to, whoever wrote it.

A test class inherits :class:`SourceContract` and gives a fixture ``make_source`` that returns a
new, unopened source each time it is called, with at least three frames to give.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import islice, pairwise
from typing import TypeAlias

import numpy as np
import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Captured, Frame, Source

MakeSource: TypeAlias = Callable[[], Source]

AT_MOST = 40
"""How many frames of a source without end (which announces None) are looked at."""


def taken(source: Source, at_most: int = AT_MOST) -> list[Captured]:
    """The first frames of a source, which is opened and closed."""
    with source:
        return list(islice(source, at_most))


class SourceContract:
    def test_indices_count_from_zero_without_a_gap(self, make_source: MakeSource) -> None:
        indices = [captured.index for captured in taken(make_source())]
        assert len(indices) >= 3
        assert indices == list(range(len(indices)))

    def test_times_of_capture_are_utc_and_never_run_back(self, make_source: MakeSource) -> None:
        times = [captured.captured_at for captured in taken(make_source())]
        assert all(time.utcoffset() == timedelta(0) for time in times)
        assert all(earlier <= later for earlier, later in pairwise(times))

    def test_pixels_are_contiguous_rgb_uint8(self, make_source: MakeSource) -> None:
        frames = [captured for captured in taken(make_source()) if isinstance(captured, Frame)]
        assert frames
        for frame in frames:
            assert frame.pixels.dtype == np.uint8
            assert frame.pixels.ndim == 3
            assert frame.pixels.shape[2] == 3
            assert frame.pixels.flags.c_contiguous

    def test_frames_do_not_share_pixels(self, make_source: MakeSource) -> None:
        """A later frame must not overwrite one that the pipeline still works on."""
        frames = [captured for captured in taken(make_source()) if isinstance(captured, Frame)]
        for earlier, later in pairwise(frames):
            assert not np.shares_memory(earlier.pixels, later.pixels)

    def test_it_gives_as_many_as_it_announced(self, make_source: MakeSource) -> None:
        source = make_source()
        with source:
            announced = source.frame_count
            given = sum(1 for _ in (source if announced is not None else islice(source, AT_MOST)))
        assert given == (announced if announced is not None else AT_MOST)

    def test_every_captured_picture_names_its_source(self, make_source: MakeSource) -> None:
        source = make_source()
        assert source.name
        assert "\n" not in source.name
        assert all(captured.source for captured in taken(source))

    def test_what_was_not_read_says_why_in_one_line(self, make_source: MakeSource) -> None:
        for captured in taken(make_source()):
            if not isinstance(captured, Frame):
                assert captured.reason.strip()
                assert "\n" not in captured.reason

    def test_iterated_before_it_is_open_it_refuses(self, make_source: MakeSource) -> None:
        with pytest.raises(SourceError):
            next(iter(make_source()))

    def test_iterated_a_second_time_it_refuses(self, make_source: MakeSource) -> None:
        with make_source() as source:
            next(iter(source))
            with pytest.raises(SourceError):
                next(iter(source))

    def test_iterated_after_it_is_closed_it_refuses(self, make_source: MakeSource) -> None:
        source = make_source()
        with source:
            pass
        with pytest.raises(SourceError):
            next(iter(source))

    def test_an_iteration_does_not_outlive_the_source(self, make_source: MakeSource) -> None:
        source = make_source()
        with source:
            frames = iter(source)
            next(frames)
        with pytest.raises(SourceError):
            next(frames)

    def test_it_cannot_be_opened_twice(self, make_source: MakeSource) -> None:
        source = make_source()
        with source, pytest.raises(SourceError), source:
            pass

    def test_it_closes_when_the_pipeline_fails(self, make_source: MakeSource) -> None:
        source = make_source()
        with pytest.raises(RuntimeError, match="pipeline"), source:
            raise RuntimeError("the pipeline failed")
        with pytest.raises(SourceError):
            next(iter(source))
