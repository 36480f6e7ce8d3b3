"""Memory over a long time: a recording is played again and again as fast as it goes, and the hub grows no more after the first rounds."""

from __future__ import annotations

import gzip
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients import CONFLATE, EVERY, Enhanced
from following import Followers
from hub import Hub
from watching import metrics, resident_bytes

CAPTURE = "binance_futures/binance_futures-btcusdt-20240808.cap.gz"
INSTRUMENTS = "instruments/binance_futures.json"
# What the hub may hold after the first rounds, as a part of the most that it held in them.
GROWTH_MOST = 1.10
LONG_SECONDS = 36_000


@dataclass
class Round:
    pushes: int
    resident: int


def recorded_seconds(capture: Path) -> float:
    with gzip.open(capture, "rt", encoding="utf-8") as lines:
        times = [int(line.partition("\t")[0]) for line in lines]
    return (times[-1] - times[0]) / 1e9


def rounds_ended(hub: Hub) -> int:
    return sum('"event":"replay-ended"' in line for line in list(hub.log))


def soak(hub: Hub, rounds: int, seconds_most: float) -> list[Round]:
    """Follows books through so many rounds, checks every push, and looks at the memory at the end of each round."""
    deadline = time.monotonic() + seconds_most
    followers = Followers()
    seen: list[Round] = []
    pushes = 0
    with Enhanced(hub) as client:
        for channel, settings in (
            ("book", {"delivery": CONFLATE}),
            ("book", {"depth": 10, "delivery": CONFLATE}),
            ("book", {"depth": 25, "delivery": CONFLATE, "interval_ms": 100}),
            ("ticker", {}),
            ("candles", {}),
            ("status", {"delivery": EVERY}),
        ):
            followers.add(client.subscribe(channel, "*", **settings))
        while len(seen) < rounds:
            assert time.monotonic() < deadline, f"only {len(seen)} of {rounds} rounds in {seconds_most:.0f} s"
            taken = client.take()
            followers.add(list(client.topics.values()))
            followers.take(taken)
            pushes += len(taken)
            # Rounds that ended since the last look share one sample.
            while len(seen) < rounds_ended(hub):
                seen.append(Round(pushes, resident_bytes(hub)))
                pushes = 0
    assert sum(one.checksum_count for one in followers.by_id.values()) > rounds, "books were not followed"
    assert metrics(hub)("market_hub_ring_drops_total") == 0
    return seen


def check(seen: list[Round], first: int) -> str:
    """That memory stays below the bound after the first rounds; gives the figures."""
    before = max(one.resident for one in seen[:first])
    after = max(one.resident for one in seen[first:])
    figures = (
        f"{len(seen)} rounds, {sum(one.pushes for one in seen)} pushes, resident memory at most {before / 1e6:.1f} MB in the "
        f"first {first} rounds, {after / 1e6:.1f} MB later, {seen[-1].resident / 1e6:.1f} MB at the end"
    )
    assert after <= before * GROWTH_MOST, f"memory grows: {figures}"
    return figures


def settings(captures: Path) -> dict[str, object]:
    return {
        "sources.synthetic.enabled": False,
        "sources.capture.venue": "binance-usdm",
        "sources.capture.files": captures / CAPTURE,
        "sources.capture.instrumentsFile": captures / INSTRUMENTS,
        "sources.capture.speedFactor": 0,
        "sources.capture.loop": True,
    }


def test_memory_is_bounded_over_some_rounds_of_a_recording(start_hub: Callable[..., Hub], captures: Path) -> None:
    check(soak(start_hub(settings(captures)), rounds=12, seconds_most=60), first=4)


@pytest.mark.long
def test_memory_is_bounded_over_ten_recorded_hours(start_hub: Callable[..., Hub], captures: Path) -> None:
    rounds = math.ceil(LONG_SECONDS / recorded_seconds(captures / CAPTURE))
    begun = time.monotonic()
    seen = soak(start_hub(settings(captures)), rounds, seconds_most=1_800)
    for number, one in enumerate(seen, 1):
        print(f"round {number}: {one.pushes} pushes, {one.resident / 1e6:.1f} MB")
    figures = check(seen, first=10)
    print(f"soak: ten recorded hours in {time.monotonic() - begun:.0f} s, {figures}")
