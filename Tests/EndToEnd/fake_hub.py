#!/usr/bin/env python3
"""A stand-in for the hub that shows the page what the real one rarely does: gaps, silence, refusals, late instruments.

It serves web-client/dist as assets.json says and speaks as much of the enhanced channel as the page uses. Tests steer
it from their own thread (`with FakeHub() as hub`); by hand:
`.build/venv/bin/python Tests/EndToEnd/fake_hub.py --port 8080`.
"""

import argparse
import asyncio
import contextlib
import gzip
import http
import json
import math
import random
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "web-client" / "dist"
SUBPROTOCOL = "market-hub.v2.protobuf"
TICKER, STATUS = 1, 5
SNAPSHOT, STALE = 1, 16


def contract() -> dict[str, type]:
    """The messages of Proto/market_hub.proto by name, made at run time so that no protoc version must fit."""
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


proto = contract()


@dataclass
class Market:
    """One instrument and its day."""

    id: int
    symbol: str
    venue: str
    price_scale: int
    price: int
    quantity_scale: int = 4
    day_volume: int = 0
    sequence: int = 1
    status_sequence: int = 1
    state: int = 3
    stale: bool = False
    received_ns: int = field(default_factory=time.time_ns)

    def __post_init__(self) -> None:
        # Every market starts somewhere else in its day.
        self.open = int(self.price * (1 + 0.04 * math.sin(self.id * 2.4)))
        self.high = max(self.open, self.price)
        self.low = min(self.open, self.price)
        self.day_volume = (self.id * 7919 + 13) * 10**self.quantity_scale

    def tick(self, chance: random.Random) -> None:
        self.price = max(10, self.price + round(self.price * chance.gauss(0, 0.0002)))
        self.high, self.low = max(self.high, self.price), min(self.low, self.price)
        self.day_volume += chance.randrange(1, 10**self.quantity_scale)
        self.sequence += 1
        self.received_ns = time.time_ns()

    def instrument(self):
        return proto["Instrument"](
            id=self.id, symbol=self.symbol, venue=self.venue, raw_symbol=self.symbol, kind=1,
            price_scale=self.price_scale, quantity_scale=self.quantity_scale, tick=1, lot=1,
        )

    def ticker(self):
        half = max(1, self.price // 20_000)
        return proto["Ticker"](
            bid_price=self.price - half, bid_quantity=12_345, ask_price=self.price + half, ask_quantity=23_456,
            last_price=self.price, last_quantity=100, day_open=self.open, day_high=self.high, day_low=self.low,
            day_volume=self.day_volume,
        )


PAIRS = [
    ("BTC-USD", "kraken", 2, 9_741_235), ("BTC-USD", "coinbase", 2, 9_741_190), ("ETH-USD", "kraken", 2, 345_612),
    ("SOL-USD", "kraken", 3, 187_431), ("XRP-USD", "coinbase", 4, 21_934), ("DOGE-USD", "binance", 5, 31_877),
    ("ADA-EUR", "kraken", 6, 712_345), ("SHIB-USDT", "binance", 8, 2_471), ("LTC-USD", "coinbase", 2, 9_512),
    ("EUR-USD", "synthetic", 5, 105_431), ("XAU-USD", "synthetic", 2, 402_117), ("ES-2612", "synthetic", 2, 665_225),
]


def default_markets(count: int = 12) -> list[Market]:
    markets = [Market(index, *pair) for index, pair in enumerate(PAIRS[:count])]
    for index in range(len(markets), count):
        markets.append(Market(index, f"SYM{index:03}-USD", "synthetic", 2, 10_000 + 137 * index))
    return markets


class FakeHub:
    def __init__(self, markets: list[Market] | None = None, rate: float = 200, port: int = 0):
        self.markets = markets or default_markets()
        self.rate = rate
        self.asked_port = port
        self.clock_ahead_ns = 0
        self.is_paused = False
        self.is_deaf = False
        self.refuses = False
        self.close_code = 1012
        self.connects = 0
        self.subscribed: list[list[str]] = []
        self.resynced: list[list[int]] = []
        self._skip: set[str] = set()
        self._clients: dict[ServerConnection, set[int]] = {}
        self._chance = random.Random(7)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop

    # ---- for tests -----------------------------------------------------------------------------------------------

    def __enter__(self) -> "FakeHub":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fake hub")
        self._thread.start()
        assert self._ready.wait(10), "the fake hub did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def page_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def lose_push(self, symbol: str) -> None:
        """The next push of the symbol goes out to nobody, though it counts."""
        self._skip.add(symbol)

    def cut(self) -> None:
        """Ends every connection as a crash would."""
        self._loop.call_soon_threadsafe(lambda: [client.transport.abort() for client in list(self._clients)])

    def close_all(self, code: int, reason: str) -> None:
        for client in list(self._clients):
            asyncio.run_coroutine_threadsafe(client.close(code, reason), self._loop).result(5)

    def status(self, symbol: str, state: int, reason: int = 0) -> None:
        self._loop.call_soon_threadsafe(self._status, symbol, state, reason)

    def join(self, market: Market) -> None:
        self._loop.call_soon_threadsafe(self.markets.append, market)

    # ---- serving -------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with serve(
            self._client, "127.0.0.1", self.asked_port, subprotocols=[SUBPROTOCOL], process_request=self._request,
            compression=None, ping_interval=None,
        ) as server:
            self.port = server.sockets[0].getsockname()[1]
            ticking = asyncio.create_task(self._tick())
            self._ready.set()
            await self._stop.wait()
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking

    def _request(self, _: ServerConnection, request: Request) -> Response | None:
        path = request.path.split("?")[0]
        if path == "/ws/v2":
            return Response(503, "Service Unavailable", Headers({"Content-Length": "0"}), b"") if self.refuses else None
        manifest = json.loads((DIST / "assets.json").read_text())
        asset = next((asset for asset in manifest["assets"] if asset["path"] == path), None)
        if asset is None:
            return Response(http.HTTPStatus.NOT_FOUND, "Not Found", Headers({"Content-Length": "0"}), b"")
        body = (DIST / asset["file"]).read_bytes()
        headers = Headers({"Content-Type": asset["type"], "Connection": "close"})
        lasting = asset["cache"] == "immutable"
        headers["Cache-Control"] = "public, max-age=31536000, immutable" if lasting else "public, max-age=300"
        if asset["type"].startswith("text/html"):
            headers.update(manifest["documentHeaders"])
        if asset["gzip"] and "gzip" in request.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
            headers["Vary"] = "Accept-Encoding"
        headers["Content-Length"] = str(len(body))
        return Response(200, "OK", headers, body)

    async def _client(self, client: ServerConnection) -> None:
        self.connects += 1
        self._clients[client] = set()
        try:
            async for data in client:
                if self.is_deaf:
                    continue
                frame = proto["ClientFrame"].FromString(data)
                answer = proto["ServerFrame"]()
                for command in frame.commands:
                    self._answer(client, command, answer)
                await self._send(client, answer)
        except ConnectionClosedError:
            pass  # as cut() wants it
        finally:
            del self._clients[client]

    def _now_ns(self) -> int:
        return time.time_ns() + self.clock_ahead_ns

    async def _send(self, client: ServerConnection, frame) -> None:
        frame.sent_ns = self._now_ns()
        with contextlib.suppress(Exception):
            await client.send(frame.SerializeToString())

    def _answer(self, client: ServerConnection, command, answer) -> None:
        reply = answer.replies.add(id=command.id)
        kind = command.WhichOneof("command")
        if kind == "connect":
            reply.connect.server_ns = self._now_ns()
            reply.connect.version = "0.1.0"
            reply.connect.epoch = 1
            reply.connect.heartbeat_ms = 15_000
            reply.connect.limits.symbols_per_request_most = 100
        elif kind == "ping":
            reply.pong.client_ns = command.ping.client_ns
            reply.pong.server_ns = self._now_ns()
        elif kind == "list":
            page = self.markets[getattr(command.list, "from") :][:5]
            reply.list.instruments.extend(market.instrument() for market in page)
            if page and page[-1] is not self.markets[-1]:
                reply.list.next = page[-1].id + 1
            reply.list.table_version = len(self.markets)
        elif kind == "subscribe":
            self._subscribe(client, command.subscribe, reply, answer)
        elif kind == "resync":
            self.resynced.append(list(command.resync.topics))
            for topic in command.resync.topics:
                market, channel = self.markets[topic // 10], topic % 10
                sequence = market.sequence if channel == TICKER else market.status_sequence
                reply.resync.topics.add(topic=topic, sequence=sequence)
                self._push(answer, market, channel, 0, SNAPSHOT)
        elif kind == "unsubscribe":
            ends = set(command.unsubscribe.topics)
            if "*" in command.unsubscribe.symbols:
                ends = {topic for topic in self._clients[client] if topic % 10 == command.unsubscribe.channel}
            self._clients[client] -= ends
            reply.unsubscribe.topics.extend(ends)

    def _subscribe(self, client: ServerConnection, subscribe, reply, answer) -> None:
        self.subscribed.append(list(subscribe.symbols))
        for wanted in subscribe.symbols:
            for market in self.markets:
                if wanted not in ("*", f"{market.symbol}@{market.venue}"):
                    continue
                id = market.id * 10 + subscribe.channel
                self._clients[client].add(id)
                sequence = market.sequence if subscribe.channel == TICKER else market.status_sequence
                topic = reply.subscribe.results.add(symbol=wanted).topic
                topic.id, topic.channel, topic.epoch, topic.sequence = id, subscribe.channel, 1, sequence
                topic.instrument.CopyFrom(market.instrument())
                self._push(answer, market, subscribe.channel, sequence, SNAPSHOT)

    def _push(self, frame, market: Market, channel: int, previous: int, flags: int = 0) -> None:
        push = frame.pushes.add(topic=market.id * 10 + channel, previous=previous)
        push.flags = flags | (STALE if market.stale else 0)
        push.received_ns = market.received_ns + self.clock_ahead_ns
        if channel == TICKER:
            push.sequence = market.sequence
            push.ticker.CopyFrom(market.ticker())
        else:
            push.sequence = market.status_sequence
            push.status.state = market.state

    def _broadcast(self, pushes: list[tuple[Market, int, int]]) -> None:
        for client, topics in list(self._clients.items()):
            frame = proto["ServerFrame"]()
            for market, channel, previous in pushes:
                if market.id * 10 + channel in topics:
                    self._push(frame, market, channel, previous)
            if frame.pushes:
                asyncio.ensure_future(self._send(client, frame))

    def _status(self, symbol: str, state: int, reason: int) -> None:
        for market in self.markets:
            if market.symbol == symbol:
                market.state = state
                market.status_sequence += 1
                self._broadcast([(market, STATUS, market.status_sequence - 1)])

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.025)
            if self.is_paused:
                continue
            wanted = max(1, round(self.rate * 0.025))
            pushes = []
            for market in self._chance.sample(self.markets, min(wanted, len(self.markets))):
                # A topic that the page does not know yet must reach it: the hub's own way for wildcards.
                for topics in self._clients.values():
                    if topics:
                        topics.update((market.id * 10 + TICKER, market.id * 10 + STATUS))
                previous = market.sequence
                market.tick(self._chance)
                if market.symbol in self._skip:
                    self._skip.discard(market.symbol)
                    continue
                pushes.append((market, TICKER, previous))
            self._broadcast(pushes)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--instruments", type=int, default=12)
    arguments.add_argument("--rate", type=float, default=200, help="ticks a second, over all instruments")
    given = arguments.parse_args()
    with FakeHub(default_markets(given.instruments), given.rate, given.port) as hub:
        print(hub.page_url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
