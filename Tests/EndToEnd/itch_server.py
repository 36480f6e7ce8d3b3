"""A venue that speaks ITCH: messages made here or recorded, over SoupBinTCP and MoldUDP64."""

from __future__ import annotations

import gzip
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Iterable
from pathlib import Path


def recorded(path: Path) -> list[bytes]:
    """The messages of a file, each without its length."""
    data = gzip.decompress(path.read_bytes())
    messages, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">H", data, at)
        messages.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return messages


def write_file(path: Path, messages: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(struct.pack(">H", len(message)) + message for message in messages))
    return path


def head(kind: str, locate: int = 1, nanoseconds: int = 34_200_000_000_000) -> bytes:
    return kind.encode() + struct.pack(">HH", locate, 0) + nanoseconds.to_bytes(6, "big")


def directory(stock: str, locate: int = 1) -> bytes:
    return head("R", locate) + stock.ljust(8).encode() + b"QN" + struct.pack(">I", 100) + b"NCZ PN 1N" + struct.pack(">I", 0) + b"N"


def add(order: int, side: str, shares: int, price: int, stock: str = "ABC", locate: int = 1) -> bytes:
    return head("A", locate) + struct.pack(">QcI", order, side.encode(), shares) + stock.ljust(8).encode() + struct.pack(">I", price)


def executed(order: int, shares: int, match: int, locate: int = 1) -> bytes:
    return head("E", locate) + struct.pack(">QIQ", order, shares, match)


def cancelled(order: int, shares: int, locate: int = 1) -> bytes:
    return head("X", locate) + struct.pack(">QI", order, shares)


def deleted(order: int, locate: int = 1) -> bytes:
    return head("D", locate) + struct.pack(">Q", order)


def replaced(order: int, new: int, shares: int, price: int, locate: int = 1) -> bytes:
    return head("U", locate) + struct.pack(">QQII", order, new, shares, price)


class SoupServer:
    """One session after the other; every login gets what it asks for from the messages so far, then those that follow."""

    def __init__(self, messages: list[bytes], session: str = "S1", password: str = "secret") -> None:
        self.messages, self.session, self.password = list(messages), session, password
        self.logins: list[tuple[str, int]] = []
        self.heartbeats = 0
        self.cut_after: int | None = None
        self._connection: socket.socket | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            connection, _ = self._listener.accept()
            with connection:
                self._speak(connection)

    def _read(self, connection: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = connection.recv(count - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def _packet(self, connection: socket.socket) -> tuple[bytes, bytes]:
        (length,) = struct.unpack(">H", self._read(connection, 2))
        body = self._read(connection, length)
        return body[:1], body[1:]

    @staticmethod
    def _framed(kind: bytes, payload: bytes = b"") -> bytes:
        return struct.pack(">H", 1 + len(payload)) + kind + payload

    def _speak(self, connection: socket.socket) -> None:
        try:
            kind, login = self._packet(connection)
            assert kind == b"L" and len(login) == 46, (kind, login)
            assert login[:6] == b"trader"
            wanted_session, wanted = login[16:26].decode().strip(), int(login[26:46])
            self.logins.append((wanted_session, wanted))
            if login[6:16].decode().rstrip() != self.password:
                connection.sendall(self._framed(b"J", b"A"))
                return
            if wanted_session not in ("", self.session):
                connection.sendall(self._framed(b"J", b"S"))
                return
            following = max(1, wanted)
            connection.sendall(self._framed(b"A", self.session.rjust(10).encode() + str(following).rjust(20).encode()))
            self._follow(connection, following)
        except (ConnectionError, OSError):
            return

    def _follow(self, connection: socket.socket, following: int) -> None:
        sent, said = 0, time.monotonic()
        while not self._stopped.is_set():
            portion = self.messages[following - 1 : following + 99]
            if self.cut_after is not None and sent + len(portion) > self.cut_after:
                # In the middle of a packet, as a connection may be cut.
                whole = b"".join(self._framed(b"S", message) for message in portion[: self.cut_after - sent + 1])
                self.cut_after = None
                connection.sendall(whole[:-3])
                return
            if portion:
                connection.sendall(b"".join(self._framed(b"S", message) for message in portion))
                following += len(portion)
                sent += len(portion)
                said = time.monotonic()
            elif time.monotonic() - said > 0.5:
                connection.sendall(self._framed(b"H"))
                said = time.monotonic()
            if select.select([connection], [], [], 0 if portion else 0.02)[0]:
                kind, _ = self._packet(connection)
                self.heartbeats += kind == b"R"


class MoldServer:
    """Sends packets on lines that lose, repeat and reorder, and answers requests as faithfully as it may."""

    def __init__(self, messages: list[bytes], lines: int = 1, session: str = "M1", seed: int = 1, answers: bool = True) -> None:
        self.messages, self.session, self.answers = list(messages), session, answers
        self.requests = 0
        self.lost = 0
        self._random = random.Random(seed)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._server.bind(("127.0.0.1", 0))
        self.ports = [free_port() for _ in range(lines)]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    @property
    def lines(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.ports]

    @property
    def rerequest_address(self) -> str:
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._socket.close()
        self._server.close()

    def packet(self, first: int, count: int, mark: int | None = None) -> bytes:
        blocks = self.messages[first - 1 : first - 1 + count]
        header = self.session.ljust(10).encode() + struct.pack(">QH", first, len(blocks) if mark is None else mark)
        return header + b"".join(struct.pack(">H", len(block)) + block for block in blocks)

    def heartbeat(self) -> None:
        for port in self.ports:
            self._socket.sendto(self.packet(len(self.messages) + 1, 0), ("127.0.0.1", port))

    def send(self, first: int = 1, loses: float = 0.0, repeats: float = 0.0, reorders: float = 0.0) -> None:
        """Everything from `first` on, each packet on every line, not too fast for a kernel's buffer."""
        held: list[tuple[int, bytes]] = []
        at = first
        while at <= len(self.messages):
            count = self._random.randint(1, 20)
            for port in self.ports:
                if self._random.random() < loses:
                    self.lost += 1
                    continue
                packet = self.packet(at, count)
                if self._random.random() < reorders:
                    held.append((port, packet))
                    continue
                for _ in range(2 if self._random.random() < repeats else 1):
                    self._socket.sendto(packet, ("127.0.0.1", port))
            if len(held) > 3:
                for port, packet in held:
                    self._socket.sendto(packet, ("127.0.0.1", port))
                held = []
            at += count
            if self._random.random() < 0.05:
                time.sleep(0.001)
        for port, packet in held:
            self._socket.sendto(packet, ("127.0.0.1", port))
        self.heartbeat()

    def send_to_group(self, group: str, port: int) -> None:
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        self._socket.sendto(self.packet(1, len(self.messages)), (group, port))

    def _answer(self) -> None:
        while not self._stopped.is_set():
            if not select.select([self._server], [], [], 0.05)[0]:
                continue
            request, sender = self._server.recvfrom(65_536)
            assert len(request) == 20, request
            session, first, count = request[:10].decode().strip(), *struct.unpack(">QH", request[10:])
            assert session == self.session and 1 <= first and count > 0
            self.requests += 1
            # An answer is one packet with what fits into it.
            if self.answers:
                self._server.sendto(self.packet(first, min(count, 30)), sender)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
