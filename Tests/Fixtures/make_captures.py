#!/usr/bin/env python3
"""Makes the captures of venues of which no whole recording is at hand, and what must come of them.

Usage: Tests/Fixtures/make_captures.py    writes NAME.cap.gz, NAME.instruments.json and golden-NAME/ beside itself

A made-up market of two instruments, spoken in the words that the venue documents (see Docs/feeds). Books, checksums and
expected rows come from the few lines of this file, not from the hub. The same files come of every run.
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
START_NS = 1_790_000_000_000_000_000
Change = tuple[str, int, int]


@dataclass
class Instrument:
    """Prices and quantities are whole numbers of 10^-scale."""

    base: str
    price_scale: int
    quantity_scale: int
    price: int
    books: dict[str, dict[int, int]] = field(default_factory=lambda: {"bid": {}, "ask": {}})
    trade_id: int = 1_000
    updates: int = 0

    @property
    def symbol(self) -> str:
        return f"{self.base}-USD"

    def side(self, side: str) -> list[tuple[int, int]]:
        return sorted(self.books[side].items(), reverse=side == "bid")

    def text(self, price: int, quantity: int) -> tuple[str, str]:
        return decimal(price, self.price_scale), decimal(quantity, self.quantity_scale)

    def top(self, side: str, most: int = 20) -> list[list[str]]:
        return [[trimmed(number) for number in self.text(*level)] for level in self.side(side)[:most]]

    def checksum(self) -> int:
        levels = self.side("ask")[:10] + self.side("bid")[:10]
        return zlib.crc32("".join(f"{price}{quantity}" for price, quantity in levels).encode())


def decimal(units: int, scale: int) -> str:
    return f"{Decimal(units).scaleb(-scale):.{scale}f}"


def trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def json_number(text: str) -> Any:
    """As JavaScript and Python print it: no zeros at the end, an exponent where it is small."""
    return float(text) if "." in trimmed(text) else int(Decimal(text))


def iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ns % 10**9 // 1000:06d}Z"


@dataclass
class Capture:
    venue: str
    url: str
    lines: list[str] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    tickers: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    now_ns: int = START_NS

    def add(self, kind: str, payload: Any) -> None:
        text = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"))
        self.lines.append(f"{self.now_ns}\t1\t{kind}\t{text}")

    def golden_trade(self, one: Instrument, side: str, price: str, quantity: str, event_ns: int, trade_id: int) -> None:
        row = {"l": len(self.lines), "recv_ns": self.now_ns, "symbol": one.symbol, "side": side}
        row |= {"price": trimmed(price), "qty": trimmed(quantity), "ts_us": event_ns // 1000, "id": str(trade_id)}
        self.trades.append(row)

    def golden_quote(self, one: Instrument) -> None:
        bid, ask = one.top("bid", 1)[0][0], one.top("ask", 1)[0][0]
        self.tickers.append({"l": len(self.lines), "symbol": one.symbol, "bid": bid, "ask": ask})

    def checkpoint(self, one: Instrument) -> None:
        one.updates += 1
        if one.updates % 20 == 0:
            row = {"l": len(self.lines), "symbol": one.symbol, "bids": one.top("bid"), "asks": one.top("ask")}
            self.checkpoints.append(row)

    def write(self, instruments: list[Instrument], listed: Any) -> None:
        folder = HERE / f"golden-{self.venue}"
        folder.mkdir(exist_ok=True)
        pack(HERE / f"{self.venue}.cap.gz", self.lines)
        rows = {"trades": self.trades, "tickers": self.tickers, "book_checkpoints": self.checkpoints}
        for name, kept in rows.items():
            pack(folder / f"{name}.jsonl.gz", [json.dumps(row) for row in kept])
        final = {
            one.symbol: {
                "levels": [len(one.books["bid"]), len(one.books["ask"])],
                "bids": one.top("bid"),
                "asks": one.top("ask"),
            }
            for one in instruments
        }
        (folder / "book_final.json").write_text(json.dumps(final, indent=1) + "\n")
        (HERE / f"{self.venue}.instruments.json").write_text(json.dumps(listed, indent=1) + "\n")


def pack(path: Path, lines: list[str]) -> None:
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0))


# ---- the market ---------------------------------------------------------------------------------------------------------------


def market() -> list[Instrument]:
    instruments = [Instrument("BTC", 1, 8, 856_004), Instrument("DOGE", 7, 5, 2_104_000)]
    dice = random.Random(3)
    for one in instruments:
        for step in range(1, 31):
            one.books["bid"][one.price - step * dice.randint(1, 3) - 40 * step] = dice.randint(1, 10**9)
            one.books["ask"][one.price + step * dice.randint(1, 3) + 40 * step] = dice.randint(1, 10**9)
    return instruments


def happenings(instruments: list[Instrument]) -> Iterator[tuple[str, Instrument, Any]]:
    """Updates of levels, already in the book when told of, trades, quotes, and now and then a second snapshot."""
    dice = random.Random(4)
    for number in range(360):
        one = instruments[number % 2]
        kind = dice.choices(["update", "trade", "quote", "snapshot"], [20, 5, 3, 0.3])[0]
        if kind == "update":
            yield kind, one, [change(one, dice) for _ in range(dice.randint(1, 4))]
        elif kind == "trade":
            trades = []
            for _ in range(dice.randint(1, 2)):
                one.trade_id += 1
                side = dice.choice(["buy", "sell"])
                best = one.side("ask" if side == "buy" else "bid")[0][0]
                trades.append((one.trade_id, side, *one.text(best, dice.randint(1, 10**8))))
            yield kind, one, trades
        else:
            yield kind, one, None


def change(one: Instrument, dice: random.Random) -> Change:
    side = dice.choice(["bid", "ask"])
    levels, book = one.side(side), one.books[side]
    if dice.random() < 0.4 and len(levels) > 15:
        price, quantity = dice.choice(levels[:8])[0], 0
        del book[price]
    elif dice.random() < 0.5:
        price, quantity = dice.choice(levels)[0], dice.randint(1, 10**9)
        book[price] = quantity
    else:
        gap = dice.randint(1, 30)
        other = one.side("ask" if side == "bid" else "bid")[0][0]
        price = levels[0][0] + (gap if side == "bid" else -gap)
        if (price >= other) if side == "bid" else (price <= other):
            price = levels[0][0] - (gap if side == "bid" else -gap)
        quantity = dice.randint(1, 10**9) if dice.random() < 0.8 else 10**6
        book[price] = quantity
    return side, price, quantity


# ---- Kraken, version 2 --------------------------------------------------------------------------------------------------------


def kraken_v2() -> None:
    capture, instruments = Capture("kraken-v2", "wss://ws.kraken.com/v2"), market()
    name = {one.symbol: f"{one.base}/USD" for one in instruments}
    symbols = list(name.values())
    capture.add("C", capture.url)
    for params in (
        {"channel": "instrument"},
        {"channel": "book", "symbol": symbols, "depth": 1000},
        {"channel": "trade", "symbol": symbols, "snapshot": True},
        {"channel": "ticker", "symbol": symbols, "event_trigger": "bbo"},
    ):
        capture.add("S", {"method": "subscribe", "params": params})
    about = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": 1743042658499070000}
    capture.add("R", {"channel": "status", "type": "update", "data": [about]})
    pairs = [
        {
            "symbol": name[one.symbol],
            "base": one.base,
            "quote": "USD",
            "status": "online",
            "price_precision": one.price_scale,
            "qty_precision": one.quantity_scale,
            "price_increment": float(Decimal(1).scaleb(-one.price_scale)),
            "qty_increment": float(Decimal(1).scaleb(-one.quantity_scale)),
        }
        for one in instruments
    ]
    capture.now_ns += 10_000_000
    capture.add("R", {"channel": "instrument", "type": "snapshot", "data": {"assets": [{"id": "USD"}], "pairs": pairs}})

    def book(one: Instrument, kind: str, changes: list[Change]) -> None:
        def entries(wanted: str) -> list[dict[str, Any]]:
            texts = [one.text(price, quantity) for side, price, quantity in changes if side == wanted]
            return [{"price": json_number(price), "qty": json_number(quantity)} for price, quantity in texts]

        entry = {"symbol": name[one.symbol], "bids": entries("bid"), "asks": entries("ask")}
        entry |= {"checksum": one.checksum(), "timestamp": iso(capture.now_ns - 3_000_000)}
        capture.add("R", {"channel": "book", "type": kind, "data": [entry]})
        capture.checkpoint(one)

    def trades(one: Instrument, kind: str, rows: list[tuple[int, str, str, str]]) -> None:
        event_ns = capture.now_ns // 10**6 * 10**6 - 2_000_000
        data = [
            {
                "symbol": name[one.symbol],
                "side": side,
                "price": json_number(price),
                "qty": json_number(quantity),
                "ord_type": "limit",
                "trade_id": trade_id,
                "timestamp": iso(event_ns),
            }
            for trade_id, side, price, quantity in rows
        ]
        capture.add("R", {"channel": "trade", "type": kind, "data": data})
        if kind == "update":
            for trade_id, side, price, quantity in rows:
                capture.golden_trade(one, side, price, quantity, event_ns, trade_id)

    def whole(one: Instrument) -> list[Change]:
        return [(side, *level) for side in ("bid", "ask") for level in one.side(side)]

    for one in instruments:
        book(one, "snapshot", whole(one))
        past = [(one.trade_id - 1 + step, "sell", *one.text(one.price, 12_345)) for step in range(2)]
        trades(one, "snapshot", past)
    for kind, one, what in happenings(instruments):
        capture.now_ns += 20_000_000
        if kind in ("update", "snapshot"):
            book(one, kind, what or whole(one))
        elif kind == "trade":
            trades(one, "update", what)
        else:
            (bid, bid_qty), (ask, ask_qty) = one.top("bid", 1)[0], one.top("ask", 1)[0]
            numbers = {"bid": bid, "bid_qty": bid_qty, "ask": ask, "ask_qty": ask_qty}
            entry = {"symbol": name[one.symbol]} | {key: json_number(text) for key, text in numbers.items()}
            capture.add("R", {"channel": "ticker", "type": "update", "data": [entry]})
            capture.golden_quote(one)
    listed = {
        f"{one.base}USD": {
            "wsname": name[one.symbol].replace("BTC", "XBT").replace("DOGE", "XDG"),
            "pair_decimals": one.price_scale,
            "lot_decimals": one.quantity_scale,
        }
        for one in instruments
    }
    capture.write(instruments, {"error": [], "result": listed})


# ---- Coinbase Advanced Trade ---------------------------------------------------------------------------------------------------


def coinbase_advanced() -> None:
    capture, instruments = Capture("coinbase-advanced", "wss://advanced-trade-ws.coinbase.com"), market()
    symbols = [one.symbol for one in instruments]
    capture.add("C", capture.url)
    capture.add("S", {"type": "subscribe", "channel": "heartbeats"})
    for channel in ("level2", "market_trades", "ticker"):
        capture.add("S", {"type": "subscribe", "product_ids": symbols, "channel": channel})
    number = -1

    def frame(channel: str, event: dict[str, Any]) -> None:
        nonlocal number
        number += 1
        about = {"channel": channel, "client_id": "", "timestamp": iso(capture.now_ns)[:-1] + "855Z"}
        capture.add("R", about | {"sequence_num": number, "events": [event]})

    def book(one: Instrument, kind: str, changes: list[Change]) -> None:
        updates = []
        for side, price, quantity in changes:
            texts = one.text(price, quantity)
            time = "1970-01-01T00:00:00Z" if kind == "snapshot" else iso(capture.now_ns - 3_000_000)
            update = {"side": "offer" if side == "ask" else side, "event_time": time, "price_level": texts[0]}
            updates.append(update | {"new_quantity": "0" if quantity == 0 else texts[1]})
        frame("l2_data", {"type": kind, "product_id": one.symbol, "updates": updates})
        capture.checkpoint(one)

    def trades(one: Instrument, kind: str, rows: list[tuple[int, str, str, str]]) -> None:
        event_ns = capture.now_ns // 10**6 * 10**6 - 2_000_000
        entries = [
            {
                "product_id": one.symbol,
                "trade_id": str(trade_id),
                "price": price,
                "size": quantity,
                "time": iso(event_ns),
                # The maker's.
                "side": "SELL" if side == "buy" else "BUY",
            }
            for trade_id, side, price, quantity in reversed(rows)
        ]
        frame("market_trades", {"type": kind, "trades": entries})
        if kind == "update":
            for trade_id, side, price, quantity in rows:
                capture.golden_trade(one, side, price, quantity, event_ns, trade_id)

    def whole(one: Instrument) -> list[Change]:
        return [(side, *level) for side in ("bid", "ask") for level in one.side(side)]

    frame("subscriptions", {"subscriptions": {"heartbeats": ["heartbeats"]}})
    for one in instruments:
        book(one, "snapshot", whole(one))
        trades(one, "snapshot", [(one.trade_id - 1 + step, "sell", *one.text(one.price, 12_345)) for step in range(2)])
    frame("subscriptions", {"subscriptions": {"level2": symbols, "market_trades": symbols, "ticker": symbols}})
    for step, (kind, one, what) in enumerate(happenings(instruments)):
        capture.now_ns += 20_000_000
        if step % 50 == 0:
            frame("heartbeats", {"current_time": iso(capture.now_ns), "heartbeat_counter": step // 50})
        if kind in ("update", "snapshot"):
            book(one, kind, what or whole(one))
        elif kind == "trade":
            trades(one, "update", what)
        else:
            (bid, bid_qty), (ask, ask_qty) = one.top("bid", 1)[0], one.top("ask", 1)[0]
            best = {"best_bid": bid, "best_bid_quantity": bid_qty, "best_ask": ask, "best_ask_quantity": ask_qty}
            ticker = {"type": "ticker", "product_id": one.symbol, "price": bid, "volume_24_h": "16038.28770938"} | best
            frame("ticker", {"type": "update", "tickers": [ticker]})
            capture.golden_quote(one)
    listed = [
        {
            "product_id": one.symbol,
            "product_type": "SPOT",
            "price_increment": decimal(1, one.price_scale),
            "quote_increment": "0.01",
            "base_increment": decimal(1, one.quantity_scale),
        }
        for one in instruments
    ]
    capture.write(instruments, {"products": listed, "num_products": len(listed)})


# ---- Gemini -------------------------------------------------------------------------------------------------------------------


def gemini() -> None:
    capture, instruments = Capture("gemini", "wss://api.gemini.com/v2/marketdata"), market()
    name = {one.symbol: f"{one.base}USD" for one in instruments}
    capture.add("C", capture.url)
    capture.add("S", {"type": "subscribe", "subscriptions": [{"name": "l2", "symbols": list(name.values())}]})

    def trade(one: Instrument, key: str, trade_id: int, side: str, price: str, quantity: str) -> dict[str, Any]:
        about = {"type": "trade", "symbol": name[one.symbol], key: 3_575_573_053 + trade_id}
        rest = {"timestamp": capture.now_ns // 10**6 - 2, "price": price, "quantity": quantity, "side": side}
        return about | rest | {"tid": trade_id}

    def book(one: Instrument, kind: str, changes: list[Change]) -> None:
        texts = [(side, one.text(price, quantity)) for side, price, quantity in changes]
        entries = [["buy" if side == "bid" else "sell", price, trimmed(quantity)] for side, (price, quantity) in texts]
        frame: dict[str, Any] = {"type": "l2_updates", "symbol": name[one.symbol], "changes": entries}
        if kind == "snapshot":
            rows = [(one.trade_id - step, "sell", *one.text(one.price, 12_345)) for step in range(2)]
            frame["trades"] = [trade(one, "eventid", *row) for row in rows]
        capture.add("R", frame)
        capture.checkpoint(one)

    for one in instruments:
        book(one, "snapshot", [(side, *level) for side in ("bid", "ask") for level in one.side(side)])
    for kind, one, what in happenings(instruments):
        capture.now_ns += 20_000_000
        if kind == "update":
            book(one, kind, what)
        elif kind == "trade":
            for trade_id, side, price, quantity in what:
                capture.add("R", trade(one, "event_id", trade_id, side, price, quantity))
                event_ns = (capture.now_ns // 10**6 - 2) * 10**6
                capture.golden_trade(one, side, price, quantity, event_ns, trade_id)
        else:
            capture.add("R", {"type": "heartbeat", "timestamp": capture.now_ns // 10**6})
    listed = [
        {
            "symbol": name[one.symbol],
            "base_currency": one.base,
            "quote_currency": "USD",
            "tick_size": float(Decimal(1).scaleb(-one.quantity_scale)),
            "quote_increment": float(Decimal(1).scaleb(-one.price_scale)),
            "product_type": "spot",
        }
        for one in instruments
    ]
    capture.write(instruments, listed)


if __name__ == "__main__":
    kraken_v2()
    coinbase_advanced()
    gemini()
