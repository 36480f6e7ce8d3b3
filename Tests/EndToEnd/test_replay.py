"""Recorded venue traffic through the hub: every push of the enhanced channel fits the one before, every book its checksum."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clients import CONFLATE, EVERY, Enhanced, wait_for
from following import Followers
from hub import Hub
from watching import get, metrics

SPEED = 100
# A recording that begins again jumps back by its whole length, which is never this short.
ROUND_SECONDS_LEAST = 10


@dataclass(frozen=True)
class Recording:
    venue: str
    file: str
    instruments: str

    @property
    def name(self) -> str:
        return Path(self.file).name.removesuffix(".cap.gz")

    def settings(self, captures: Path, **more: object) -> dict[str, object]:
        return {
            "sources.synthetic.enabled": False,
            "sources.capture.venue": self.venue,
            "sources.capture.files": captures / self.file,
            "sources.capture.instrumentsFile": captures / "instruments" / self.instruments,
            **{f"sources.capture.{key}": value for key, value in more.items()},
        }

    def golden(self, captures: Path) -> Path:
        return captures / Path(self.file).parent / f"golden-{self.name}"


RECORDINGS = [
    Recording("kraken", "kraken/kraken-A.cap.gz", "kraken.json"),
    Recording("okx", "okx/okx-A.cap.gz", "okx.json"),
    Recording("bitstamp", "bitstamp/bitstamp-A.cap.gz", "bitstamp.json"),
    Recording("coinbase", "coinbase/coinbase-A.cap.gz", "coinbase.json"),
    Recording("binance", "binance/binance-A.cap.gz", "binance.json"),
    Recording("binance-usdm", "binance_futures/binance_futures-A.cap.gz", "binance_futures.json"),
    Recording("binance", "binance/binance-btcusdt-20240808.cap.gz", "binance.json"),
    Recording("binance-usdm", "binance_futures/binance_futures-btcusdt-20240808.cap.gz", "binance_futures.json"),
]


class RecordedTime:
    """How much of a recording was played, over all its rounds, by the times that its pushes bear.

    Each topic is watched for itself, because only its own pushes come in the order of their times; the longest counts.
    """

    def __init__(self) -> None:
        self.newest_ns: dict[int, int] = {}
        self.played_ns: dict[int, int] = {}

    def take(self, pushes: list[Any]) -> None:
        for push in pushes:
            # The state of a topic that nothing has been said of yet has no time.
            if not push.received_ns:
                continue
            ahead = push.received_ns - self.newest_ns.setdefault(push.topic, push.received_ns)
            if ahead > 0:
                self.played_ns[push.topic] = self.played_ns.get(push.topic, 0) + ahead
            if ahead > 0 or ahead < -ROUND_SECONDS_LEAST * 1_000_000_000:
                self.newest_ns[push.topic] = push.received_ns

    @property
    def seconds(self) -> float:
        return max(self.played_ns.values(), default=0) / 1e9


def follow(hub: Hub, seconds: int, deadline_seconds: float) -> tuple[Followers, RecordedTime]:
    """Checks everything that the hub says until so much recorded time was played."""
    deadline = time.monotonic() + deadline_seconds
    followers = Followers()
    with Enhanced(hub) as client:
        for channel, settings in (
            ("book", {"depth": 10, "delivery": EVERY}),
            ("book", {"depth": 10, "delivery": CONFLATE}),
            ("book", {"depth": 25, "delivery": CONFLATE, "interval_ms": 100}),
            ("trades", {}),
            ("ticker", {}),
            ("candles", {}),
            ("status", {}),
        ):
            followers.add(client.subscribe(channel, "*", **settings))
        clock = RecordedTime()
        while clock.seconds < seconds:
            assert time.monotonic() < deadline, f"only {clock.seconds:.0f} s of the recording in {deadline_seconds} s"
            pushes = client.take()
            # An instrument that the list does not name joins the wildcards when it is first heard of.
            followers.add(list(client.topics.values()))
            followers.take(pushes)
            clock.take(pushes)
    return followers, clock


def check(hub: Hub, followers: Followers) -> None:
    books = [one for one in followers.by_id.values() if one.topic.channel == 3 and one.push_count]
    assert books and all(one.checksum_count for one in books)
    assert sum(one.delta_count for one in books) > 100
    assert any(one.skipped_count for one in books if one.topic.delivery == CONFLATE), "nothing was ever merged"
    assert sum(one.push_count for one in followers.of_channel(2)) > 0, "not one trade"
    assert metrics(hub)("market_hub_ring_drops_total") == 0


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_half_a_minute_of_replay_fits_together(
    start_hub: Callable[..., Hub], captures: Path, recording: Recording
) -> None:
    hub = start_hub(recording.settings(captures, speedFactor=20, loop=True))
    followers, _ = follow(hub, seconds=30, deadline_seconds=60)
    check(hub, followers)


@pytest.mark.long
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_an_hour_of_replay_fits_together(start_hub: Callable[..., Hub], captures: Path, recording: Recording) -> None:
    hub = start_hub(recording.settings(captures, speedFactor=SPEED, loop=True))
    begun = time.monotonic()
    followers, clock = follow(hub, seconds=3_600, deadline_seconds=3_600)
    check(hub, followers)
    checksums = sum(one.checksum_count for one in followers.by_id.values())
    pushes = sum(one.push_count for one in followers.by_id.values())
    print(
        f"{recording.name}: {clock.seconds:.0f} s of recording in {time.monotonic() - begun:.0f} s, "
        f"{pushes} pushes, {checksums} checksums"
    )


def test_books_stay_right_while_units_are_learnt(start_hub: Callable[..., Hub], captures: Path) -> None:
    """Without a list of instruments the scales come from the digits, and change whenever finer ones appear."""
    settings = {**RECORDINGS[0].settings(captures, speedFactor=20, loop=True), "sources.capture.instrumentsFile": ""}
    followers, _ = follow(start_hub(settings), seconds=30, deadline_seconds=60)
    assert sum(one.checksum_count for one in followers.by_id.values()) > 100


def decimal(units: int, scale: int) -> Decimal:
    return Decimal(units).scaleb(-scale)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_the_last_books_are_the_golden_ones(
    start_hub: Callable[..., Hub], captures: Path, recording: Recording
) -> None:
    hub = start_hub(recording.settings(captures, speedFactor=0))
    wait_for(
        lambda: b": finished" in get(hub.admin_url + "/readyz?verbose")[2], "the end of the recording", seconds=60
    )
    golden = json.loads((recording.golden(captures) / "book_final.json").read_text())
    followers = Followers()
    with Enhanced(hub) as client:
        followers.add(client.subscribe("book", "*"))
        with_book = [one for one in followers.by_id.values() if one.topic.sequence]
        followers.take(client.until(lambda pushes: len(pushes) >= len(with_book)))
    ours = {}
    for one in with_book:
        instrument = one.topic.instrument
        scales = instrument.price_scale, instrument.quantity_scale
        ours[instrument.symbol] = {
            "bids": [[decimal(value, scale) for value, scale in zip(level, scales)] for level in one.book.best_bids(20)],
            "asks": [[decimal(value, scale) for value, scale in zip(level, scales)] for level in one.book.best_asks(20)],
            "levels": [len(one.book.bids.prices), len(one.book.asks.prices)],
        }
    assert ours == {
        symbol: {
            "bids": [[Decimal(value) for value in level] for level in book["bids"]],
            "asks": [[Decimal(value) for value in level] for level in book["asks"]],
            "levels": book["levels"],
        }
        for symbol, book in golden.items()
    }
