"""Clients that lose their connection and go on where they were, and clients that lost track of a topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage

from bad_link import BadLink
from clients import CHANNELS, EVERY, Enhanced, wait_for
from following import Following
from hub import Hub
from wandering import FAST, SYMBOLS, WISHES, Wanderer
from watching import metrics

OTHER_EPOCH, TOO_OLD, UNKNOWN_SEQUENCE = 1, 2, 3


def trades_told(hub: Hub) -> float:
    return metrics(hub)("market_hub_feed_events_total", kind="trade")


def await_trades(hub: Hub, count: int) -> None:
    before = trades_told(hub)
    wait_for(lambda: trades_told(hub) >= before + count, f"{count} more trades")


@pytest.mark.settings(FAST)
def test_who_comes_back_is_given_what_it_missed_and_nothing_else(hub: Hub) -> None:
    wanderer = Wanderer(hub)
    wanderer.subscribe()
    for round_number in range(3):
        before = wanderer.count("trades")
        wanderer.read(lambda enough=before + 20: wanderer.count("trades") >= enough)
        wanderer.lose()
        # Nobody else listens meanwhile.
        await_trades(hub, 200)
        wanderer.come_back(hub)
        assert len(wanderer.recoveries) >= len(WISHES) * len(SYMBOLS) - len(SYMBOLS)
        assert all(one.recovered for one in wanderer.recoveries), wanderer.recoveries
        told = metrics(hub)("market_hub_recoveries_total", result="recovered")
        assert told >= len(wanderer.recoveries) * (round_number + 1) - len(SYMBOLS)
    before = wanderer.count("book")
    wanderer.read(lambda: wanderer.count("book") >= before + 20)
    every = [one for one in wanderer.known.values() if one.topic.channel == CHANNELS["trades"] and one.topic.delivery == EVERY]
    assert all(one.skipped_count == 0 and one.push_count > 60 for one in every)
    wanderer.client.close()


@pytest.mark.settings({**FAST, "hub.recentPushesMost": 50, "hub.topicLingerMs": 30_000})
def test_what_is_not_kept_any_more_is_said_to_be_missing_event_by_event(hub: Hub) -> None:
    wanderer = Wanderer(hub)
    wanderer.subscribe(range(1))
    wanderer.read(lambda: wanderer.count("trades") >= 3)
    last = [wanderer.known[0, place].sequence for place in range(len(SYMBOLS))]
    wanderer.lose()
    await_trades(hub, 2_000)
    wanderer.client = Enhanced(hub)
    wanderer.subscribe(range(1))
    assert [one.failure for one in wanderer.recoveries] == [TOO_OLD] * len(SYMBOLS)
    for place, recovery in enumerate(wanderer.recoveries):
        assert (recovery.missed_first, recovery.missed_last) == (last[place] + 1, wanderer.known[0, place].topic.sequence)
    wanderer.read(lambda: wanderer.count("trades") >= 3)
    wanderer.client.close()


@pytest.mark.settings({**FAST, "hub.topicLingerMs": 0})
def test_without_lingering_only_what_others_listen_to_is_recovered(hub: Hub) -> None:
    with Enhanced(hub) as other:
        other.subscribe("trades", "BTC-USD")
        wanderer = Wanderer(hub)
        wanderer.subscribe(range(1))
        wanderer.read(lambda: wanderer.count("trades") >= 3)
        wanderer.lose()
        await_trades(hub, 200)
        wanderer.client = Enhanced(hub)
        wanderer.subscribe(range(1))
        assert [one.failure for one in wanderer.recoveries] == [0, TOO_OLD]
        wanderer.client.close()


def test_another_run_of_the_hub_numbers_anew(start_hub: Callable[..., Hub]) -> None:
    first = start_hub(FAST)
    wanderer = Wanderer(first)
    wanderer.subscribe()
    wanderer.read(lambda: wanderer.count("trades") >= 3)
    wanderer.lose()
    assert first.stop() == 0
    second = start_hub(FAST)
    wanderer.come_back(second)
    assert {one.failure for one in wanderer.recoveries} == {OTHER_EPOCH}
    assert all(one.missed_first == 0 and one.missed_last == 0 for one in wanderer.recoveries)
    wanderer.read(lambda: wanderer.count("book") >= 3)
    wanderer.client.close()


def test_a_number_that_never_was_is_told_so(hub: Hub) -> None:
    with Enhanced(hub) as client:
        epoch = client.ask(connect={"client": "liar"}).connect.epoch
        position = {"epoch": epoch, "sequence": 1 << 50}
        reply = client.ask(subscribe={"channel": CHANNELS["trades"], "symbols": ["BTC-USD"], "from": [position]})
        recovery = reply.subscribe.results[0].recovery
        assert (recovery.recovered, recovery.failure) == (False, UNKNOWN_SEQUENCE)


@pytest.mark.parametrize(("symbols", "count"), [(["BTC-USD"], 2), (["BTC-USD", "ETH-USD"], 1), (["*"], 1)])
def test_positions_have_to_fit_the_symbols(hub: Hub, symbols: list[str], count: int) -> None:
    with Enhanced(hub) as client:
        positions = [{"epoch": 1, "sequence": 1}] * count
        reply = client.ask(subscribe={"channel": CHANNELS["trades"], "symbols": symbols, "from": positions})
        assert reply.error.code == 106 and [field.field for field in reply.error.fields] == ["from"]


@pytest.mark.settings(FAST)
def test_a_topic_is_told_anew_to_who_lost_track_of_it(hub: Hub) -> None:
    with Enhanced(hub) as client, Enhanced(hub) as other:
        topics = [client.subscribe(channel, "BTC-USD")[0] for channel in ("book", "trades", "ticker")]
        bystander = Following(other.subscribe("book", "BTC-USD")[0])
        client.until(lambda pushes: sum(push.topic == topics[0].id for push in pushes) > 3)
        ids = [topic.id for topic in topics]
        reply = client.ask(resync={"topics": [*ids, 999_999]})
        assert [one.topic for one in reply.resync.topics] == ids
        # What was on its way before the answer is old now.
        client.pushes = [push for push in client.pushes if push.flags & 1 and push.previous == 0]
        following = {}
        for topic, told in zip(topics, reply.resync.topics, strict=True):
            topic.sequence = told.sequence
            following[topic.id] = Following(topic)

        def are_told() -> bool:
            return all(one.push_count >= 3 for one in following.values())

        while not are_told():
            for push in client.take():
                following[push.topic].take(push)
        while bystander.push_count < 5:
            for push in other.take():
                bystander.take(push)
        refused = client.ask(resync={"topics": [999_999]}).error
        assert (refused.code, refused.reason) == (109, "not_subscribed")


# ---- bad links ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fast_hub() -> Iterator[Hub]:
    hub = Hub(FAST)
    hub.start()
    yield hub
    assert hub.stop() == 0


@pytest.mark.parametrize("seed", range(20))
def test_over_a_link_that_freezes_and_breaks_everything_fits_or_is_said_to_be_missing(fast_hub: Hub, seed: int) -> None:
    link = BadLink(fast_hub.listeners["web"], seed)
    wanderer: Wanderer | None = None
    losses = 0
    try:
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            try:
                if wanderer is None:
                    wanderer = Wanderer(link)
                    wanderer.subscribe()
                wanderer.read(lambda: time.monotonic() > deadline)
            except (ConnectionClosed, InvalidMessage, OSError):
                losses += 1
                wanderer = come_back_over(link, wanderer)
        link.heal()
        while True:
            try:
                wanderer = wanderer or come_back_over(link, None)
                # Each push of each topic has to fit the one before, and each book its checksum.
                enough = {key: one.push_count + 3 for key, one in wanderer.known.items() if key[0] not in QUIET}
                wanderer.read(lambda known=wanderer.known, enough=enough: all(known[key].push_count >= count for key, count in enough.items()))
                break
            except (ConnectionClosed, InvalidMessage, OSError):
                # Of a connection that broke before the link was healed.
                losses += 1
                wanderer = come_back_over(link, wanderer)
        assert link.cuts + link.freezes > 0
        every = [one for key, one in wanderer.known.items() if WISHES[key[0]] == ("trades", {"delivery": EVERY})]
        assert every and all(one.skipped_count == 0 for one in every)
        with Enhanced(fast_hub) as witness:
            newest = {topic.instrument.symbol: topic.sequence for topic in witness.subscribe("trades", *SYMBOLS)}
        wanderer.read(lambda: all((one.sequence or 0) >= newest[one.topic.instrument.symbol] for one in every))
        wanderer.client.close()
    finally:
        link.close()


# Candles and the status may be quiet for long.
QUIET = {number for number, (channel, _) in enumerate(WISHES) if channel in ("candles", "status")}


def come_back_over(link: BadLink, wanderer: Wanderer | None) -> Wanderer:
    """Tries until a connection lasts until all is subscribed to again."""
    for _ in range(200):
        try:
            if wanderer is None:
                wanderer = Wanderer(link)
                wanderer.subscribe()
            else:
                wanderer.come_back(link)
            return wanderer
        except (ConnectionClosed, InvalidMessage, OSError):
            continue
    raise AssertionError("no connection lasts")
