"""A client that loses its connection, comes back, and goes on where it was; each push has to fit what it knew."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from clients import CHANNELS, CONFLATE, EVERY, LATEST, Enhanced
from following import Following
from hub import Hub

FAST = {"sources.synthetic.eventsPerSecond": 2_000}
SYMBOLS = ("BTC-USD", "ETH-USD")
WISHES: list[tuple[str, dict[str, Any]]] = [
    ("trades", {"delivery": EVERY}),
    ("trades", {"delivery": CONFLATE, "interval_ms": 50}),
    ("ticker", {"delivery": EVERY}),
    ("ticker", {"delivery": CONFLATE}),
    ("book", {"delivery": EVERY, "depth": 25}),
    ("book", {"delivery": CONFLATE, "depth": 10}),
    ("book", {"delivery": CONFLATE}),
    ("book", {"delivery": LATEST, "interval_ms": 100, "depth": 10}),
    ("candles", {"candle_interval": 1}),
    ("status", {}),
]


class Wanderer:
    """A client that keeps what it knows when its connection is lost; each push has to fit what was there before."""

    def __init__(self, hub: Hub) -> None:
        self.client = Enhanced(hub)
        self.epoch = self.client.ask(connect={"client": "wanderer"}).connect.epoch
        # By the place of the wish in WISHES and of the symbol in SYMBOLS.
        self.known: dict[tuple[int, int], Following] = {}
        self.places: dict[int, tuple[int, int]] = {}
        self.recoveries: list[Any] = []

    def subscribe(self, numbers: range = range(len(WISHES))) -> None:
        for number in numbers:
            channel, settings = WISHES[number]
            known = [self.known.get((number, place)) for place in range(len(SYMBOLS))]
            positions = [self.position(one, channel) for one in known]
            wish = {"channel": CHANNELS[channel], "symbols": SYMBOLS, **settings, **({"from": positions} if any(positions) else {})}
            reply = self.client.ask(subscribe=wish)
            for place, result in enumerate(reply.subscribe.results):
                topic = result.topic
                self.places[topic.id] = (number, place)
                before = known[place]
                if before is None or not positions[place]:
                    assert not result.HasField("recovery")
                    self.known[number, place] = Following(topic)
                    continue
                assert result.HasField("recovery"), f"{channel} {settings}: nothing is said of it"
                self.recoveries.append(result.recovery)
                if result.recovery.recovered:
                    if before.sequence is None:
                        # Where it was before the first push.
                        topic.sequence = before.topic.sequence
                    before.topic = topic
                else:
                    self.known[number, place] = Following(topic)

    def position(self, known: Following | None, channel: str) -> dict[str, int]:
        """Where to go on; nowhere where the state that a subscription begins with has not come."""
        if known is None or (known.sequence is None and channel != "trades"):
            return {}
        return {"epoch": self.epoch, "sequence": known.topic.sequence if known.sequence is None else known.sequence}

    def read(self, is_enough: Callable[[], bool]) -> None:
        while not is_enough():
            for push in self.client.take():
                self.known[self.places[push.topic]].take(push)

    def count(self, channel: str) -> int:
        return min(one.push_count for one in self.known.values() if one.topic.channel == CHANNELS[channel])

    def lose(self) -> None:
        self.client.socket.socket.shutdown(socket.SHUT_RDWR)
        self.client.close()

    def come_back(self, hub: Hub) -> None:
        self.client = Enhanced(hub)
        self.places, self.recoveries = {}, []
        self.subscribe()
