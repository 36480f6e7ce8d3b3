"""Live venues through the built hub: what it publishes of a played recording is what independent software made of it.

Each venue is played twice: by `market-hub venue`, and by a player of these tests' own.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clients import Legacy, wait_for
from hub import Hub
from played_venues import (
    COIN_MARGINED,
    LARGE,
    PLAYERS,
    SECONDS_MOST,
    SMALL,
    Recording,
    Stage,
    golden_books,
    golden_trades,
)


@pytest.mark.parametrize("recordings", [SMALL, LARGE], ids=["all venues", "Bitcoin of 2024"])
@pytest.mark.parametrize("kind", PLAYERS)
def test_trades_and_books_are_the_golden_ones(
    follow: Callable[..., Stage], captures: Path, kind: str, recordings: list[Recording]
) -> None:
    stage = follow(kind, recordings)
    trades = {name: rows for one in recordings for name, rows in golden_trades(captures, one).items()}
    stage.listen(
        lambda: all(len(stage.trades.get(name, [])) >= len(golden) for name, golden in trades.items()), "all trades"
    )
    stage.await_books({symbol: book for one in recordings for symbol, book in golden_books(captures, one).items()})
    for name, golden in trades.items():
        assert stage.trades[name] == golden, name
    for played in stage.players:
        assert not getattr(played, "refusals", [])


@pytest.mark.parametrize("kind", PLAYERS)
def test_a_cut_connection_comes_back_and_the_books_are_right_again(
    follow: Callable[..., Stage], captures: Path, kind: str
) -> None:
    stage = follow(kind, SMALL, fault="cut")
    expect_recovery(stage, captures, "connection lost")


@pytest.mark.parametrize("kind", PLAYERS)
def test_a_silent_connection_is_given_up_and_comes_back(
    follow: Callable[..., Stage], captures: Path, kind: str
) -> None:
    stage = follow(kind, SMALL, fault="silence", silenceMs=2_000)
    expect_recovery(stage, captures, "silence")


@pytest.mark.parametrize("kind", PLAYERS)
def test_garbage_is_counted_and_harms_nothing(follow: Callable[..., Stage], captures: Path, kind: str) -> None:
    stage = follow(kind, SMALL, fault="garbage")
    stage.await_books({symbol: book for one in SMALL for symbol, book in golden_books(captures, one).items()})

    def complaints(venue: str) -> int:
        return sum(one["event"] == "venue-bad-frame" and one["venue"] == venue for one in stage.hub.log_events)

    for one in SMALL:
        wait_for(lambda name=f"venue {one.venue}": complaints(name) >= 3, f"three complaints about {one.venue}")


@pytest.mark.parametrize("kind", PLAYERS)
def test_two_connections_bring_every_trade_once_and_one_may_die_without_a_gap(
    follow: Callable[..., Stage], captures: Path, kind: str
) -> None:
    # Numbers that mean the same everywhere, and none at all. Where trades have no names (Kraken) only the leading line's
    # count, and some may be lost with it.
    venues = ("coinbase", "binance", "binance-usdm")
    recordings = [replace(one, speed=4) for one in SMALL if one.venue in venues]
    stage = follow(kind, recordings, connections=2)
    trades = {name: rows for one in recordings for name, rows in golden_trades(captures, one).items()}
    books = {symbol: book for one in recordings for symbol, book in golden_books(captures, one).items()}
    complete = [
        f'market_hub_feed_line_books{{venue="{one.venue}",line="{line}"}} {len(golden_books(captures, one))}\n'
        for one in recordings
        for line in (1, 2)
    ]
    stage.listen(lambda: all(line in metrics(stage.hub) for line in complete), "all books on both connections")
    heard = sum(len(stage.trades.get(name, [])) for name in trades)
    assert heard < sum(map(len, trades.values())), "nothing is left to be missed"
    for gate in stage.gates:
        gate.cut_first()
    stage.listen(
        lambda: all(len(stage.trades.get(name, [])) >= len(golden) for name, golden in trades.items()), "all trades"
    )
    stage.await_books(books)
    for name, golden in trades.items():
        assert sorted(stage.trades[name]) == sorted(golden), name
    for symbol in books:
        # Never anything but on the way up.
        assert "disconnected" not in [state for state, _ in stage.statuses[symbol]][1:], symbol
    reconnects = [f'market_hub_feed_reconnects_total{{venue="{one.venue}"}} 1\n' for one in recordings]
    # Figures are gathered once a second.
    stage.listen(lambda: all(line in metrics(stage.hub) for line in reconnects), "the cuts in the metrics")


def test_a_connection_is_replaced_before_the_venue_closes_it(
    follow: Callable[..., Stage], captures: Path
) -> None:
    recordings = [one for one in SMALL if one.venue in ("coinbase", "kraken")]
    stage = follow("market-hub venue", recordings, connectionLifeSeconds=5)
    books = {symbol: book for one in recordings for symbol, book in golden_books(captures, one).items()}
    stage.await_books(books)

    def renewed() -> bool:
        names = {event["venue"] for event in stage.hub.log_events if event["event"] == "venue-renewed"}
        return len(names) == len(recordings)

    stage.listen(renewed, "a successor of each connection")
    stage.await_books(books)
    for symbol in books:
        states = [state for state, _ in stage.statuses[symbol]]
        assert set(states[states.index("live") :]) == {"live"}, f"{symbol}: {states}"


def metrics(hub: Hub) -> str:
    with urllib.request.urlopen(f"{hub.admin_url}/metrics", timeout=SECONDS_MOST) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("kind", PLAYERS)
@pytest.mark.parametrize("fault", [None, "cut"])
def test_coin_margined_futures_are_followed_and_come_back(
    follow: Callable[..., Stage], kind: str, fault: str | None
) -> None:
    stage = follow(kind, [COIN_MARGINED], fault=fault)

    def levels(*sides: str) -> dict[str, Any]:
        bids, asks = ([tuple(map(Decimal, level.split("x"))) for level in side.split()] for side in sides)
        return {"levels": [len(bids), len(asks)], "bids": bids, "asks": asks}

    # Written down by hand, from the lines of the file.
    stage.await_books(
        {
            "BTC-USD-PERP@binance-coinm": levels("64000.1x99 63999.5x9", "64000.2x50 64000.5x15"),
            "BTC-USD-20240927@binance-coinm": levels("65200.3x5 65199.8x9", "65201.0x6"),
        }
    )
    trades = stage.trades["binance-coinm", "BTC-USD-PERP"]
    assert {(side, price, quantity, name) for side, price, quantity, _, name in trades} == {
        ("buy", Decimal("64000.2"), Decimal(30), "7001"),
        ("sell", Decimal("64000.1"), Decimal(1), "7002"),
    }
    # Those heard again after the cut are left out by their names.
    assert len(trades) == 2
    lost = ("disconnected", "connection lost") in stage.statuses["BTC-USD-PERP@binance-coinm"]
    assert lost == (fault == "cut")


def expect_recovery(stage: Stage, captures: Path, reason: str) -> None:
    """Every book was lost for this reason, came back, and is the golden one at the end."""
    golden = {symbol: book for one in SMALL for symbol, book in golden_books(captures, one).items()}
    lost = ("disconnected", reason)

    def have_lost() -> bool:
        return all(lost in stage.statuses.get(symbol, []) for symbol in golden)

    stage.listen(have_lost, f"{reason} told of every book")
    stage.await_books(golden)
    for symbol in golden:
        states = stage.statuses[symbol]
        assert ("live", "") in states[states.index(lost) :], f"{symbol}: {states}"


def test_instruments_go_by_the_venues_names_too_and_tell_what_they_are_made_of(follow: Callable[..., Stage]) -> None:
    bitmex = next(one for one in SMALL if one.venue == "bitmex")
    stage = follow("independent", [bitmex])
    names = ("XBTUSD@bitmex", "XBTUSD", "BTC-USD-PERP", "BTC-USD-PERP@bitmex")
    topics = stage.client.subscribe("ticker", *names)
    assert {topic.instrument.raw_symbol for topic in topics} == {"XBTUSD"}
    future = next(one for one in stage.client.ask(list={"pattern": "XRPU21"}).list.instruments)
    assert (future.symbol, future.base_asset, future.quote_asset) == ("XRP-BTC-20210924", "XRP", "BTC")
    assert (future.contract_size, future.expiry_ns) == ("1", 1_632_484_800_000_000_000)
    with Legacy(stage.hub) as client:
        answer = client.ask({"type": "subscribe", "channel": "ticker", "symbol": "XBTUSD@bitmex"}, "subscriptions")
        assert answer["channels"][0]["symbols"] == ["XBTUSD@bitmex"]
        assert client.until_type("ticker")["symbol"] == "BTC-USD-PERP"
    with urllib.request.urlopen(stage.hub.page_url + "api/v1/markets") as response:
        markets = {one["rawSymbol"]: one for one in json.load(response)["instruments"]}
    perpetual = markets["XBTUSD"]
    assert perpetual["inverse"] is True and perpetual["contractSize"] == "1" and perpetual["settle"] == "BTC"
    assert markets["XRPU21"]["expiry"] == "2021-09-24T12:00:00.000000Z"
