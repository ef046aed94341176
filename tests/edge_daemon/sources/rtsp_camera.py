"""A network camera in a thread: RTSP 1.0 (RFC 2326) over TCP.

It sends JPEG in RTP (RFC 2435), or a still scene in MPEG-4 (RFC 6416).

Only what a player asks for: OPTIONS, DESCRIBE, SETUP (interleaved), PLAY, TEARDOWN, and Basic
authentication. The player is the real one: FFmpeg inside OpenCV. The camera can stall (the
connection stays, no picture comes), freeze, and go away.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import threading
import time
from types import TracebackType

import cv2
import numpy as np
from typing_extensions import Self

from tests.edge_daemon.sources.still_stream import WHOLE_EVERY, groups

WIDTH, HEIGHT = 160, 120
_FPS = 60
_RTP_CLOCK_HZ = 90_000
_PAYLOAD_JPEG = 26
_PAYLOAD_MPEG4 = 96
_CHUNK = 1200
_Q_TABLES_FOLLOW = 255


class RtspCamera:
    """Serves one picture after another; ``with`` starts and ends it. It keeps its port.

    ``still``: a still scene, strongly compressed (:mod:`tests.edge_daemon.sources.still_stream`).
    """

    def __init__(
        self,
        user: str = "",
        password: str = "",
        port: int = 0,
        *,
        still: bool = False,
        fps: float = _FPS,
    ) -> None:
        self._coded = groups(WIDTH, HEIGHT) if still else None
        self._fps = fps
        self._authorization = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._asks = bool(user)
        self.stalls = threading.Event()
        self.freezes = threading.Event()
        self._ends = threading.Event()
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._server.bind(("127.0.0.1", port))
        self.port = self._server.getsockname()[1]
        self._server.listen()
        self._players: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._count = 0

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.go()

    def go(self) -> None:
        """Switched off: connections break, and nobody listens any more."""
        self._ends.set()
        for one in (self._server, *self._players):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @property
    def players(self) -> int:
        """How many have connected so far."""
        return len(self._players)

    def _accept(self) -> None:
        while not self._ends.is_set():
            try:
                player, _ = self._server.accept()
            except OSError:
                return
            self._players.append(player)
            thread = threading.Thread(target=self._serve, args=(player,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, player: socket.socket) -> None:
        playing: threading.Thread | None = None
        try:
            lines = player.makefile("rb")
            while request := lines.readline().decode().strip():
                headers = {}
                while line := lines.readline().decode().strip():
                    name, _, value = line.partition(":")
                    headers[name.strip().lower()] = value.strip()
                method = request.split()[0]
                self._answer(player, method, request.split()[1], headers)
                if method == "PLAY" and playing is None:
                    playing = threading.Thread(target=self._play, args=(player,), daemon=True)
                    playing.start()
        except (OSError, UnicodeDecodeError):
            return  # what comes after PLAY is the player's RTCP, or the end

    def _answer(
        self, player: socket.socket, method: str, url: str, headers: dict[str, str]
    ) -> None:
        status, more, body = "200 OK", "", ""
        if self._asks and headers.get("authorization") != f"Basic {self._authorization}":
            status, more = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
        elif method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = self._description()
            more = f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\n"
            more += f"Content-Length: {len(body)}\r\n"
        elif method == "SETUP":
            more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif method == "PLAY":
            more = "Session: 1\r\nRange: npt=0-\r\n"
        answer = f"RTSP/1.0 {status}\r\nCSeq: {headers.get('cseq', '0')}\r\n{more}\r\n{body}"
        player.sendall(answer.encode())

    def _play(self, player: socket.socket) -> None:
        sequence, started_s = 0, time.monotonic()
        jpeg = b""
        try:
            while not self._ends.wait(1 / self._fps):
                if self.stalls.is_set():
                    continue
                stamp = int((time.monotonic() - started_s) * _RTP_CLOCK_HZ) & 0xFFFFFFFF
                if self._coded is not None:
                    packets = _mpeg4_packets(self._next_coded(self._coded), sequence, stamp)
                else:
                    if not jpeg or not self.freezes.is_set():
                        jpeg = self._next_jpeg()
                    packets = _packets(jpeg, sequence, stamp)
                for packet in packets:
                    player.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                    sequence = (sequence + 1) & 0xFFFF
        except OSError:
            return

    def _description(self) -> str:
        payload, name = (
            (_PAYLOAD_JPEG, "JPEG") if self._coded is None else (_PAYLOAD_MPEG4, "MP4V-ES")
        )
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=a camera\r\nt=0 0\r\n"
            f"m=video 0 RTP/AVP {payload}\r\nc=IN IP4 0.0.0.0\r\n"
            f"a=rtpmap:{payload} {name}/90000\r\na=framerate:{self._fps:g}\r\na=control:track0\r\n"
        )

    def _next_coded(self, coded: tuple[tuple[bytes, ...], ...]) -> bytes:
        group, place = divmod(self._count, WHOLE_EVERY)
        self._count += 1
        if place == 0 and self.freezes.is_set() and group:
            self._count -= WHOLE_EVERY  # what was sent last, again
            group -= 1
        return coded[group % len(coded)][place]

    def _next_jpeg(self) -> bytes:
        self._count += 1
        noise = np.random.default_rng(self._count).integers(0, 60, (HEIGHT, WIDTH, 3))
        picture = (np.array([180, 160, 205]) - noise).astype(np.uint8)
        return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _mpeg4_packets(coded: bytes, sequence: int, stamp: int) -> list[bytes]:
    """RFC 6416: the bytes as they are, in as many packets as it takes."""
    packets = []
    for offset in range(0, len(coded), _CHUNK):
        last = offset + _CHUNK >= len(coded)
        header = struct.pack(
            ">BBHII",
            0x80,
            (0x80 if last else 0) | _PAYLOAD_MPEG4,
            (sequence + len(packets)) & 0xFFFF,
            stamp,
            0x1234,
        )
        packets.append(header + coded[offset : offset + _CHUNK])
    return packets


def _packets(jpeg: bytes, sequence: int, stamp: int) -> list[bytes]:
    """RFC 2435: the tables travel in the first packet, the entropy-coded data in all of them."""
    tables = b""
    at = 2
    while True:
        marker, length = jpeg[at + 1], struct.unpack_from(">H", jpeg, at + 2)[0]
        segment = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDB:
            while segment:
                tables += segment[1:65]
                segment = segment[65:]
        if marker == 0xDA:
            break
    scan = jpeg[at:-2]  # without the end of image
    packets = []
    for offset in range(0, len(scan), _CHUNK):
        last = offset + _CHUNK >= len(scan)
        header = struct.pack(
            ">BBHII",
            0x80,
            (0x80 if last else 0) | _PAYLOAD_JPEG,
            (sequence + len(packets)) & 0xFFFF,
            stamp,
            0x1234,
        )
        header += struct.pack(">I", offset)  # type-specific 0, then 24 bits of offset
        header += struct.pack(">BBBB", 1, _Q_TABLES_FOLLOW, WIDTH // 8, HEIGHT // 8)
        if offset == 0:
            header += struct.pack(">BBH", 0, 0, len(tables)) + tables
        packets.append(header + scan[offset : offset + _CHUNK])
    return packets
