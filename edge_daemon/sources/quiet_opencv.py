"""OpenCV's own messages are switched off: the operator gets one line from us, not ten from it."""

from __future__ import annotations

import os
from functools import cache

import cv2


@cache
def quiet_opencv() -> None:
    """Silence OpenCV's log and FFmpeg's, once in a process, unless the environment asks for it."""
    if "OPENCV_LOG_LEVEL" not in os.environ:
        # Linux distributions' and JetPack's builds have the one or the other.
        if hasattr(cv2.utils, "logging"):
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        elif hasattr(cv2, "setLogLevel"):
            cv2.setLogLevel(0)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
