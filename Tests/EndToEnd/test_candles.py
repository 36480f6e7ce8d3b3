"""Candles: made of trades, kept over restarts, asked for by HTTP and with a subscription; and indexes over venues."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clients import EVERY, Enhanced, Legacy, wait_for
from hub import Hub
from watching import get, metrics

INTERVALS = {"1s": 1, "1m": 2, "5m": 3, "15m": 4, "1h": 5, "1d": 6}
LENGTHS = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86400}
TCP = {"sources.tcp.enabled": True, "sources.tcp.port": 0, "sources.synthetic.enabled": False}


class Feed:
    """Who has data, over plain TCP."""

    def __init__(self, hub: Hub) -> None:
        port = int(hub.listeners["tcp"].rsplit(":", 1)[1])
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)

    def send(self, **line: object) -> None:
        self.socket.sendall((json.dumps(line) + "\n").encode())

    def trade(self, price: str, quantity: str = "1", symbol: str = "OIL-EUR", **more: object) -> None:
        self.send(type="trade", symbol=symbol, price=price, quantity=quantity, **more)

    def quote(self, bid: str, ask: str, symbol: str) -> None:
        self.send(type="quote", symbol=symbol, bid=bid, bid_quantity="1", ask=ask, ask_quantity="1")


def candles(hub: Hub, symbol: str, interval: str, limit: int = 1000) -> list[dict[str, Any]]:
    path = f"api/v1/markets/{symbol}/candles?interval={interval}&limit={limit}"
    status, _, body = get(hub.page_url + path)
    if status == 404:
        return []  # The first line has not made the instrument yet.
    assert status == 200
    answer = json.loads(body)
    assert answer["interval"] == interval
    return answer["candles"]


def seconds(start: str) -> int:
    return round(datetime.fromisoformat(start).timestamp())


def check_row(row: list[dict[str, Any]], interval: str) -> None:
    """Nothing is missing between two candles, and each is one."""
    starts = [seconds(candle["start"]) for candle in row]
    assert all(later - earlier == LENGTHS[interval] for earlier, later in zip(starts, starts[1:])), starts
    for candle in row:
        prices = [Decimal(candle[key]) for key in ("low", "open", "close", "high")]
        assert min(prices) == prices[0] and max(prices) == prices[3]
        if candle["count"] == 0:
            assert len(set(prices)) == 1 and candle["volume"] == "0"


def test_a_restart_keeps_candles_and_the_days_figures(start_hub: Callable[..., Hub], tmp_path: Path) -> None:
    settings = {**TCP, "candles.directory": tmp_path / "candles"}
    first = start_hub(settings)
    feed = Feed(first)
    for number in range(60):
        feed.trade(f"{50 + number % 7}.25", "0.5")
        time.sleep(0.06)
    wait_for(lambda: sum(one["count"] for one in candles(first, "OIL-EUR", "1h")) == 60, "sixty trades")
    before = {interval: candles(first, "OIL-EUR", interval) for interval in INTERVALS}
    assert first.stop() == 0

    second = start_hub(settings)
    feed = Feed(second)
    feed.trade("49", "1")
    wait_for(lambda: [one["count"] for one in candles(second, "OIL-EUR", "1h")][-1:] in ([61], [1]), "the first trade")
    assert sum(one["count"] for one in candles(second, "OIL-EUR", "1d")) == 61
    for interval, old in before.items():
        row = candles(second, "OIL-EUR", interval)
        check_row(row, interval)
        by_start = {candle["start"]: candle for candle in row}
        for candle in old[:-1]:
            assert by_start[candle["start"]] == candle
        # That of the stop goes on, and says that something is missing in it.
        resumed = by_start[old[-1]["start"]]
        assert resumed["count"] >= old[-1]["count"]
        assert resumed.get("partial") is True or resumed == old[-1]
    with Legacy(second) as client:
        ticker = client.ask({"type": "subscribe", "channel": "ticker", "symbol": "OIL-EUR"}, "ticker")["data"]
    assert [ticker[key] for key in ("open", "high", "low", "volume")] == ["50.25", "56.25", "49", "31"]


def test_a_kill_loses_no_more_than_the_last_second(start_hub: Callable[..., Hub], tmp_path: Path) -> None:
    settings = {**TCP, "candles.directory": tmp_path}
    first = Hub(settings)
    first.start()
    feed = Feed(first)
    sent: list[float] = []
    for number in range(50):
        feed.trade(f"{50 + number % 7}")
        sent.append(time.time())
        time.sleep(0.1)
    killed = time.time()
    first.kill()
    second = start_hub(settings)
    Feed(second).trade("50")
    wait_for(lambda: candles(second, "OIL-EUR", "1d"), "a candle")
    found = candles(second, "OIL-EUR", "1d")[-1]["count"] - 1
    certain = sum(1 for moment in sent if moment < killed - 1.0)
    assert certain <= found <= 50, f"{found} of 50, {certain} of them more than a second before the kill"


def test_damaged_files_are_told_and_set_aside(start_hub: Callable[..., Hub], tmp_path: Path) -> None:
    settings = {**TCP, "candles.directory": tmp_path}
    first = start_hub(settings)
    Feed(first).trade("50")
    wait_for(lambda: candles(first, "OIL-EUR", "1s"), "a candle")
    assert first.stop() == 0
    for file in tmp_path.iterdir():
        file.write_bytes(b"no candles at all, whatever the name says")
    second = start_hub(settings)
    events = [event for event in second.log_events if event["event"] == "candles-damaged"]
    assert events and all(event["setAsideAs"].startswith("damaged-") for event in events)
    assert list(tmp_path.glob("damaged-*"))
    Feed(second).trade("51")
    wait_for(lambda: candles(second, "OIL-EUR", "1s"), "a candle")


def test_a_directory_that_cannot_be_used_is_no_reason_not_to_start(start_hub: Callable[..., Hub], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    hub = start_hub({**TCP, "candles.directory": file / "below"})
    assert [event for event in hub.log_events if event["event"] == "candles-not-kept"]


def test_history_is_followed_by_pushes_without_a_gap(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub({"sources.synthetic.eventsPerSecond": 3000, "sources.synthetic.instruments": 3})
    (symbol, *_) = [one["symbol"] for one in json.loads(get(hub.page_url + "api/v1/markets")[2])["instruments"]]
    wait_for(lambda: len(candles(hub, symbol, "1s")) >= 6, "six seconds")
    for delivery in (0, EVERY):
        with Enhanced(hub) as client:
            wish = {"channel": 4, "symbols": [symbol], "candle_interval": 1, "history": 4, "delivery": delivery}
            (result,) = client.ask(subscribe=wish).subscribe.results
            past = list(result.history)
            assert len(past) == 4 and all(candle.closed for candle in past)
            pushes = client.until(lambda pushes: len({push.candle.open_ns for push in pushes}) >= 4)
        opens = [candle.open_ns for candle in past]
        for push in pushes:
            # Each push is of the candle that was told last, of one that a late trade changed, or of the next.
            assert push.candle.open_ns <= opens[-1] + 1_000_000_000
            if push.candle.open_ns > opens[-1]:
                opens.append(push.candle.open_ns)
        assert [later - earlier for earlier, later in zip(opens, opens[1:])] == [1_000_000_000] * (len(opens) - 1)
        assert len(opens) >= 8


def test_legacy_history_comes_before_the_first_candle(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub({"sources.synthetic.eventsPerSecond": 3000, "sources.synthetic.instruments": 3})
    (symbol, *_) = [one["symbol"] for one in json.loads(get(hub.page_url + "api/v1/markets")[2])["instruments"]]
    wait_for(lambda: len(candles(hub, symbol, "1s")) >= 5, "five seconds")
    with Legacy(hub) as client:
        wish = {"type": "subscribe", "channel": "candles", "symbol": symbol, "interval": "1s", "history": 3}
        client.ask(wish, "subscriptions")
        frame = client.until_type("candles")
        check_row(frame["history"], "1s")
        assert len(frame["history"]) == 3 and frame["interval"] == "1s"
        first = client.until_type("candles")["data"]
        assert seconds(first["start"]) - seconds(frame["history"][-1]["start"]) == 1
        for history, symbols in ((1001, [symbol]), (1, ["*"]), (1000, [symbol] * 5)):
            error = client.ask({**wish, "symbol": symbols[0], "history": history}, "error") if len(symbols) == 1 else (
                client.ask({"type": "subscribe", "channel": "candles", "symbols": symbols, "history": history}, "error")
            )
            assert (error["code"], error["fields"][0]["field"]) == (106, "history")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("BTC-NONE/candles", 404, 102),
        ("BTC-USD/candles?interval=7m", 400, 106),
        ("BTC-USD/candles?limit=0", 400, 106),
        ("BTC-USD/candles?limit=1001", 400, 106),
        ("BTC-USD/candles?limit=x", 400, 106),
        ("BTC-USD/trades", 404, None),
    ],
)
def test_bad_queries_are_told_what_would_pass(hub: Hub, path: str, status: int, code: int | None) -> None:
    answered, headers, text = get(hub.page_url + "api/v1/markets/" + path)
    body = json.loads(text)
    assert (answered, body.get("code")) == (status, code)
    assert headers["content-type"] == "application/problem+json"
    assert body["detail"] and body["requestId"]


def test_an_index_is_the_median_of_fresh_books(start_hub: Callable[..., Hub], tmp_path: Path) -> None:
    config = tmp_path / "hub.json5"
    config.write_text(
        """{sources: {indexes: [{
            symbol: "BTC-USD", sources: ["synthetic", "tcp", "XBT-USD@tcp"], leastSources: 2, staleMs: 1500, intervalMs: 20,
        }]}}"""
    )
    hub = start_hub(
        {"sources.tcp.enabled": True, "sources.tcp.port": 0, "sources.synthetic.eventsPerSecond": 2000},
        "--config",
        str(config),
    )

    def index() -> dict[str, Any]:
        return json.loads(get(hub.page_url + "api/v1/markets/BTC-USD@index")[2])["index"]

    def counting() -> list[bool]:
        return [source["counts"] for source in index()["sources"]]

    wait_for(lambda: counting()[0], "the synthetic book")
    assert index()["value"] is None and index()["sources"][1]["reason"] == "unknown"
    with Legacy(hub) as client, Enhanced(hub) as enhanced:
        client.send({"type": "subscribe", "symbol": "BTC-USD@index"})
        client.ask({"type": "subscribe", "channel": "status", "symbol": "BTC-USD@index"}, "status")
        (topic,) = enhanced.subscribe("trades", "BTC-USD@index")
        assert (topic.instrument.kind, topic.instrument.venue) == (5, "index")
        feed = Feed(hub)
        # One far below and one far above everything: the median is the middle one, exactly.
        feed.quote("1.5", "2.5", "BTC-USD")
        feed.quote("900000000.25", "900000000.5", "XBT-USD")
        state = client.until(lambda frame: frame["type"] == "status" and frame["data"]["state"] == "live")
        assert state["symbol"] == "BTC-USD@index"
        tick = client.until_type("marketData")
        assert tick["symbol"] == "BTC-USD@index" and tick["data"]["volume"] == 1
        wait_for(lambda: counting() == [True, True, True], "three sources")
        shown = index()
        assert Decimal(shown["value"]) == sorted(Decimal(source["mid"]) for source in shown["sources"])[1]
        assert [shown["sources"][place]["mid"] for place in (1, 2)] == ["2", "900000000.375"]
        pushes = enhanced.until(bool)
        assert all(push.trade.quantity == 1 and push.flags & 128 for push in pushes)
        assert metrics(hub)("market_hub_index_sources", symbol="BTC-USD") == 3
        # Both lines fall silent: one source is too few.
        client.until(lambda frame: frame["type"] == "status" and frame["data"]["state"] == "stale")
        assert [source["reason"] for source in index()["sources"]] == [None, "stale", "stale"]
        assert index()["value"] is None
        feed.quote("3.5", "4.5", "BTC-USD")
        client.until(lambda frame: frame["type"] == "status" and frame["data"]["state"] == "live")
    row = candles(hub, "BTC-USD@index", "1s")
    check_row(row, "1s")
    assert any(candle["count"] for candle in row)
