"""Checks that what a client of the enhanced channel is told fits together, push by push."""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Any

SNAPSHOT = 1
BOOK = 3
EVERY = 1


class Side:
    """The levels of one side of a book, found by price and kept in its order."""

    def __init__(self) -> None:
        self.prices: list[int] = []
        self.quantities: dict[int, int] = {}

    def clear(self) -> None:
        self.prices.clear()
        self.quantities.clear()

    def set(self, price: int, quantity: int) -> None:
        if quantity:
            if price not in self.quantities:
                insort(self.prices, price)
            self.quantities[price] = quantity
        elif self.quantities.pop(price, None) is not None:
            del self.prices[bisect_left(self.prices, price)]


class Book:
    def __init__(self) -> None:
        self.bids = Side()
        self.asks = Side()

    def apply(self, change: Any, is_snapshot: bool) -> None:
        if is_snapshot:
            self.bids.clear()
            self.asks.clear()
        for side, levels in ((self.bids, change.bids), (self.asks, change.asks)):
            for level in levels:
                side.set(level.price, level.quantity)

    def best_bids(self, most: int) -> list[tuple[int, int]]:
        return [(price, self.bids.quantities[price]) for price in reversed(self.bids.prices[-most:])]

    def best_asks(self, most: int) -> list[tuple[int, int]]:
        return [(price, self.asks.quantities[price]) for price in self.asks.prices[:most]]

    @property
    def crc32(self) -> int:
        """Kraken's rule: asks then bids, price then quantity, ten levels of each."""
        text = "".join([f"{price}{quantity}" for price, quantity in self.best_asks(10) + self.best_bids(10)])
        return zlib.crc32(text.encode())


@dataclass
class Following:
    """One topic as far as it was heard; `take` complains about the first thing that does not fit."""

    topic: Any
    sequence: int | None = None
    book: Book = field(default_factory=Book)
    push_count: int = 0
    skipped_count: int = 0
    checksum_count: int = 0
    delta_count: int = 0

    def take(self, push: Any) -> None:
        previous, sequence, skipped = push.previous, push.sequence, push.skipped
        if self.sequence is None:
            # What a subscription begins with: the state of the topic's last push, or the first push behind it.
            if push.flags & SNAPSHOT:
                self._demand(previous == 0 and skipped == 0, push, "the first push claims one before it")
            else:
                self._demand(previous == self.topic.sequence, push, f"the topic was at {self.topic.sequence}")
                self._demand(sequence == previous + 1 + skipped, push, "sequence is not previous + 1 + skipped")
        else:
            self._demand(previous == self.sequence, push, f"previous is not the last sequence, {self.sequence}")
            self._demand(sequence == previous + 1 + skipped, push, "sequence is not previous + 1 + skipped")
        self.sequence = sequence
        self.push_count += 1
        self.skipped_count += skipped
        if self.topic.channel == BOOK:
            self._take_book(push)
        elif self.topic.delivery == EVERY:
            self._demand(skipped == 0, push, "EVERY left something out")

    def _take_book(self, push: Any) -> None:
        is_snapshot = push.HasField("book_snapshot")
        self._demand(is_snapshot or self.push_count > 1, push, "a book does not begin with a snapshot")
        change = push.book_snapshot if is_snapshot else push.book_delta
        self.book.apply(change, is_snapshot)
        self.delta_count += not is_snapshot
        depth = self.topic.depth
        if depth:
            for side in (self.book.bids, self.book.asks):
                self._demand(len(side.prices) <= depth, push, f"more than {depth} levels")
        if change.HasField("crc32"):
            self.checksum_count += 1
            self._demand(change.crc32 == self.book.crc32, push, f"the book has the checksum {self.book.crc32}")
        else:
            self._demand(not is_snapshot, push, "a snapshot without checksum")

    def _demand(self, is_so: bool, push: Any, complaint: str) -> None:
        if not is_so:
            name = f"{self.topic.instrument.symbol}@{self.topic.instrument.venue} channel {self.topic.channel}"
            raise AssertionError(f"{name}: {complaint}; before: {self.sequence}, push:\n{push}")


class Followers:
    """All topics of one client."""

    def __init__(self) -> None:
        self.by_id: dict[int, Following] = {}

    def add(self, topics: list[Any]) -> None:
        for topic in topics:
            self.by_id.setdefault(topic.id, Following(topic))

    def take(self, pushes: list[Any]) -> None:
        by_id = self.by_id
        for push in pushes:
            by_id[push.topic].take(push)

    def of_channel(self, channel: int) -> list[Following]:
        return [one for one in self.by_id.values() if one.topic.channel == channel]
