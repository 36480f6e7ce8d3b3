"""ITCH from a file, over SoupBinTCP and over MoldUDP64: the same market at the end, whatever the way."""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import itch_server as itch
from clients import SECONDS_MOST, Enhanced, wait_for
from following import Followers
from hub import Hub
from watching import get

QUIET = {"sources.synthetic.enabled": False, "sources.itch.date": "2010-12-24"}
RECORDING = "itch/ritch-ALC-BOB.itch50.gz"


class Model:
    """What messages come to, worked out as plainly as can be."""

    def __init__(self, messages: list[bytes]) -> None:
        self.orders: dict[int, tuple[int, str, int, int]] = {}
        for message in messages:
            self.take(message)

    def take(self, message: bytes) -> None:
        kind, locate = message[:1].decode(), int.from_bytes(message[1:3], "big")
        number = int.from_bytes(message[11:19], "big")
        if kind in "AF":
            shares, price = int.from_bytes(message[20:24], "big"), int.from_bytes(message[32:36], "big")
            self.orders[number] = (locate, message[19:20].decode(), price, shares)
        elif kind in "ECXD" and number in self.orders:
            locate, side, price, shares = self.orders.pop(number)
            left = 0 if kind == "D" else shares - int.from_bytes(message[19:23], "big")
            if left > 0:
                self.orders[number] = (locate, side, price, left)
        elif kind == "U" and number in self.orders:
            locate, side, _, _ = self.orders.pop(number)
            shares, price = int.from_bytes(message[27:31], "big"), int.from_bytes(message[31:35], "big")
            self.orders[int.from_bytes(message[19:27], "big")] = (locate, side, price, shares)

    def orders_of(self, locate: int) -> dict[int, tuple[str, int, int]]:
        """Side, price and shares of every order of one book, by number."""
        return {number: one[1:] for number, one in self.orders.items() if one[0] == locate}

    def book(self, locate: int) -> tuple[dict[int, int], dict[int, int]]:
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        for own, side, price, shares in self.orders.values():
            if own == locate:
                levels = bids if side == "B" else asks
                levels[price] = levels.get(price, 0) + shares
        return bids, asks


@pytest.fixture
def soup() -> Iterator[Callable[..., itch.SoupServer]]:
    made: list[itch.SoupServer] = []

    def make(*arguments: object, **options: object) -> itch.SoupServer:
        made.append(itch.SoupServer(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def mold() -> Iterator[Callable[..., itch.MoldServer]]:
    made: list[itch.MoldServer] = []

    def make(*arguments: object, **options: object) -> itch.MoldServer:
        made.append(itch.MoldServer(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("secret\n")
    return path


def soup_settings(server: itch.SoupServer, password: Path) -> dict[str, object]:
    return {
        **QUIET, "sources.itch.mode": "soupbin", "sources.itch.server": server.address,
        "sources.itch.user": "trader", "sources.itch.passwordFile": password,
    }  # fmt: skip


def mold_settings(server: itch.MoldServer, *, can_request: bool = True) -> dict[str, object]:
    settings = {**QUIET, "sources.itch.mode": "moldudp64", "sources.itch.lines": server.lines}
    return {**settings, "sources.itch.rerequestServer": server.rerequest_address} if can_request else settings


def symbols(hub: Hub) -> list[str]:
    return [one["symbol"] for one in json.loads(get(hub.page_url + "api/v1/markets")[2])["instruments"]]


def await_books(hub: Hub, model: Model, stocks: dict[str, int]) -> None:
    """Waits until a subscriber has the books of the model."""
    wait_for(lambda: set(stocks) <= set(symbols(hub)), f"{stocks} among the instruments")
    wanted = {symbol: model.book(locate) for symbol, locate in stocks.items()}
    with Enhanced(hub) as client:
        followers = Followers()
        followers.add(client.subscribe("book", *stocks))

        deadline = time.monotonic() + SECONDS_MOST
        while True:
            books = {one.topic.instrument.symbol: one.book for one in followers.by_id.values()}
            if all((books[name].bids.quantities, books[name].asks.quantities) == wanted[name] for name in stocks):
                return
            assert time.monotonic() < deadline, f"the books of the model: not within {SECONDS_MOST} s"
            with contextlib.suppress(TimeoutError):
                followers.take(client.take(seconds=0.2))


class Orders:
    """The single orders of one topic, kept by what is pushed and by the rules of Docs/PROTOCOL.md."""

    def __init__(self) -> None:
        self.sides: dict[int, dict[int, tuple[int, int]]] = {1: {}, 2: {}}
        self.sequence: int | None = None
        self.snapshots = 0
        self.checked = 0

    def take(self, push: Any) -> None:
        if push.HasField("order_snapshot"):
            self.snapshots += 1
            lists = ((1, push.order_snapshot.bids), (2, push.order_snapshot.asks))
            self.sides = {side: {one.id: (one.price, one.quantity) for one in orders} for side, orders in lists}
            change = push.order_snapshot
        else:
            assert push.previous == self.sequence and push.sequence == push.previous + 1, push
            change = push.order_change
            orders = self.sides[change.side]
            if change.kind == 1:
                assert change.id not in orders
                orders[change.id] = (change.price, change.quantity)
            elif change.kind == 5:
                del orders[change.id]
                orders[change.new_id] = (change.price, change.quantity)
            elif change.quantity:
                assert change.quantity < orders[change.id][1]
                orders[change.id] = (orders[change.id][0], change.quantity)
            else:
                del orders[change.id]
        self.sequence = push.sequence
        if change.HasField("crc32"):
            self.checked += 1
            assert change.crc32 == self.crc32

    @property
    def resting(self) -> dict[int, tuple[str, int, int]]:
        """Side, price and quantity of every order, by number."""
        return {number: ("?BS"[side], *order) for side in (1, 2) for number, order in self.sides[side].items()}

    def levels(self, side: int) -> dict[int, int]:
        levels: dict[int, int] = {}
        for price, quantity in self.sides[side].values():
            levels[price] = levels.get(price, 0) + quantity
        return levels

    @property
    def crc32(self) -> int:
        asks, bids = sorted(self.levels(2).items())[:10], sorted(self.levels(1).items(), reverse=True)[:10]
        return zlib.crc32("".join([f"{price}{quantity}" for price, quantity in asks + bids]).encode())


def test_single_orders_can_be_followed_from_any_moment_on(
    start_hub: Callable[..., Hub], soup: Callable[..., itch.SoupServer], password: Path, captures: Path
) -> None:
    messages = itch.recorded(captures / RECORDING)
    server = soup(messages[:4_000])
    hub = start_hub(soup_settings(server, password))
    wait_for(lambda: symbols(hub) == ["ALC-USD", "BOB-USD"], "the instruments")
    # Each portion is waited for: a client that lies unread while thousands of changes come is rightly told anew.
    model = Model(messages[:4_000])
    with contextlib.ExitStack() as stack:
        clients: list[tuple[Enhanced, Orders]] = []
        for number, first in enumerate(range(4_000, len(messages), 500)):
            server.messages = messages[: first + 500]
            if number < 8:
                client = stack.enter_context(Enhanced(hub))
                (topic,) = client.subscribe("orders", "BOB-USD", interval_ms=(0, 50)[number % 2])
                assert topic.instrument.single_orders and topic.delivery == 1
                clients.append((client, Orders()))
            for message in messages[first : first + 500]:
                model.take(message)
            wanted = model.orders_of(2)
            for client, orders in clients:
                deadline = time.monotonic() + SECONDS_MOST
                while orders.resting != wanted:
                    assert time.monotonic() < deadline, "not all orders came"
                    with contextlib.suppress(TimeoutError):
                        for push in client.take(seconds=0.2):
                            orders.take(push)
        assert [orders.snapshots for _, orders in clients] == [1] * 8
        assert all(orders.checked > 1 for _, orders in clients)


def test_single_orders_are_refused_where_there_are_none(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    with Enhanced(hub) as client:
        reply = client.ask(subscribe={"channel": 6, "symbols": ["BTC-USD"]})
        (result,) = reply.subscribe.results
        assert (result.error.code, result.error.reason) == (120, "no_single_orders")


def test_a_file_becomes_books_and_trades(start_hub: Callable[..., Hub], captures: Path) -> None:
    path = captures / RECORDING
    hub = start_hub({**QUIET, "sources.itch.mode": "file", "sources.itch.files": path, "sources.itch.speedFactor": 0})
    await_books(hub, Model(itch.recorded(path)), {"ALC-USD": 1, "BOB-USD": 2})


def test_soupbin_goes_on_after_a_cut_without_a_gap(
    start_hub: Callable[..., Hub], soup: Callable[..., itch.SoupServer], password: Path, captures: Path
) -> None:
    messages = itch.recorded(captures / RECORDING)
    server = soup(messages)
    server.cut_after = 4_321
    hub = start_hub(soup_settings(server, password))
    await_books(hub, Model(messages), {"ALC-USD": 1, "BOB-USD": 2})
    assert server.logins[0] == ("", 1)
    assert server.logins[1][0] == "S1" and 4_000 < server.logins[1][1] <= 4_322 and len(server.logins) == 2
    wait_for(lambda: server.heartbeats >= 2, "heartbeats of the hub")


def test_soupbin_says_that_it_is_refused(
    start_hub: Callable[..., Hub], soup: Callable[..., itch.SoupServer], password: Path
) -> None:
    server = soup([], password="another")
    hub = start_hub(soup_settings(server, password))
    wait_for(lambda: any(line["event"] == "itch-session-lost" for line in hub.log_events), "the refusal in the log")
    (line,) = [line for line in hub.log_events if line["event"] == "itch-session-lost"]
    assert "refuses the user" in line["reason"] and "secret" not in "".join(hub.log)


def test_soupbin_begins_a_new_session_with_empty_books(
    start_hub: Callable[..., Hub], soup: Callable[..., itch.SoupServer], password: Path
) -> None:
    first = [itch.directory("ABC"), itch.add(1, "B", 100, 10_000), itch.add(2, "S", 100, 10_100)]
    server = soup(first)
    hub = start_hub(soup_settings(server, password))
    await_books(hub, Model(first), {"ABC-USD": 1})
    second = [itch.directory("ABC", 7), itch.add(1, "S", 30, 20_000, locate=7)]
    server.session, server.messages, server.cut_after = "S2", second, 0
    # The running connection is at its end; the next login asks for the old session, which is no more.
    server.messages = first + [itch.deleted(2)]
    wait_for(lambda: len(server.logins) >= 2, "another login")
    server.messages = second
    await_books(hub, Model(second), {"ABC-USD": 7})


@pytest.mark.parametrize("lines", [1, 2])
def test_moldudp64_heals_lines_that_lose_repeat_and_reorder(
    start_hub: Callable[..., Hub], mold: Callable[..., itch.MoldServer], captures: Path, lines: int
) -> None:
    messages = itch.recorded(captures / RECORDING)
    server = mold(messages, lines=lines)
    hub = start_hub(mold_settings(server))
    server.send(loses=0.1, repeats=0.1, reorders=0.1)
    await_books(hub, Model(messages), {"ALC-USD": 1, "BOB-USD": 2})
    assert server.lost > 10 and server.requests > 0
    assert not any(line["event"] == "itch-messages-lost" for line in hub.log_events)


def test_moldudp64_asks_for_what_came_before_it_listened(
    start_hub: Callable[..., Hub], mold: Callable[..., itch.MoldServer], captures: Path
) -> None:
    messages = itch.recorded(captures / RECORDING)
    server = mold(messages)
    hub = start_hub(mold_settings(server))
    server.heartbeat()
    await_books(hub, Model(messages), {"ALC-USD": 1, "BOB-USD": 2})


def test_moldudp64_marks_what_it_has_to_give_up(
    start_hub: Callable[..., Hub], mold: Callable[..., itch.MoldServer]
) -> None:
    server = mold([itch.directory("ABC"), itch.add(1, "B", 100, 10_000)])
    hub = start_hub(mold_settings(server, can_request=False))
    server.send()
    wait_for(lambda: symbols(hub) == ["ABC-USD"], "the instrument")
    with Enhanced(hub) as client:
        client.subscribe("status", "ABC-USD")
        client.subscribe("book", "ABC-USD")
        server.messages += [itch.add(2, "S", 100, 10_100), itch.add(3, "S", 50, 10_200)]
        server.send(first=4)
        # The book goes on, and says with everything that it may be wrong.
        def is_marked(push: Any) -> bool:
            return bool(push.flags & 8) and (push.HasField("book_delta") or push.HasField("book_snapshot"))

        pushes = client.until(lambda pushes: any(is_marked(push) for push in pushes))
        (status,) = [push.status for push in pushes if push.HasField("status") and push.status.state == 4]
        assert status.reason == 2


def test_moldudp64_joins_a_group(start_hub: Callable[..., Hub], mold: Callable[..., itch.MoldServer]) -> None:
    server = mold([itch.directory("ABC"), itch.add(1, "B", 100, 10_000)])
    port = server.ports[0]
    settings = {**mold_settings(server), "sources.itch.lines": f"239.255.42.42:{port}", "sources.itch.interface": "127.0.0.1"}
    try:
        hub = start_hub(settings)
    except AssertionError as failure:
        pytest.skip(f"this machine has no multicast: {failure}")
    if any(line["event"] == "itch-line-failed" for line in hub.log_events):
        pytest.skip("this machine joins no group on its loopback")
    server.send_to_group("239.255.42.42", port)
    await_books(hub, Model(server.messages), {"ABC-USD": 1})
