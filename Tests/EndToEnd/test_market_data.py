"""Market data on both channels, as clients that are none of ours hear it."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict

import pytest

from clients import CHANNELS, CONFLATE, EVERY, LATEST, Enhanced, Legacy
from following import Followers
from hub import Hub

INSTRUMENTS = 10
PRICED = r"(?:0|[1-9]\d*)(?:\.\d*[1-9])?"
# Exactly these keys in this order, numbers without exponent and without trailing zeros.
MARKET_DATA = re.compile(
    r'\{"type":"marketData","channel":"marketData","symbol":"([A-Z0-9-]+)",'
    rf'"data":\{{"price":({PRICED}),"volume":({PRICED})\}}\}}'
)
TIME = r'"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","sequence":\d+'
DECIMAL = rf'"{PRICED}"'
LEVELS = rf'\[(?:\["{PRICED}","{PRICED}"\](?:,\["{PRICED}","{PRICED}"\])*)?\]'
# What follows `"data":{` on the other legacy channels, up to the closing braces.
LEGACY_DATA = {
    "ticker": TIME
    + "".join(
        rf',"{key}":(?:{DECIMAL}|null)'
        for key in "bid bidQuantity ask askQuantity last lastQuantity open high low volume".split()
    ),
    "trades": TIME
    + rf',"price":{DECIMAL},"quantity":{DECIMAL},'
    + rf'(?:"side":(?:"buy"|"sell"|null),"id":(?:"[^"]*"|null)|"high":{DECIMAL},"low":{DECIMAL},"count":\d+)',
    "book": TIME + rf',"previous":\d+,"kind":"(?:snapshot|update)","bids":{LEVELS},"asks":{LEVELS}(?:,"checksum":\d+)?',
    "candles": TIME
    + r',"interval":"1m","start":"[^"]*"'
    + "".join(rf',"{key}":{DECIMAL}' for key in "open high low close volume".split())
    + r',"count":\d+,"closed":(?:true|false)(?:,"partial":true)?',
    "status": TIME + r',"state":"live","reason":"[a-z_]+"',
}


def symbols(hub: Hub) -> list[str]:
    with Legacy(hub) as client:
        return [one["symbol"] for one in client.ask({"type": "list"}, "instruments")["instruments"]]


# ---- legacy -------------------------------------------------------------------------------------------------------------


def test_every_default_instrument_ticks_on_the_legacy_channel_in_the_exact_text(hub: Hub) -> None:
    with Legacy(hub) as client:
        client.send({"type": "subscribe", "channel": "marketData", "symbols": ["*"]})
        assert client.next() == '{"type":"subscriptions","channels":[{"name":"marketData","symbols":["*"]}]}'
        prices: dict[str, set[str]] = defaultdict(set)
        deadline = time.monotonic() + 20
        while len(prices) < INSTRUMENTS or any(len(seen) < 2 for seen in prices.values()):
            assert time.monotonic() < deadline, f"these have not ticked twice: {prices}"
            text = client.next()
            found = MARKET_DATA.fullmatch(text)
            assert found, text
            assert list(json.loads(text)) == ["type", "channel", "symbol", "data"]
            prices[found[1]].add(text)
        assert set(prices) == set(symbols(hub))


@pytest.mark.parametrize("channel", LEGACY_DATA)
def test_every_default_instrument_is_told_on_each_legacy_channel(hub: Hub, channel: str) -> None:
    wanted = re.compile(
        rf'\{{"type":"{channel}","channel":"{channel}","symbol":"([A-Z0-9-]+)","data":\{{{LEGACY_DATA[channel]}\}}\}}'
    )
    with Legacy(hub) as client:
        client.ask({"type": "subscribe", "channel": channel, "symbol": "*"}, "subscriptions")
        seen = set()
        while len(seen) < INSTRUMENTS:
            text = client.next()
            found = wanted.fullmatch(text)
            assert found, text
            seen.add(found[1])


def test_the_newest_value_comes_at_once(hub: Hub) -> None:
    with Legacy(hub) as client:
        client.send({"type": "subscribe", "symbol": "*"})
        client.until_type("subscriptions")
        traded = {client.until_type("marketData")["symbol"] for _ in range(50)}
    one = traded.pop()
    with Legacy(hub) as client:
        # Once an hour at most: what comes can only be the value that was there.
        client.send({"type": "subscribe", "symbol": one, "intervalMs": 60_000})
        assert client.until_type("subscriptions")["channels"] == [{"name": "marketData", "symbols": [one]}]
        assert client.until_type("marketData")["symbol"] == one


def test_an_interval_is_kept(hub: Hub) -> None:
    with Legacy(hub) as client:
        name = symbols(hub)[0]
        client.send({"type": "subscribe", "channel": "ticker", "symbol": name, "intervalMs": 500})
        client.until_type("ticker")
        client.until_type("ticker")
        start = time.monotonic()
        for _ in range(3):
            client.until_type("ticker")
        passed = time.monotonic() - start
        assert passed > 1.2, f"three values in {passed:.2f} s, though one comes in half a second"


@pytest.mark.parametrize("pattern", ["*", "BTC-*", "*-USD", "*@synthetic"])
def test_wildcards_fit_on_both_channels_alike(hub: Hub, pattern: str) -> None:
    expression = re.compile(re.escape(pattern.removesuffix("@synthetic")).replace(r"\*", ".*"))
    fitting = {name for name in symbols(hub) if expression.fullmatch(name)}
    assert fitting, f"the default instruments have none like {pattern}"
    with Legacy(hub) as legacy, Enhanced(hub) as enhanced:
        topics = enhanced.subscribe("ticker", pattern)
        assert {topic.instrument.symbol for topic in topics} == fitting
        legacy.send({"type": "subscribe", "channel": "ticker", "symbol": pattern})
        seen: set[str] = set()
        while seen != fitting:
            seen.add(legacy.until_type("ticker")["symbol"])
            assert seen <= fitting


def test_an_array_holds_several_requests(hub: Hub) -> None:
    one, two, *_ = symbols(hub)
    with Legacy(hub) as client:
        client.send(
            [
                {"type": "subscribe", "symbol": one},
                {"type": "subscribe", "channel": "ticker", "symbols": [two]},
                {"type": "nonsense"},
                {"type": "ping", "id": "last"},
            ]
        )
        assert client.until_type("subscriptions")["channels"] == [{"name": "marketData", "symbols": [one]}]
        channels = client.until_type("subscriptions")["channels"]
        assert {channel["name"]: channel["symbols"] for channel in channels} == {"marketData": [one], "ticker": [two]}
        assert client.until_type("error")["request"] == {"type": "nonsense"}
        assert client.until_type("pong") == {"type": "pong", "id": "last"}


@pytest.mark.parametrize("number", ["7", '"a b"', "1.50", "null", "-0.25e3", "true"])
def test_a_pong_gives_the_id_back_as_it_was_written(hub: Hub, number: str) -> None:
    with Legacy(hub) as client:
        client.send(f'{{"type":"ping","id":{number}}}')
        assert client.next() == f'{{"type":"pong","id":{number}}}'


def test_a_ping_needs_no_id(hub: Hub) -> None:
    with Legacy(hub) as client:
        client.send({"type": "ping"})
        assert client.next() == '{"type":"pong"}'


def test_legacy_lists_the_instruments_page_by_page(hub: Hub) -> None:
    with Legacy(hub) as client:
        everything = client.ask({"type": "list"}, "instruments")
        assert len(everything["instruments"]) == INSTRUMENTS and everything["next"] == 0
        paged, start = [], 0
        while True:
            page = client.ask({"type": "list", "from": start, "limit": 4}, "instruments")
            assert len(page["instruments"]) <= 4
            paged += page["instruments"]
            start = page["next"]
            if start == 0:
                break
        assert paged == everything["instruments"]
        assert client.ask({"type": "list", "pattern": "BTC-*"}, "instruments")["instruments"] == [
            one for one in paged if one["symbol"].startswith("BTC-")
        ]


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        ({"type": "order"}, 101, "unknown_command"),
        ({"channel": "ticker"}, 101, "unknown_command"),
        ({"type": "subscribe", "symbol": "XYZ-USD"}, 102, "unknown_symbol"),
        ({"type": "subscribe", "channel": "weather", "symbol": "*"}, 103, "unknown_channel"),
        ({"type": "subscribe", "channel": "book", "symbol": "*", "depth": 11}, 106, "invalid_field"),
        ({"type": "subscribe", "symbols": []}, 106, "invalid_field"),
        ({"type": "subscribe", "symbols": ["*"], "symbol": "*"}, 106, "invalid_field"),
        ({"type": "subscribe", "symbol": "*", "intervalMs": -1}, 106, "invalid_field"),
        ({"type": "unsubscribe", "symbol": "*"}, 109, "not_subscribed"),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_legacy_errors_are_numbered_and_give_the_request_back(
    hub: Hub, request_: dict[str, object], code: int, reason: str
) -> None:
    with Legacy(hub) as client:
        error = client.ask(request_, "error")
        assert (error["code"], error["reason"], error["request"]) == (code, reason, request_)
        assert error["message"] and error["requestId"]
        # Under that id it stands in the log as well.
        assert any(line.get("requestId") == error["requestId"] for line in wait_for_log(hub, error["requestId"]))


def wait_for_log(hub: Hub, words: str) -> list[dict[str, object]]:
    deadline = time.monotonic() + 5
    while not any(words in line for line in list(hub.log)):
        assert time.monotonic() < deadline, f"{words} is not in the log"
        time.sleep(0.01)
    return hub.log_events


def test_a_batch_is_one_array_a_pass(hub: Hub) -> None:
    with Legacy(hub) as client:
        client.send({"type": "subscribe", "channel": "ticker", "symbols": ["*"], "intervalMs": 250, "batch": True})
        client.until_type("subscriptions")
        longest = 0
        while longest < INSTRUMENTS:
            batch = json.loads(client.next())
            assert isinstance(batch, list) and batch, batch
            assert all(one["type"] == "ticker" for one in batch)
            assert len({one["symbol"] for one in batch}) == len(batch), "a value twice in one pass"
            longest = max(longest, len(batch))


def test_legacy_unsubscribing_ends_it(hub: Hub) -> None:
    one, two, *_ = symbols(hub)
    with Legacy(hub) as client:
        client.send({"type": "subscribe", "channel": "ticker", "symbols": [one, two]})
        client.until(lambda frame: frame["type"] == "ticker" and frame["symbol"] == one)
        left = client.ask({"type": "unsubscribe", "channel": "ticker", "symbol": one}, "subscriptions")
        assert left["channels"] == [{"name": "ticker", "symbols": [two]}]
        for _ in range(20):
            assert client.until_type("ticker")["symbol"] == two
        nothing = client.ask({"type": "unsubscribe", "channel": "ticker", "symbol": two}, "subscriptions")
        assert nothing["channels"] == []


# ---- enhanced -----------------------------------------------------------------------------------------------------------


def test_every_default_instrument_ticks_on_each_enhanced_channel(hub: Hub) -> None:
    with Enhanced(hub) as client:
        followers = Followers()
        for channel in CHANNELS:
            topics = client.subscribe(channel, "*")
            assert len({topic.id for topic in topics}) == INSTRUMENTS
            assert len({topic.instrument.id for topic in topics}) == INSTRUMENTS
            followers.add(topics)
        deadline = time.monotonic() + 20
        # A status comes once, when one subscribes; everything else again and again.
        least = {number: 1 if name == "status" else 3 for name, number in CHANNELS.items()}
        while any(one.push_count < least[one.topic.channel] for one in followers.by_id.values()):
            waiting = [one.topic for one in followers.by_id.values() if one.push_count < least[one.topic.channel]]
            assert time.monotonic() < deadline, f"silent topics: {waiting}"
            followers.take(client.take())
        assert all(one.checksum_count for one in followers.of_channel(CHANNELS["book"]))


def test_connect_tells_the_limits_and_the_epoch(hub: Hub) -> None:
    with Enhanced(hub) as client:
        reply = client.ask(connect={"client": "end-to-end"})
        welcome = reply.connect
        assert welcome.instrument_count == INSTRUMENTS
        assert welcome.limits.symbols_per_request_most == 1000
        assert welcome.limits.frame_bytes_most == 65_536
        assert welcome.heartbeat_ms == 15_000
        assert abs(welcome.server_ns / 1e9 - time.time()) < 5
        assert 0 < reply.timing.received_ns <= reply.timing.done_ns
        assert {topic.epoch for topic in client.subscribe("ticker", "*")} == {welcome.epoch}


def test_a_pass_interval_gathers_pushes_into_fewer_frames(hub: Hub) -> None:
    with Enhanced(hub) as client:
        client.ask(connect={"client": "page", "pass_ms": 250})
        client.subscribe("ticker", "*")
        client.subscribe("trades", "*")
        client.take()
        start = time.monotonic()
        frames = [client.frame() for _ in range(6)]
        passed = time.monotonic() - start
        assert passed > 0.9, f"six frames in {passed:.2f} s, though one comes in a quarter of a second"
        assert max(len(frame.pushes) for frame in frames) > INSTRUMENTS


def test_the_enhanced_ping_gives_the_time_back(hub: Hub) -> None:
    with Enhanced(hub) as client:
        pong = client.ask(ping={"client_ns": 2**63 + 1}).pong
        assert pong.client_ns == 2**63 + 1
        assert abs(pong.server_ns / 1e9 - time.time()) < 5


def test_enhanced_lists_the_instruments_page_by_page(hub: Hub) -> None:
    with Enhanced(hub) as client:
        everything = client.ask(list={}).list
        assert len(everything.instruments) == INSTRUMENTS and everything.next == 0
        first = client.ask(list={"limit": 7}).list
        second = client.ask(list={"limit": 7, "from": first.next}).list
        assert [*first.instruments, *second.instruments] == list(everything.instruments)
        assert second.next == 0


def test_one_subscription_answers_for_each_symbol(hub: Hub) -> None:
    one, two, *_ = symbols(hub)
    with Enhanced(hub) as client:
        subscribe = {"channel": CHANNELS["trades"], "symbols": [one, "XYZ-USD", f"{two}@synthetic"]}
        results = client.ask(subscribe=subscribe).subscribe.results
        assert [result.symbol for result in results] == subscribe["symbols"]
        assert [result.WhichOneof("outcome") for result in results] == ["topic", "error", "topic"]
        assert (results[1].error.code, results[1].error.reason) == (102, "unknown_symbol")


@pytest.mark.parametrize(
    ("command", "code", "field"),
    [
        ({"subscribe": {"symbols": ["*"]}}, 103, None),
        ({"subscribe": {"channel": 1, "symbols": []}}, 106, "subscribe.symbols"),
        ({"subscribe": {"channel": 3, "symbols": ["*"], "depth": 7}}, 106, "depth"),
        ({"subscribe": {"channel": 1, "symbols": ["*"], "depth": 10}}, 106, "depth"),
        ({"subscribe": {"channel": 1, "symbols": ["*"], "delivery": LATEST}}, 106, "interval_ms"),
        ({"subscribe": {"channel": 5, "symbols": ["*"], "delivery": CONFLATE}}, 106, "delivery"),
        ({"subscribe": {"channel": 2, "symbols": ["*"], "candle_interval": 1}}, 106, "candle_interval"),
        ({"unsubscribe": {"channel": 1, "symbols": ["*"]}}, 109, None),
        ({}, 101, None),
    ],
    ids=str,
)
def test_enhanced_errors_are_numbered_and_name_the_field(
    hub: Hub, command: dict[str, object], code: int, field: str | None
) -> None:
    with Enhanced(hub) as client:
        error = client.ask(**command).error
        assert error.code == code, error
        assert error.message and error.reason and error.request_id
        if field:
            assert field in [one.field for one in error.fields]


def test_commands_of_one_frame_are_all_answered(hub: Hub) -> None:
    with Enhanced(hub) as client:
        client.send(*[{"ping": {"client_ns": number}} for number in range(1, 101)])
        replies = []
        while len(replies) < 100:
            replies += client.frame().replies
        assert sorted(reply.id for reply in replies) == list(range(1, 101))
        assert all(reply.pong.client_ns == reply.id for reply in replies)


def test_enhanced_unsubscribing_ends_it(hub: Hub) -> None:
    one, two, *_ = symbols(hub)
    with Enhanced(hub) as client:
        ended, kept = client.subscribe("ticker", one, two)
        book = client.subscribe("book", one, depth=10)[0]
        assert client.ask(unsubscribe={"channel": 1, "symbols": [one]}).unsubscribe.topics == [ended.id]
        assert client.ask(unsubscribe={"topics": [book.id]}).unsubscribe.topics == [book.id]
        client.pushes.clear()
        assert {push.topic for push in client.until(lambda pushes: len(pushes) >= 20)} == {kept.id}


def test_a_book_has_the_depth_and_the_steps_that_were_asked_for(hub: Hub) -> None:
    one = symbols(hub)[0]
    with Enhanced(hub) as client:
        followers = Followers()
        narrow, wide, coarse = (
            client.subscribe("book", one, depth=depth, group=group)[0] for depth, group in ((10, 0), (25, 0), (10, 50))
        )
        assert len({narrow.id, wide.id, coarse.id}) == 3
        followers.add([narrow, wide, coarse])
        followers.take(client.until(lambda pushes: len(pushes) >= 300))
        assert len(followers.by_id[narrow.id].book.bids.prices) == 10
        assert 10 < len(followers.by_id[wide.id].book.bids.prices) <= 25
        steps = 50 * coarse.instrument.tick
        grouped = followers.by_id[coarse.id].book
        assert grouped.bids.prices and all(price % steps == 0 for price in grouped.bids.prices + grouped.asks.prices)


def test_latest_is_the_whole_value_no_more_than_once_per_interval(hub: Hub) -> None:
    one = symbols(hub)[0]
    with Enhanced(hub) as client:
        followers = Followers()
        followers.add(client.subscribe("ticker", one, delivery=LATEST, interval_ms=200))
        followers.take(client.until(bool))
        start = time.monotonic()
        followers.take(client.until(lambda pushes: len(pushes) >= 4))
        assert time.monotonic() - start > 0.5
        assert next(iter(followers.by_id.values())).skipped_count > 0, "nothing was merged"


def test_a_legacy_client_picks_the_fields_it_wants(hub: Hub) -> None:
    with Legacy(hub) as client:
        client.send({"type": "subscribe", "channel": "ticker", "symbol": "BTC-USD", "fields": ["ask", "bid"]})
        for _ in range(3):
            assert list(client.until_type("ticker")["data"]) == ["bid", "ask"]
        client.send({"type": "subscribe", "symbol": "*", "fields": ["price"]})
        assert list(client.until_type("marketData")["data"]) == ["price"]
        for wrong in (["bid", "nonsense"], [], "bid", [1], ["bid"] * 17):
            error = client.ask({"type": "subscribe", "channel": "ticker", "symbol": "BTC-USD", "fields": wrong}, "error")
            assert error["code"] == 106 and "fields" in json.dumps(error["fields"])


@pytest.mark.settings({"transport.ioLoops": 2})
def test_two_clients_hear_the_same_under_the_same_numbers(hub: Hub) -> None:
    heard: list[dict[tuple[int, int, int], bytes]] = []
    clients = [Enhanced(hub) for _ in range(4)]
    try:
        for client in clients:
            client.subscribe("trades", "*", delivery=EVERY)
        pushes = [client.until(lambda pushes: len(pushes) >= 150) for client in clients]
    finally:
        for client in clients:
            client.close()
    for client, told in zip(clients, pushes, strict=True):
        values = {}
        for push in told:
            # The first push of a subscription says nothing of the one before.
            instrument = client.topics[push.topic].instrument.id
            values[instrument, push.sequence, 0] = push.trade.SerializeToString() + push.received_ns.to_bytes(8, "big")
        heard.append(values)
    for other in heard[1:]:
        common = heard[0].keys() & other.keys()
        assert len(common) > 50, "they have hardly heard the same time"
        assert all(heard[0][key] == other[key] for key in common)
