"""Many clients that come and go, in a process of their own: `python churning.py HOST:PORT SYMBOL --connections 10000 ...`.

Raw sockets in one epoll set: connect from one of several addresses, ask for a WebSocket, subscribe, ping, and after a while leave, one
half with a close frame and the other by hanging up. Prints a line of JSON after each stage: when all have come and gone once, when all have come
again, after the churn, when all have gone. Waits for a line of input after each but the third.
"""

from __future__ import annotations

import argparse
import collections
import json
import select
import socket
import struct
import sys
import time

SOURCES = [f"127.0.0.{last}" for last in range(2, 12)]
REQUEST = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
NOW = struct.pack("ii", 1, 0)
# Connections that are being made at once.
BUSY_MOST = 256


def text_frame(text: str) -> bytes:
    data = text.encode()
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data)]) + bytes(4) + data


class Client:
    __slots__ = ("asked_at", "is_leaving", "is_open", "pending", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.is_open = False
        self.is_leaving = False
        self.asked_at = 0.0
        # The answer's head, as far as it has come.
        self.pending = b""


class Crowd:
    def __init__(self, host: str, port: int, symbol: str) -> None:
        self.address = (host, port)
        self.request = REQUEST.format(host=f"{host}:{port}").encode()
        subscription = {"type": "subscribe", "channel": "ticker", "symbol": symbol, "intervalMs": 1000}
        self.greeting = text_frame(json.dumps(subscription)) + text_frame('{"type":"ping","id":1}')
        self.set = select.epoll()
        self.clients: dict[int, Client] = {}
        self.order: collections.deque[Client] = collections.deque()
        self.busy = 0
        self.made = 0
        self.heard_bytes = 0
        self.faults: collections.Counter[str] = collections.Counter()
        self.round_trips: list[float] = []

    def open(self) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        connection.bind((SOURCES[self.made % len(SOURCES)], 0))
        self.made += 1
        connection.connect_ex(self.address)
        self.clients[connection.fileno()] = Client(connection)
        self.set.register(connection.fileno(), select.EPOLLOUT)
        self.busy += 1

    def leave(self, politely: bool) -> None:
        while self.order:
            client = self.order.popleft()
            if self.clients.get(client.socket.fileno()) is not client:
                continue
            if politely:
                client.is_leaving = True
                client.socket.send(b"\x88\x82\0\0\0\0\x03\xe8")
            else:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
                self.forget(client)
            return

    def forget(self, client: Client) -> None:
        self.set.unregister(client.socket.fileno())
        del self.clients[client.socket.fileno()]
        client.socket.close()

    def turn(self, seconds: float) -> None:
        for descriptor, events in self.set.poll(seconds, 1024):
            client = self.clients.get(descriptor)
            if client is None:
                continue
            if events & select.EPOLLOUT:
                self.connected(client)
            else:
                self.readable(client)

    def connected(self, client: Client) -> None:
        failure = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            self.lose(client, f"connect: {failure}")
            return
        client.socket.send(self.request)
        self.set.modify(client.socket.fileno(), select.EPOLLIN)

    def readable(self, client: Client) -> None:
        try:
            data = client.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError as failure:
            self.lose(client, f"read: {failure.errno}")
            return
        if not data:
            if client.is_leaving:
                self.forget(client)
            else:
                self.lose(client, "hung up")
            return
        self.heard_bytes += len(data)
        if not client.is_open:
            client.pending += data
            if b"\r\n\r\n" not in client.pending:
                return
            if b" 101 " not in client.pending[:20]:
                self.lose(client, client.pending[:20].decode(errors="replace"))
                return
            client.is_open, client.pending = True, b""
            self.busy -= 1
            client.asked_at = time.monotonic()
            client.socket.send(self.greeting)
            self.order.append(client)
        elif client.asked_at and b'"pong"' in data:
            self.round_trips.append(time.monotonic() - client.asked_at)
            client.asked_at = 0.0

    def lose(self, client: Client, why: str) -> None:
        self.faults[why] += 1
        if not client.is_open:
            self.busy -= 1
        self.forget(client)

    def come(self, count: int) -> None:
        deadline = time.monotonic() + 120
        while len(self.order) < count:
            assert time.monotonic() < deadline, "they do not come"
            while self.busy < BUSY_MOST and len(self.order) + self.busy < count:
                self.open()
            self.turn(0.1)

    def churn(self, seconds: float, per_second: float) -> int:
        begun, done = time.monotonic(), 0
        while (elapsed := time.monotonic() - begun) < seconds:
            while done < elapsed * per_second and self.busy < BUSY_MOST:
                self.leave(politely=done % 2 == 0)
                self.open()
                done += 1
            self.turn(0.002)
        while self.busy:
            self.turn(0.1)
        return done

    def go(self) -> None:
        while self.order:
            self.leave(politely=True)
            self.turn(0)
        deadline = time.monotonic() + 30
        while self.clients and time.monotonic() < deadline:
            self.turn(0.1)
        self.faults["never let go"] += len(self.clients)

    def say(self, **more: object) -> None:
        times = sorted(self.round_trips)
        p99_ms = times[int(len(times) * 0.99)] * 1000 if times else None
        faults = {name: count for name, count in self.faults.items() if count}
        print(json.dumps({"faults": faults, "made": self.made, "heard": self.heard_bytes, "p99_ms": p99_ms, **more}), flush=True)
        self.round_trips.clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("symbol")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--per-second", type=float, default=500)
    options = parser.parse_args()
    host, port = options.address.rsplit(":", 1)
    crowd = Crowd(host, int(port), options.symbol)
    # A little of it first, so that what stays afterwards is compared with what stays anyway.
    crowd.come(options.connections)
    crowd.churn(min(5, options.seconds), options.per_second)
    crowd.go()
    crowd.say(stage="warm")
    sys.stdin.readline()
    crowd.come(options.connections)
    crowd.say(stage="come", open=len(crowd.order))
    sys.stdin.readline()
    done = crowd.churn(options.seconds, options.per_second)
    crowd.say(stage="churned", churned=done, open=len(crowd.order))
    crowd.go()
    crowd.say(stage="gone")
    sys.stdin.readline()


if __name__ == "__main__":
    main()
