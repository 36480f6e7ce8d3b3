"""A WebSocket client of bytes, for what no library would send or leave unread."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable

from hub import Hub

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SECONDS_MOST = 15


class RawSocket:
    """A TCP connection to the hub's listener for clients."""

    def __init__(self, hub: Hub, listener: str = "web", receive_bytes: int | None = None) -> None:
        host, port = hub.listeners[listener].rsplit(":", 1)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(SECONDS_MOST)
        self.socket.connect((host, int(port)))
        self.host = hub.listeners[listener]
        self.unread = b""
        # Of the last frame that was read.
        self.was_compressed = False

    def __enter__(self) -> RawSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_beside(self, portions: Iterable[bytes]) -> threading.Thread:
        """Sends on a thread of its own, as far as the hub reads, so that answers can be read meanwhile."""

        def send() -> None:
            with contextlib.suppress(OSError):
                for portion in portions:
                    self.socket.sendall(portion)

        sender = threading.Thread(target=send)
        sender.start()
        return sender

    def ask(self, path: str, headers: dict[str, str | None] | None = None, method: str = "GET") -> tuple[int, str, bytes]:
        """Sends one request, with a Host unless told otherwise; the status, the header, and the body as it is announced."""
        lines = {"Host": self.host, **(headers or {})}
        text = f"{method} {path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in lines.items() if value is not None
        )
        self.send(text.encode("latin-1") + b"\r\n")
        return self.answer()

    def answer(self) -> tuple[int, str, bytes]:
        while b"\r\n\r\n" not in self.unread:
            self._read()
        header, _, self.unread = self.unread.partition(b"\r\n\r\n")
        text = header.decode("latin-1")
        length = 0
        for line in text.lower().splitlines():
            if line.startswith("content-length:"):
                length = int(line.split(":")[1])
        while len(self.unread) < length:
            self._read()
        body, self.unread = self.unread[:length], self.unread[length:]
        return int(text.split()[1]), text, body

    def _read(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the hub hung up")
        self.unread += data

    def upgrade(self, path: str, **headers: str | None) -> tuple[int, str, bytes]:
        """Asks for a WebSocket; headers are given with underscores, None leaves one out."""
        wanted: dict[str, str | None] = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        }
        if path == "/ws/v2":
            wanted["Sec-WebSocket-Protocol"] = "market-hub.v2.protobuf"
        return self.ask(path, {**wanted, **{name.replace("_", "-"): value for name, value in headers.items()}})

    def frame(self, opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, length: int | None = None) -> None:
        """Sends one frame; `length` is what it claims to have instead of what it has."""
        claimed = len(payload) if length is None else length
        head = bytes([(128 if final else 0) | opcode])
        mask_bit = 128 if masked else 0
        if claimed < 126:
            head += bytes([mask_bit | claimed])
        elif claimed < 65536:
            head += bytes([mask_bit | 126]) + struct.pack(">H", claimed)
        else:
            head += bytes([mask_bit | 127]) + struct.pack(">Q", claimed)
        # A mask of zeros is a mask, and leaves the payload as it is.
        self.send(head + (bytes(4) if masked else b"") + payload)

    def next_frame(self) -> tuple[int, bytes]:
        """Kind and payload; the hub sends whole unmasked frames."""
        while True:
            data = self.unread
            if len(data) >= 2:
                length, start = data[1] & 127, 2
                if length == 126 and len(data) >= 4:
                    length, start = struct.unpack(">H", data[2:4])[0], 4
                elif length == 127 and len(data) >= 10:
                    length, start = struct.unpack(">Q", data[2:10])[0], 10
                elif length >= 126:
                    length = 1 << 62
                if len(data) >= start + length:
                    self.unread = data[start + length :]
                    self.was_compressed = bool(data[0] & 0x40)
                    return data[0] & 15, data[start : start + length]
            self._read()

    def close_code(self) -> int:
        """Reads on to the close frame; 1006 when the connection ends without one."""
        deadline = time.monotonic() + SECONDS_MOST
        try:
            while time.monotonic() < deadline:
                kind, payload = self.next_frame()
                if kind == CLOSE:
                    return struct.unpack(">H", payload[:2])[0] if payload else 1005
        except (EOFError, ConnectionResetError):
            return 1006
        raise AssertionError("the hub did not close the connection")

    def is_hung_up(self, seconds: float = SECONDS_MOST) -> bool:
        """Whether the hub ends the connection in this time; what it says before is thrown away."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            pass
        return True
