"""Plays a recorded venue to live clients, over TLS.

Written from the venues' rules and the format of the captures alone, not from the hub's own player, so that a mistake in
understanding them is not made twice. One recording, one port for WebSockets (`websockets`), one for REST (`http.server`).
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

# A subject of a subscription: the venue's channel with its options, and the venue's symbol.
Stream = tuple[str, str]

INBOUND_MOST = {"binance": 5, "binance-usdm": 10, "binance-coinm": 10, "coinbase-advanced": 8}
"""Messages that a client may send in a second (developers.binance.com, WebSocket market streams)."""


HEARTBEATS = {
    "kraken": '{"event":"heartbeat"}',
    "kraken-v2": '{"channel":"heartbeat"}',
    "coinbase-advanced": '{"channel":"heartbeats","sequence_num":0,"events":[{"heartbeat_counter":1}]}',
}


@dataclass
class Fault:
    """What goes wrong, once, when a line of the capture is reached: `cut`, `silence` or `garbage`."""

    kind: str
    line: int


@dataclass
class Capture:
    """A capture, its frames sorted by stream."""

    venue: str
    path: Path
    # (seconds since the first data frame, line, stream, text)
    frames: list[tuple[float, int, Stream, str]] = field(default_factory=list)
    recorded: set[Stream] = field(default_factory=set)
    books: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = last = 0
        opened = gzip.open if self.path.suffix == ".gz" else open
        with opened(self.path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                received_ns, _, kind, payload = line.rstrip("\n").split("\t", 3)
                if kind == "S":
                    self.recorded |= wanted(self.venue, json.loads(payload))
                elif kind == "H":
                    url, body = payload.split("\t", 1)
                    parts = urlsplit(url)
                    self.books[parts.path, dict(parse_qsl(parts.query)).get("symbol", "")] = body
                elif kind == "C" and self.venue.startswith("binance"):
                    self.recorded |= streams_in(payload)
                elif kind == "R" and (stream := stream_of(self.venue, payload)):
                    first = first or int(received_ns)
                    last = max(last, int(received_ns))
                    self.recorded.add(stream)
                    self.frames.append(((last - first) / 1e9, number, stream, payload))


def streams_in(url: str) -> set[Stream]:
    """The streams that a Binance address names."""
    names = dict(parse_qsl(urlsplit(url).query))["streams"].split("/")
    return {(channel, symbol) for symbol, channel in (name.split("@", 1) for name in names)}


def stream_of(venue: str, text: str) -> Stream | None:
    """Whose frame this is; None for one that speaks of the recorded connection only."""
    frame = json.loads(text)
    if venue == "coinbase":
        channels = {"snapshot": "level2", "l2update": "level2", "match": "matches", "last_match": "matches"}
        channel = channels.get(frame["type"], frame["type"])
        return None if channel in ("subscriptions", "error") else (channel, frame["product_id"])
    if venue == "kraken":
        return (frame[-2], frame[-1]) if isinstance(frame, list) else None
    if venue == "okx":
        return (frame["arg"]["channel"], frame["arg"]["instId"]) if "data" in frame else None
    if venue == "bitstamp":
        return bitstamp_stream(frame["channel"]) if frame["event"] in ("data", "trade") else None
    if venue == "deribit":
        return deribit_stream(frame["params"]["channel"]) if frame.get("method") == "subscription" else None
    if venue == "bitmex":
        return (frame["table"], frame["data"][0]["symbol"]) if "table" in frame else None
    if venue.startswith("bybit"):
        return tuple(frame["topic"].rsplit(".", 1)) if "topic" in frame else None
    if venue == "kraken-futures":
        return (frame["feed"].removesuffix("_snapshot"), frame["product_id"]) if "event" not in frame else None
    if venue == "gemini":
        return ("l2", frame["symbol"]) if frame["type"] in ("l2_updates", "trade") else None
    if venue == "coinbase-advanced":
        channel, event = frame.get("channel"), frame["events"][0]
        if channel == "l2_data":
            return "level2", event["product_id"]
        entries = {"market_trades": "trades", "ticker": "tickers"}
        return (channel, event[entries[channel]][0]["product_id"]) if channel in entries else None
    if venue == "kraken-v2":
        channel, data = frame.get("channel"), frame.get("data")
        if channel == "instrument":
            return channel, ""
        return (channel, data[0]["symbol"]) if channel in ("book", "trade", "ticker") else None
    symbol, channel = frame["stream"].split("@", 1)
    return channel, symbol


def bitstamp_stream(name: str) -> Stream:
    """`diff_order_book_ethusd`"""
    channel, _, pair = name.rpartition("_")
    return channel, pair


def deribit_stream(name: str) -> Stream:
    """`book.BTC-PERPETUAL.raw`"""
    kind, instrument, interval = name.split(".")
    return f"{kind}.{interval}", instrument


def wanted(venue: str, frame: dict[str, Any]) -> set[Stream]:
    """The streams that a subscribing frame is about; raises when it says anything else."""
    if venue == "coinbase":
        assert set(frame) == {"type", "product_ids", "channels"}, frame
        return {(channel, product) for channel in frame["channels"] for product in frame["product_ids"]}
    if venue == "okx":
        assert set(frame) == {"op", "args"} and all(set(arg) == {"channel", "instId"} for arg in frame["args"]), frame
        return {(arg["channel"], arg["instId"]) for arg in frame["args"]}
    if venue == "bitstamp":
        assert set(frame) == {"event", "data"} and set(frame["data"]) == {"channel"}, frame
        return {bitstamp_stream(frame["data"]["channel"])}
    if venue == "deribit":
        assert set(frame) == {"jsonrpc", "id", "method", "params"} and set(frame["params"]) == {"channels"}, frame
        return {deribit_stream(name) for name in frame["params"]["channels"]}
    if venue == "bitmex":
        assert set(frame) == {"op", "args"}, frame
        return {(table, symbol) for table, symbol in (topic.split(":") for topic in frame["args"])}
    if venue.startswith("bybit"):
        assert set(frame) == {"op", "args"} and len(frame["args"]) <= 10, frame
        return {(channel, symbol) for channel, symbol in (topic.rsplit(".", 1) for topic in frame["args"])}
    if venue == "kraken-futures":
        assert set(frame) == {"event", "feed", "product_ids"}, frame
        # The venue takes small letters and answers in capitals.
        return {(frame["feed"], product.upper()) for product in frame["product_ids"]}
    if venue == "gemini":
        assert set(frame) == {"type", "subscriptions"}, frame
        return {(each["name"], symbol) for each in frame["subscriptions"] for symbol in each["symbols"]}
    if venue == "coinbase-advanced":
        if frame == {"type": "subscribe", "channel": "heartbeats"}:
            return {("heartbeats", "")}
        assert set(frame) == {"type", "product_ids", "channel"}, frame
        return {(frame["channel"], product) for product in frame["product_ids"]}
    if venue == "kraken-v2":
        assert set(frame) == {"method", "params"}, frame
        params = frame["params"]
        options = {"instrument": set(), "book": {"depth"}, "trade": {"snapshot"}, "ticker": {"event_trigger"}}
        assert set(params) - {"channel", "symbol"} == options[params["channel"]], frame
        return {(params["channel"], symbol) for symbol in params.get("symbol", [""])}
    assert set(frame) == {"event", "pair", "subscription"}, frame
    subscription = dict(frame["subscription"])
    name = subscription.pop("name")
    if name == "book":
        name = f"book-{subscription.pop('depth', 10)}"
    assert not subscription, frame
    return {(name, pair) for pair in frame["pair"]}


class VenuePlayer:
    """A venue on a thread of its own; `with VenuePlayer(...) as player:`."""

    def __init__(self, capture: Capture, speed: float, authority: Any, faults: Iterator[Fault] | list[Fault] = ()) -> None:
        self.capture = capture
        self.speed = speed
        self.faults = sorted(faults, key=lambda fault: fault.line)
        # Why clients were refused or sent away; a test wants it empty.
        self.refusals: list[str] = []
        self.client_count = 0
        self.finished_count = 0
        # By connection, the number of the next frame.
        self._numbers: dict[Any, int] = {}
        self._random = random.Random(1)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(authority.certificate, authority.key)

    def __enter__(self) -> VenuePlayer:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        assert started.wait(10), "the player did not start"
        self._rest = ThreadingHTTPServer(("127.0.0.1", 0), self._rest_handler())
        self._rest.socket = self._tls.wrap_socket(self._rest.socket, server_side=True)
        self._rest.daemon_threads = True
        self.rest_port = self._rest.server_address[1]
        threading.Thread(target=self._rest.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._rest.shutdown()
        self._rest.server_close()
        self._thread.join(10)

    # ---- REST --------------------------------------------------------------------------------------------------------------

    def _rest_handler(self) -> type[BaseHTTPRequestHandler]:
        player = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802, the library's name
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                body = player.capture.books.get((parts.path, query.get("symbol", "")))
                wanted = "1000" if player.capture.venue.startswith("binance") else None
                status = 200 if body is not None and query.get("limit") == wanted else 400
                if status != 200:
                    player.refusals.append(f"GET {self.path}")
                    body = '{"code":-1121,"msg":"Invalid symbol."}'
                # A book is late as it pleases: updates come meanwhile.
                time.sleep(player._random.uniform(0, 0.05))
                data = (body or "").encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    # ---- WebSocket ---------------------------------------------------------------------------------------------------------

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with serve(self._client, "127.0.0.1", 0, ssl=self._tls, compression=None, ping_interval=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            started.set()
            await self._stop.wait()

    async def _client(self, socket: ServerConnection) -> None:
        self.client_count += 1
        tasks: list[asyncio.Task[None]] = []
        muted = asyncio.Event()
        try:
            if self.capture.venue == "kraken":
                await socket.send('{"connectionID":1,"event":"systemStatus","status":"online","version":"1.8.3"}')
                tasks.append(asyncio.create_task(self._heartbeats(socket, muted)))
            if self.capture.venue == "bitmex":
                await socket.send('{"info":"Welcome to the BitMEX Realtime API.","version":"1","limit":{"remaining":39}}')
            if self.capture.venue == "kraken-v2":
                await socket.send('{"channel":"status","type":"update","data":[{"api_version":"v2","system":"online"}]}')
                tasks.append(asyncio.create_task(self._heartbeats(socket, muted)))
            if self.capture.venue == "coinbase-advanced":
                tasks.append(asyncio.create_task(self._heartbeats(socket, muted)))
            if self.capture.venue == "kraken-futures":
                await socket.send('{"event":"info","version":1}')
            playing: dict[Stream, asyncio.Task[None]] = {}
            subscribed: set[Stream] = set()
            if self.capture.venue.startswith("binance"):
                assert socket.request is not None
                streams = streams_in(socket.request.path)
                if unknown := streams - self.capture.recorded:
                    return await self._refuse(socket, f"not recorded: {sorted(unknown)}")
                tasks.append(asyncio.create_task(self._play(socket, streams, muted)))
            heard: list[float] = []
            async for text in socket:
                now = time.monotonic()
                heard = [at for at in heard if now - at < 1] + [now]
                if len(heard) > INBOUND_MOST.get(self.capture.venue, 100):
                    return await self._refuse(socket, "too many messages in a second")
                if muted.is_set():
                    continue
                await self._take(socket, str(text), subscribed, playing, muted)
                tasks += [task for task in playing.values() if task not in tasks]
        except ConnectionClosed:
            pass
        finally:
            for task in tasks:
                task.cancel()

    async def _refuse(self, socket: ServerConnection, why: str) -> None:
        self.refusals.append(why)
        await socket.close(1008, why[:100])

    async def _take(
        self,
        socket: ServerConnection,
        text: str,
        subscribed: set[Stream],
        playing: dict[Stream, asyncio.Task[None]],
        muted: asyncio.Event,
    ) -> None:
        if self.capture.venue in ("okx", "bitmex") and text == "ping":
            return await socket.send("pong")
        frame = json.loads(text)
        verb = frame.get("type") or frame.get("event") or frame.get("op") or frame["method"].removeprefix("public/")
        verb = verb.removeprefix("bts:")
        if verb == "ping" and self.capture.venue.startswith("bybit"):
            return await socket.send('{"success":true,"ret_msg":"pong","conn_id":"1","req_id":"","op":"ping"}')
        if verb == "heartbeat":
            return await socket.send('{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}')
        if verb == "set_heartbeat":
            assert frame["params"]["interval"] >= 10
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": frame["id"], "result": "ok"}))
            # At once, so that a test sees the answer; nothing is played without it.
            return await socket.send('{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}')
        if verb == "test":
            subscribed.add(("heartbeat", ""))
            return await socket.send(json.dumps({"jsonrpc": "2.0", "id": frame["id"], "result": {"version": "1.2.26"}}))
        if self.capture.venue == "deribit" and ("heartbeat", "") not in subscribed:
            return await self._refuse(socket, "the heartbeat was not answered")
        if verb == "ping":
            return await socket.send(json.dumps({"event": "pong", **{key: frame[key] for key in frame if key == "reqid"}}))
        try:
            streams = wanted(self.capture.venue, frame)
        except (AssertionError, KeyError) as problem:
            return await self._refuse(socket, f"not understood: {problem}")
        if unknown := streams - self.capture.recorded:
            return await self._refuse(socket, f"not recorded: {sorted(unknown)}")
        if verb == "subscribe":
            streams -= subscribed
            subscribed |= streams
        elif verb == "unsubscribe":
            subscribed -= streams
        else:
            return await self._refuse(socket, f"not understood: {text}")
        await self._acknowledge(socket, verb, streams, subscribed)
        if verb == "subscribe":
            task = asyncio.create_task(self._play(socket, streams, muted, subscribed))
            playing.update(dict.fromkeys(streams, task))

    async def _acknowledge(self, socket: ServerConnection, verb: str, streams: set[Stream], all_of: set[Stream]) -> None:
        if self.capture.venue == "coinbase":
            channels = {channel: [product for name, product in all_of if name == channel] for channel, _ in all_of}
            listed = [{"name": name, "product_ids": products} for name, products in channels.items()]
            return await socket.send(json.dumps({"type": "subscriptions", "channels": listed}))
        if self.capture.venue == "bitstamp":
            for channel, pair in streams:
                answer = {"event": f"bts:{verb.replace('subscribe', 'subscription')}_succeeded", "channel": f"{channel}_{pair}", "data": {}}
                await socket.send(json.dumps(answer))
            return
        if self.capture.venue == "deribit":
            names = [f"{channel.replace('.', f'.{symbol}.')}" for channel, symbol in streams]
            return await socket.send(json.dumps({"jsonrpc": "2.0", "id": 0, "result": names}))
        if self.capture.venue == "okx":
            for channel, symbol in streams:
                arg = {"channel": channel, "instId": symbol}
                await socket.send(json.dumps({"event": verb, "arg": arg, "connId": "a4d3ae55"}))
            return
        if self.capture.venue == "bitmex":
            for table, symbol in streams:
                await socket.send(json.dumps({"success": True, verb: f"{table}:{symbol}"}))
            return None
        if self.capture.venue == "bybit-v2":
            topics = [f"{channel}.{symbol}" for channel, symbol in streams]
            about = {"op": verb, "args": topics}
            return await socket.send(json.dumps({"success": True, "ret_msg": "", "conn_id": "1", "request": about}))
        if self.capture.venue.startswith("bybit"):
            about = {"success": True, "ret_msg": verb, "conn_id": "1", "req_id": "", "op": verb}
            return await socket.send(json.dumps(about))
        if self.capture.venue == "kraken-futures":
            for feed, product in streams:
                await socket.send(json.dumps({"event": f"{verb}d", "feed": feed, "product_ids": [product]}))
            return
        if self.capture.venue == "gemini":
            return
        if self.capture.venue == "coinbase-advanced":
            channels = {channel: [product for name, product in all_of if name == channel] for channel, _ in all_of}
            about = {"channel": "subscriptions", "sequence_num": 0, "events": [{"subscriptions": channels}]}
            return await self._send(socket, json.dumps(about))
        if self.capture.venue == "kraken-v2":
            for channel, symbol in streams:
                about = {"channel": channel} | ({"symbol": symbol} if symbol else {})
                await socket.send(json.dumps({"method": verb, "result": about, "success": True}))
            return
        for channel, pair in streams:
            name, _, depth = channel.partition("-")
            about = {"name": name} | ({"depth": int(depth)} if depth else {})
            status = {"channelID": 1, "channelName": channel, "event": "subscriptionStatus", "pair": pair}
            await socket.send(json.dumps(status | {"status": f"{verb}d", "subscription": about}))

    async def _send(self, socket: ServerConnection, text: str) -> None:
        """A frame, numbered for this connection where the venue counts the frames of each."""
        if self.capture.venue == "coinbase-advanced":
            number = self._numbers.get(socket.id, 0)
            self._numbers[socket.id] = number + 1
            text = json.dumps(json.loads(text) | {"sequence_num": number})
        await socket.send(text)

    async def _heartbeats(self, socket: ServerConnection, muted: asyncio.Event) -> None:
        while not muted.is_set():
            await asyncio.sleep(1)
            if not muted.is_set():
                await self._send(socket, HEARTBEATS[self.capture.venue])

    async def _play(
        self,
        socket: ServerConnection,
        streams: set[Stream],
        muted: asyncio.Event,
        subscribed: set[Stream] | None = None,
    ) -> None:
        """The frames of these streams from the first on; the time counts from now."""
        start = time.monotonic()
        try:
            for seconds, line, stream, text in self.capture.frames:
                if stream not in streams or (subscribed is not None and stream not in subscribed):
                    continue
                wait = start + seconds / self.speed - time.monotonic()
                if wait > 0.001:
                    await asyncio.sleep(wait)
                while not muted.is_set() and self.faults and self.faults[0].line <= line:
                    await self._fail(socket, self.faults.pop(0).kind, text, muted)
                if muted.is_set():
                    return
                await self._send(socket, text)
            self.finished_count += 1
        except ConnectionClosed:
            pass

    async def _fail(self, socket: ServerConnection, kind: str, text: str, muted: asyncio.Event) -> None:
        if kind == "silence":
            muted.set()
        elif kind == "cut":
            muted.set()
            socket.transport.abort()
        else:
            noise = "".join(self._random.choices("{}[]\",:abc0123\u00e9", k=40))
            for garbage in (noise, text[: len(text) // 2], '{"unexpected":true}', "[]", ""):
                await socket.send(garbage)
