"""Writes bybit-linear.cap and what must come of it, golden-bybit-linear/.

Bybit v5's deltas were never recorded here: the frames are made after the venue's pages (websocket/public/orderbook, trade),
the books by plain dictionaries. Usage: python make_bybit.py, beside which the files then lie.
"""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
START_MS = 1_786_613_159_000
DEPTH = 200
# By symbol: best bid, tick, lot.
PAIRS = {"BTCUSDT": ("63705.3", "0.1", "0.001"), "ETHUSDT": ("3120.55", "0.01", "0.01")}
NAMES = {"BTCUSDT": "BTC-USDT-PERP", "ETHUSDT": "ETH-USDT-PERP"}


def frame(value: object) -> str:
    """As the venue writes it: without spaces."""
    return json.dumps(value, separators=(",", ":"))


def text(number: Decimal) -> str:
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def main() -> None:
    chance = random.Random(5)
    lines: list[str] = []
    trades: list[dict[str, Any]] = []
    books: dict[str, dict[str, dict[Decimal, Decimal]]] = {}
    numbers = {symbol: 1_000 * (place + 1) for place, symbol in enumerate(PAIRS)}

    def write(kind: str, payload: str, ms: int = START_MS) -> None:
        lines.append(f"{ms * 1_000_000}\t1\t{kind}\t{payload}")

    def size(symbol: str) -> Decimal:
        return Decimal(PAIRS[symbol][2]) * chance.randint(1, 5_000)

    def send_book(symbol: str, type_: str, changes: dict[str, list[tuple[Decimal, Decimal]]], ms: int) -> None:
        sides = {side: [[str(price), str(amount)] for price, amount in changes[side]] for side in ("b", "a")}
        data = {"s": symbol, **sides, "u": numbers[symbol], "seq": 9_000_000 + len(lines)}
        topic = f"orderbook.{DEPTH}.{symbol}"
        write("R", frame({"topic": topic, "type": type_, "ts": ms + 1, "data": data, "cts": ms}), ms)

    def send_top(symbol: str, ms: int) -> None:
        book = books[symbol]
        best = {"b": max(book["b"]), "a": min(book["a"])}
        sides = {side: [[str(price), str(book[side][price])]] for side, price in best.items()}
        data = {"s": symbol, **sides, "u": 70_000_000 + len(lines), "seq": 9_000_000 + len(lines)}
        write("R", frame({"topic": f"orderbook.1.{symbol}", "ts": ms, "type": "snapshot", "data": data, "cts": ms}), ms)

    write("C", "wss://stream.bybit.com/v5/public/linear")
    for topic in (f"orderbook.{DEPTH}", "publicTrade", "orderbook.1"):
        write("S", frame({"op": "subscribe", "args": [f"{topic}.{symbol}" for symbol in PAIRS]}))
        write("R", '{"success":true,"ret_msg":"subscribe","conn_id":"made","req_id":"","op":"subscribe"}')
    for symbol, (best, tick, _) in PAIRS.items():
        bid, step = Decimal(best), Decimal(tick)
        books[symbol] = {
            "b": {bid - step * place: size(symbol) for place in range(30)},
            "a": {bid + step * (place + 1): size(symbol) for place in range(30)},
        }
        send_book(symbol, "snapshot", {side: list(levels.items()) for side, levels in books[symbol].items()}, START_MS + 10)
        send_top(symbol, START_MS + 10)
    for turn in range(400):
        ms = START_MS + 20 + turn * 5
        symbol = chance.choice(list(PAIRS))
        best, tick, _ = PAIRS[symbol]
        bid, step = Decimal(best), Decimal(tick)
        changes: dict[str, list[tuple[Decimal, Decimal]]] = {"b": [], "a": []}
        for _ in range(chance.randint(1, 6)):
            side = chance.choice("ba")
            place = chance.randint(0, 45)
            price = bid - step * place if side == "b" else bid + step * (place + 1)
            amount = Decimal(0) if chance.random() < 0.3 and place > 0 else size(symbol)
            changes[side] = [change for change in changes[side] if change[0] != price] + [(price, amount)]
        numbers[symbol] += 1
        # Once the venue's service begins anew: its next message is whole and bears the number 1.
        if turn == 250:
            numbers[symbol] = 1
            kept = {side: list(levels.items())[:20] for side, levels in books[symbol].items()}
            books[symbol] = {side: dict(levels) for side, levels in kept.items()}
            send_book(symbol, "delta", kept, ms)
            continue
        for side, levels in changes.items():
            for price, amount in levels:
                books[symbol][side].pop(price, None)
                if amount:
                    books[symbol][side][price] = amount
        send_book(symbol, "delta", changes, ms)
        if turn % 5 == 0:
            send_top(symbol, ms)
        if turn % 7 == 0:
            side, price, amount = chance.choice(["Buy", "Sell"]), bid + step * chance.randint(0, 1), size(symbol)
            name = f"{chance.getrandbits(128):032x}"
            row = {"T": ms, "s": symbol, "S": side, "v": str(amount), "p": str(price), "i": name, "BT": False, "seq": turn}
            write("R", frame({"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": ms, "data": [row]}), ms)
            trades.append(
                {"l": len(lines), "recv_ns": ms * 1_000_000, "symbol": NAMES[symbol], "side": side.lower()}
                | {"price": text(price), "qty": text(amount), "ts_us": ms * 1_000, "id": name}
            )
    finals = {}
    for symbol, sides in books.items():
        bids = sorted(sides["b"].items(), reverse=True)
        asks = sorted(sides["a"].items())
        finals[NAMES[symbol]] = {
            "levels": [len(bids), len(asks)],
            "seq": numbers[symbol],
            "bids": [[text(price), text(amount)] for price, amount in bids[:20]],
            "asks": [[text(price), text(amount)] for price, amount in asks[:20]],
        }
    golden = FOLDER / "golden-bybit-linear"
    golden.mkdir(exist_ok=True)
    (FOLDER / "bybit-linear.cap").write_text("".join(line + "\n" for line in lines))
    (golden / "trades.jsonl").write_text("".join(json.dumps(trade) + "\n" for trade in trades))
    (golden / "book_final.json").write_text(json.dumps(finals, indent=1) + "\n")


if __name__ == "__main__":
    main()
