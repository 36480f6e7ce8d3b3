"""A venue that speaks FIX: sessions with counts, heartbeats and resends, and books that can be asked for."""

from __future__ import annotations

import contextlib
import gzip
import select
import socket
import ssl
import threading
import time
from pathlib import Path

SOH = "\x01"
Fields = dict[int, str]


def framed(body: str, begin: str, *, wrong_sum: bool = False) -> bytes:
    """A whole message around fields that are written with bars between them."""
    content = body.strip("|").replace("|", SOH) + SOH
    head = f"8={begin}{SOH}9={len(content)}{SOH}{content}".encode()
    return head + f"10={(sum(head) + wrong_sum) % 256:03}{SOH}".encode()


def recorded(path: Path) -> list[str]:
    """The bodies of a file's messages, fields with bars between them, without header and trailer of the frame."""
    text = gzip.decompress(path.read_bytes()).decode("latin-1")
    return ["|".join(part.split(SOH)[2:-2]) for part in text.split("8=FIXT.1.1")[1:]]


class FixServer:
    """One session after the other. What the test says goes to the session that is there; both counts begin anew with each."""

    def __init__(
        self,
        *,
        begin: str = "FIX.4.4",
        password: str = "secret",
        trust: ssl.SSLContext | None = None,
        books: dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]] | None = None,
        is_open: bool = True,
    ) -> None:
        self.begin, self.password, self.books = begin, password, books or {}
        self.received: list[Fields] = []
        self.logons = 0
        # The number of the next snapshot among all that its application says; none where that counts nothing.
        self.application: int | None = None
        # Whether it says nothing any more, and whether it fills holes with nothing rather than with what was there.
        self.is_silent = self.fills_with_nothing = False
        self._trust = trust
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._sent: dict[int, str] = {}
        self._next = 1
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        if is_open:
            self.open()

    def open(self) -> None:
        """Lets sessions begin; until then whoever connects waits."""
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'tls' if self._trust else 'tcp'}://localhost:{self._listener.getsockname()[1]}"

    def of_kind(self, kind: str) -> list[Fields]:
        """What the hub sent of one kind of message."""
        return [message for message in list(self.received) if message[35] == kind]

    def stop(self) -> None:
        self._stopped.set()
        self.cut()
        if self._thread.ident:
            self._thread.join()
        self._listener.close()

    def cut(self) -> None:
        """Ends the connection without a word."""
        with self._lock:
            if self._connection:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)

    def say(self, body: str, *, is_lost: bool = False, wrong_sum: bool = False) -> None:
        """Sends one message with the next number, garbled or not at all if it is to be missed."""
        with self._lock:
            self._say(body, is_lost=is_lost, wrong_sum=wrong_sum)

    def say_all(self, bodies: list[str]) -> None:
        with self._lock:
            assert self._connection is not None
            self._connection.sendall(b"".join(self._numbered(body) for body in bodies))

    def raw(self, data: bytes) -> None:
        with self._lock:
            assert self._connection is not None
            self._connection.sendall(data)

    # ---- a session ----------------------------------------------------------------------------------------------------------

    def _numbered(self, body: str, *, wrong_sum: bool = False) -> bytes:
        self._sent[self._next] = body
        data = self._message(body, self._next, wrong_sum=wrong_sum)
        self._next += 1
        return data

    def _message(self, body: str, number: int, more: str = "", *, wrong_sum: bool = False) -> bytes:
        kind, _, rest = body.partition("|")
        # A recorded message tells its own time of sending.
        time_sent = "" if rest.startswith("52=") else f"|52={time.strftime('%Y%m%d-%H:%M:%S', time.gmtime())}"
        return framed(f"{kind}|49=VENUE|56=HUB|34={number}{more}{time_sent}|{rest}", self.begin, wrong_sum=wrong_sum)

    def _say(self, body: str, *, is_lost: bool = False, wrong_sum: bool = False) -> None:
        data = self._numbered(body, wrong_sum=wrong_sum)
        if self._connection and not is_lost and not self.is_silent:
            self._connection.sendall(data)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            plain, _ = self._listener.accept()
            try:
                connection = self._trust.wrap_socket(plain, server_side=True) if self._trust else plain
                with self._lock:
                    self._connection, self._sent, self._next, self.is_silent = connection, {}, 1, False
                self._speak(connection)
            except (ConnectionError, OSError):
                continue
            finally:
                with self._lock:
                    self._connection = None
                plain.close()

    def _speak(self, connection: socket.socket) -> None:
        data, heard, seconds = b"", time.monotonic(), 0.0
        connection.settimeout(0.05)
        while not self._stopped.is_set():
            try:
                part = connection.recv(65_536)
                if not part:
                    return
                data += part
            except TimeoutError:
                part = b""
            while (end := data.find(b"\x0110=")) >= 0 and len(data) >= end + 8:
                message, data = data[: end + 8], data[end + 8 :]
                fields = self._checked(message)
                self.received.append(fields)
                with self._lock:
                    if not self._answer(fields):
                        return
                if fields[35] == "A":
                    seconds = int(fields[108])
            if seconds and time.monotonic() - heard > seconds / 2:
                heard = time.monotonic()
                self.say("35=0")

    def _checked(self, message: bytes) -> Fields:
        whole, _, told = message[:-1].rpartition(b"\x0110=")
        assert sum(whole) + 1 & 255 == int(told), message
        fields = {int(tag): value for tag, _, value in (part.partition("=") for part in whole.decode().split(SOH))}
        assert fields[8] == self.begin and fields[49] == "HUB" and fields[56] == "VENUE", fields
        return fields

    def _answer(self, fields: Fields) -> bool:
        """Whether the session goes on."""
        kind = fields[35]
        if kind == "A":
            self.logons += 1
            if fields.get(554) != self.password:
                self._say("35=5|58=unknown user or wrong password")
                return False
            self._say(f"35=A|98=0|108={fields[108]}|141=Y")
        elif kind == "1":
            self._say(f"35=0|112={fields[112]}")
        elif kind == "2":
            self._send_again(int(fields[7]))
        elif kind == "5":
            return False
        elif kind == "V" and fields[263] == "1":
            self._say(self.snapshot(fields[55]) if fields[55] in self.books else f"35=Y|262={fields[262]}|58=no such instrument")
        return True

    def snapshot(self, symbol: str) -> str:
        bids, asks = self.books[symbol]
        entries = [f"269={side}|270={price}|271={size}" for side, levels in enumerate((bids, asks)) for price, size in levels]
        counted = ""
        if self.application is not None:
            counted = f"|1180=APP|1181={self.application}"
            self.application += 1
        return f"35=W{counted}|55={symbol}|268={len(entries)}|" + "|".join(entries)

    def _send_again(self, first: int) -> None:
        assert self._connection
        if self.fills_with_nothing:
            self._connection.sendall(self._message(f"35=4|123=Y|36={self._next}", first, "|43=Y"))
            return
        for number in range(first, self._next):
            body = self._sent[number]
            if body[3] in "0A1245" and body[4:5] in ("|", ""):
                body = f"35=4|123=Y|36={number + 1}"
            self._connection.sendall(self._message(body, number, "|43=Y"))
