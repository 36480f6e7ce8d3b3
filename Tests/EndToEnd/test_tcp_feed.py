"""A feed of one's own over plain TCP: lines in, ticks out."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from clients import EVERY, Enhanced, Legacy, wait_for
from following import Followers
from hub import Hub
from watching import get, metrics

SETTINGS = {"sources.tcp.enabled": True, "sources.tcp.port": 0, "sources.synthetic.enabled": False}


class Feed:
    """Who has data."""

    def __init__(self, hub: Hub, host: str = "127.0.0.1", source: str | None = None) -> None:
        port = int(hub.listeners["tcp"].rsplit(":", 1)[1])
        self.socket = socket.create_connection((host, port), timeout=15, source_address=(source, 0) if source else None)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *lines: dict[str, object] | str) -> None:
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        self.socket.sendall(text.encode())

    def trade(self, price: str, quantity: str = "1.25", symbol: str = "OIL-EUR", **more: object) -> None:
        self.send({"type": "trade", "symbol": symbol, "price": price, "quantity": quantity, **more})

    def is_cut(self) -> bool:
        """Reads to the end, over what the hub answers."""
        try:
            while self.socket.recv(65_536):
                pass
        except ConnectionResetError:
            pass
        return True


def is_turned_away(hub: Hub, host: str = "127.0.0.1", source: str | None = None) -> bool:
    """Connects to be cut off; the reset may come while the connection is still being made."""
    try:
        with Feed(hub, host, source=source) as feed:
            return feed.is_cut()
    except ConnectionResetError:
        return True


@pytest.fixture
def hub(start_hub: Callable[..., Hub], request: pytest.FixtureRequest) -> Hub:
    marker = request.node.get_closest_marker("settings")
    return start_hub({**SETTINGS, **(marker.args[0] if marker else {})})


@pytest.fixture
def feed(hub: Hub) -> Iterator[Feed]:
    """A feed whose first instrument the hub knows already."""
    with Feed(hub) as one:
        one.trade("50.10")
        wait_for(lambda: get_symbols(hub) == ["OIL-EUR"], "the first instrument")
        yield one


def get_symbols(hub: Hub) -> list[str]:
    return [one["symbol"] for one in json.loads(get(hub.page_url + "api/v1/markets")[2])["instruments"]]


def test_a_line_becomes_a_tick_on_both_channels(hub: Hub, feed: Feed) -> None:
    with Legacy(hub) as legacy, Enhanced(hub) as enhanced:
        legacy.send({"type": "subscribe", "symbol": "OIL-EUR"})
        legacy.until_type("marketData")
        (topic,) = enhanced.subscribe("trades", "OIL-EUR@tcp")
        feed.trade("50.25", "3", side="sell", id="a-17/é", time_ns=1_767_225_600_123_456_789)
        tick = legacy.until(lambda frame: frame["type"] == "marketData" and frame["data"]["price"] == 50.25)
        assert json.dumps(tick, separators=(",", ":")) == (
            '{"type":"marketData","channel":"marketData","symbol":"OIL-EUR","data":{"price":50.25,"volume":3}}'
        )
        (push,) = [push for push in enhanced.until(bool) if push.trade.id]
        instrument = topic.instrument
        assert (instrument.symbol, instrument.venue, instrument.price_scale, instrument.quantity_scale) == (
            "OIL-EUR", "tcp", 2, 2,
        )  # fmt: skip
        assert (push.trade.price, push.trade.quantity, push.trade.aggressor) == (5025, 300, 2)
        assert push.trade.id == "a-17/é".encode()
        assert push.event_ns == 1_767_225_600_123_456_789
        assert abs(push.received_ns / 1e9 - time.time()) < 30


def test_legacy_trades_give_the_id_as_it_was_written(hub: Hub, feed: Feed) -> None:
    with Legacy(hub) as client:
        client.ask({"type": "subscribe", "channel": "trades", "symbol": "OIL-EUR"}, "subscriptions")
        for text, shown in (('"a/b"', "a/b"), ("17", "17"), ('"00017"', "00017"), ("1" * 20, "1" * 20)):
            feed.send(f'{{"type":"trade","symbol":"OIL-EUR","price":50,"quantity":1,"side":"buy","id":{text}}}')
            data = client.until_type("trades")["data"]
            assert (data["id"], data["side"], data["price"], data["quantity"]) == (shown, "buy", "50", "1")


def test_quotes_become_tickers(hub: Hub, feed: Feed) -> None:
    with Legacy(hub) as client:
        feed.send({"type": "quote", "symbol": "OIL-EUR", "bid": "50.09", "bid_quantity": "2", "ask": 50.11, "ask_quantity": 0.5})
        client.send({"type": "subscribe", "channel": "ticker", "symbol": "OIL-EUR"})
        data = client.until(lambda frame: frame["type"] == "ticker" and frame["data"]["bid"] is not None)["data"]
        assert [data[key] for key in ("bid", "bidQuantity", "ask", "askQuantity", "last")] == ["50.09", "2", "50.11", "0.5", "50.1"]
        feed.send({"type": "quote", "symbol": "OIL-EUR", "ask": "50.12", "ask_quantity": "1"})
        data = client.until(lambda frame: frame["type"] == "ticker" and frame["data"]["bid"] is None)["data"]
        assert data["ask"] == "50.12" and data["bidQuantity"] is None


def test_lines_may_be_cut_anywhere(hub: Hub, feed: Feed) -> None:
    with Enhanced(hub) as client:
        client.subscribe("trades", "OIL-EUR")
        line = b'{"type":"trade","symbol":"OIL-EUR","price":"51","quantity":"1","id":"cut"}\r\n'
        for byte in line:
            feed.socket.sendall(bytes([byte]))
        client.until(lambda pushes: any(push.trade.id == b"cut" for push in pushes))


def test_a_new_instrument_joins_wildcards_and_the_list(hub: Hub, feed: Feed) -> None:
    with Legacy(hub) as legacy, Enhanced(hub) as enhanced:
        legacy.send({"type": "subscribe", "symbol": "*"})
        assert legacy.until_type("marketData")["symbol"] == "OIL-EUR"
        enhanced.subscribe("trades", "*-EUR")
        number = enhanced.number
        feed.trade("9.5", symbol="GAS-EUR")
        feed.trade("9.6", symbol="GAS-EUR")
        feed.trade("1", symbol="COAL-USD")
        assert {legacy.until(lambda frame: frame["type"] == "marketData" and frame["symbol"] == name)["symbol"]
                for name in ("GAS-EUR",)} == {"GAS-EUR"}  # fmt: skip
        legacy.until(lambda frame: frame["type"] == "marketData" and frame["symbol"] == "COAL-USD")
        # A further reply under the id of the command that asked for the wildcard.
        reply = enhanced.reply(number)
        (result,) = reply.subscribe.results
        assert (result.symbol, result.topic.instrument.symbol) == ("*-EUR", "GAS-EUR")
        enhanced.until(lambda pushes: any(push.topic == result.topic.id for push in pushes))
        assert [topic.instrument.symbol for topic in enhanced.topics.values()] == ["OIL-EUR", "GAS-EUR"]
        assert get_symbols(hub) == ["OIL-EUR", "GAS-EUR", "COAL-USD"]


def test_finer_numbers_change_the_units_and_clients_are_told_first(hub: Hub, feed: Feed) -> None:
    with Enhanced(hub) as client:
        (status,) = client.subscribe("status", "OIL-EUR")
        (trades,) = client.subscribe("trades", "OIL-EUR")
        feed.trade("50.125", id="finer")
        pushes = client.until(lambda pushes: any(push.trade.id == b"finer" for push in pushes))
        told = next(n for n, push in enumerate(pushes) if push.topic == status.id and push.status.HasField("instrument"))
        traded = next(n for n, push in enumerate(pushes) if push.trade.id == b"finer")
        assert told < traded
        assert pushes[told].status.instrument.price_scale == 3
        assert pushes[traded].trade.price == 50_125 and pushes[traded].topic == trades.id


# The queue holds all of it: a client that is slower than the feed would be closed with 3008 otherwise.
@pytest.mark.settings({"hub.privateQueueBytesMost": 64 << 20})
def test_nothing_is_lost_between_a_fast_feed_and_an_every_client(hub: Hub, feed: Feed) -> None:
    # Eight events a line: several times what the ring between the threads holds, so that the sender is made to wait.
    count = 50_000
    lines = "".join(
        f'{{"type":"trade","symbol":"OIL-EUR","price":"50.{n % 100:02}","quantity":"1","id":"{n}"}}\n'
        for n in range(count)
    )
    with Enhanced(hub) as client:
        followers = Followers()
        followers.add(client.subscribe("trades", "OIL-EUR", delivery=EVERY))
        sender = threading.Thread(target=feed.socket.sendall, args=(lines.encode(),))
        sender.start()
        pushes = client.until(lambda pushes: len(pushes) >= count, seconds=60)
        sender.join()
        followers.take(pushes)
        assert [push.trade.id for push in pushes] == [str(n).encode() for n in range(count)]
    assert metrics(hub)("market_hub_ring_drops_total") == 0


def test_bad_lines_cost_nothing_but_themselves(hub: Hub, feed: Feed) -> None:
    bad = ["{", '{"type":"trade"}', '{"type":"trade","symbol":"OIL-EUR","price":-1,"quantity":1}', "x" * 5000, "\xff"]
    with Enhanced(hub) as client:
        client.subscribe("trades", "OIL-EUR")
        for number, line in enumerate(bad):
            feed.send(line)
            feed.trade("50", id=f"good-{number}")
        wanted = {f"good-{number}".encode() for number in range(len(bad))}
        client.until(lambda pushes: wanted <= {push.trade.id for push in pushes})
    wait_for(lambda: metrics(hub)("market_hub_feed_bad_lines_total", venue="tcp") == len(bad), "every bad line counts")
    # The log has a thread of its own.
    wait_for(
        lambda: [one["line"] for one in hub.log_events if one["event"] == "tcp-feed-bad-line"] == [2, 4, 6, 8, 10],
        "every bad line is logged with its number",
    )


def test_ten_bad_lines_cut_their_connection_alone(hub: Hub, feed: Feed) -> None:
    with Feed(hub) as bad, Enhanced(hub) as client:
        client.subscribe("trades", "OIL-EUR")
        bad.send(*["nonsense"] * 10, '{"type":"trade","symbol":"OIL-EUR","price":"1","quantity":"1","id":"too late"}')
        assert bad.is_cut()
        feed.trade("50", id="good")
        pushes = client.until(lambda pushes: any(push.trade.id == b"good" for push in pushes))
        assert b"too late" not in {push.trade.id for push in pushes}
    wait_for(lambda: any(event["event"] == "tcp-feed-cut" for event in hub.log_events), "the log says so")


def test_status_tells_when_the_feed_has_gone(hub: Hub) -> None:
    with Feed(hub) as feed, Enhanced(hub) as client:
        feed.trade("50")
        wait_for(lambda: get_symbols(hub), "the instrument")
        client.subscribe("status", "OIL-EUR")
        client.until(lambda pushes: any(push.status.state == 3 for push in pushes))
        feed.socket.close()
        (gone,) = client.until(bool)
        assert (gone.status.state, gone.status.reason) == (1, 6)


@pytest.mark.settings({"sources.tcp.connectionsMost": 2})
def test_connections_above_the_most_are_closed(hub: Hub) -> None:
    with Feed(hub) as one, Feed(hub) as two:
        assert is_turned_away(hub)
        one.trade("1", symbol="ONE")
        two.trade("2", symbol="TWO")
        wait_for(lambda: sorted(get_symbols(hub)) == ["ONE", "TWO"], "both others are heard")


@pytest.mark.settings({"sources.tcp.instrumentsMost": 3})
def test_instruments_above_the_most_are_refused(hub: Hub) -> None:
    with Feed(hub) as feed:
        for number in range(5):
            feed.trade("1", symbol=f"S{number}")
        wait_for(lambda: metrics(hub)("market_hub_feed_bad_lines_total", venue="tcp") == 2, "two are refused")
        assert get_symbols(hub) == ["S0", "S1", "S2"]
        feed.trade("2", symbol="S0", id="still good")
    with Enhanced(hub) as client:
        client.subscribe("trades", "*")


def own_address() -> str | None:
    """An address of this machine that is not loopback, found without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = probe.getsockname()[0]
        return None if address.startswith("127.") else address


@pytest.mark.skipif(own_address() is None, reason="this machine has no address but loopback")
@pytest.mark.parametrize("allowed", [False, True])
def test_only_allowed_addresses_may_feed(start_hub: Callable[..., Hub], allowed: bool) -> None:
    address = own_address()
    assert address
    # Listens on that address alone, so that this machine's own packets come from it.
    hub = start_hub({**SETTINGS, "sources.tcp.host": address, "sources.tcp.allowed": f"{address}/32" if allowed else "203.0.113.0/24"})
    if allowed:
        with Feed(hub, address, source=address) as feed:
            feed.trade("50")
            wait_for(lambda: get_symbols(hub) == ["OIL-EUR"], "its line is heard")
        return
    assert is_turned_away(hub, address, source=address)
    said = wait_for(lambda: [one for one in hub.log_events if one["event"] == "tcp-feed-refused"], "the log says so")
    assert said[0]["peer"] == address and "sources.tcp.allowed" in said[0]["remedy"]
