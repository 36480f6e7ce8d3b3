"""Clients of both channels, made of `websockets` and of what protoc says: none of the hub's own code."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from websockets.sync.client import ClientConnection, connect

from hub import ROOT, Hub

SUBPROTOCOL = "market-hub.v2.protobuf"
# How long anything may take that should come at once; generous, because the machine may be busy.
SECONDS_MOST = 15
CHANNELS = {"ticker": 1, "trades": 2, "book": 3, "candles": 4, "status": 5}
# Of few instruments; not among the channels that every instrument has.
ORDERS = 6
EVERY, CONFLATE, LATEST = 1, 2, 3
SNAPSHOT = 1


def contract() -> dict[str, type]:
    """The messages of Proto/market_hub.proto by name.

    Made from protoc's descriptors at run time, because generated modules want the protoc of their own release.
    """
    with tempfile.NamedTemporaryFile() as made:
        subprocess.run(
            ["protoc", f"--proto_path={ROOT / 'Proto'}", f"--descriptor_set_out={made.name}", "market_hub.proto"],
            check=True,
        )
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(made.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    names = [message.name for message in files.file[0].message_type]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"markethub.v2.{name}")) for name in names
    }


messages = contract()
ClientFrame, ServerFrame = messages["ClientFrame"], messages["ServerFrame"]


def secured(url: str, trust: ssl.SSLContext) -> ssl.SSLSocket:
    """A TLS connection that has read its session tickets.

    `websockets` reads in a thread of its own. When tickets arrive while another thread writes, OpenSSL, which is not
    made for that, now and then loses what was written: about one connection in a hundred then says nothing at all.
    """
    address = urlsplit(url)
    plain = socket.create_connection((address.hostname, address.port), timeout=SECONDS_MOST)
    try:
        secure = trust.wrap_socket(plain, server_hostname=address.hostname)
    except BaseException:
        plain.close()
        raise
    secure.setblocking(False)
    # The first may take its time, the second follows at once.
    for seconds in (1, 0.02):
        select.select([secure], [], [], seconds)
        with contextlib.suppress(ssl.SSLWantReadError):
            secure.recv(1)
    secure.setblocking(True)
    return secure


class Client:
    """What both channels have in common: a socket, and waiting with an end."""

    def __init__(self, url: str, **options: Any) -> None:
        # Without a bound on what is read ahead, because a full queue would hide the answer to a close.
        options = {"compression": None, "max_size": None, "max_queue": None, "ping_interval": None, **options}
        if trust := options.pop("ssl", None):
            options["sock"] = secured(url, trust)
            url = url.replace("wss://", "ws://", 1)
        self._connection = connect(url, open_timeout=SECONDS_MOST, close_timeout=SECONDS_MOST, **options)
        self.socket: ClientConnection = self._connection.__enter__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.__exit__(None, None, None)

    def close_code(self, seconds: float = SECONDS_MOST) -> int | None:
        """Reads on until the hub has closed; its code."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self.socket.recv(timeout=max(0, deadline - time.monotonic()))
        except TimeoutError:
            raise AssertionError(f"the hub did not close the connection within {seconds} s") from None
        except Exception:
            return self.socket.close_code


class Legacy(Client):
    """A client of `/ws`."""

    def __init__(self, hub: Hub, **options: Any) -> None:
        super().__init__(hub.legacy_url, **options)

    def send(self, request: object) -> None:
        self.socket.send(request if isinstance(request, str) else json.dumps(request))

    def next(self, seconds: float = SECONDS_MOST) -> str:
        text = self.socket.recv(timeout=seconds)
        assert isinstance(text, str), "a binary frame on the text channel"
        return text

    def until(self, is_wanted: Callable[[dict[str, Any]], bool], seconds: float = SECONDS_MOST) -> dict[str, Any]:
        """The first object that fits; those before it are passed over."""
        deadline = time.monotonic() + seconds
        while True:
            read = json.loads(self.next(max(0, deadline - time.monotonic())))
            if isinstance(read, dict) and is_wanted(read):
                return read

    def until_type(self, kind: str) -> dict[str, Any]:
        return self.until(lambda frame: frame["type"] == kind)

    def ask(self, request: object, answer: str) -> dict[str, Any]:
        self.send(request)
        return self.until_type(answer)

    def pong(self, number: int) -> None:
        """Returns when everything that was asked before has been answered."""
        self.send({"type": "ping", "id": number})
        self.until(lambda frame: frame["type"] == "pong" and frame["id"] == number)


class Enhanced(Client):
    """A client of `/ws/v2`."""

    def __init__(self, hub: Hub, **options: Any) -> None:
        super().__init__(hub.enhanced_url, subprotocols=[SUBPROTOCOL], **options)
        self.number = 0
        # Pushes that came while a reply was awaited.
        self.pushes: list[Any] = []
        # By topic's id.
        self.topics: dict[int, Any] = {}

    def frame(self, seconds: float = SECONDS_MOST) -> Any:
        data = self.socket.recv(timeout=seconds)
        assert isinstance(data, bytes), "a text frame on the binary channel"
        return ServerFrame.FromString(data)

    def send(self, *commands: dict[str, Any]) -> None:
        """Sends all in one frame; ids count on from the last."""
        frame = ClientFrame()
        for command in commands:
            self.number += 1
            frame.commands.add(id=self.number, **command)
        self.socket.send(frame.SerializeToString())

    def ask(self, seconds: float = SECONDS_MOST, **command: Any) -> Any:
        """The reply to one command; pushes that come first are kept."""
        self.send(command)
        return self.reply(self.number, seconds)

    def reply(self, number: int, seconds: float = SECONDS_MOST) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            frame = self.frame(max(0, deadline - time.monotonic()))
            self.pushes += frame.pushes
            for reply in frame.replies:
                self._learn(reply)
                if reply.id == number:
                    return reply

    def _learn(self, reply: Any) -> None:
        for result in reply.subscribe.results:
            if result.HasField("topic"):
                self.topics[result.topic.id] = result.topic

    def subscribe(self, channel: str, *symbols: str, **settings: Any) -> list[Any]:
        """The topics, one for each instrument that fits."""
        reply = self.ask(subscribe={"channel": ORDERS if channel == "orders" else CHANNELS[channel], "symbols": symbols, **settings})
        assert reply.HasField("subscribe"), reply
        failed = [result for result in reply.subscribe.results if result.HasField("error")]
        assert not failed, failed
        return [result.topic for result in reply.subscribe.results]

    def take(self, seconds: float = SECONDS_MOST) -> list[Any]:
        """Pushes: those that were kept, or those of the next frame."""
        if self.pushes:
            kept, self.pushes = self.pushes, []
            return kept
        frame = self.frame(seconds)
        for reply in frame.replies:
            self._learn(reply)
        return list(frame.pushes)

    def until(self, is_enough: Callable[[list[Any]], bool], seconds: float = SECONDS_MOST) -> list[Any]:
        """Gathers pushes until there are enough of them."""
        deadline = time.monotonic() + seconds
        gathered: list[Any] = []
        while not is_enough(gathered):
            gathered += self.take(max(0, deadline - time.monotonic()))
        return gathered


def wait_for(condition: Callable[[], Any], what: str, seconds: float = SECONDS_MOST) -> Any:
    """The first true value of the condition, looked at again and again."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
