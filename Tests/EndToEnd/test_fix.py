"""Market data over FIX: logon, books and trades, holes, losses and bad input, as a client of the hub meets them."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clients import EVERY, Enhanced, wait_for
from fix_server import FixServer, recorded
from following import Followers
from hub import Hub
from recording import Authority
from watching import get, metrics

StartHub = Callable[..., Hub]
StartServer = Callable[..., FixServer]
RECORDING = "fix/jse-ftse-index-a.fix.gz"
GOLDEN = "fix/jse-ftse-index-a.golden-simplefix.jsonl.gz"
DISCONNECTED, LIVE, RESYNCING = 1, 3, 4
GAP, SILENCE, CONNECTION_LOST = 2, 5, 6
GAP_BEFORE = 4
BOOKS = {
    "EUR/USD": ([("1.1002", "5"), ("1.1001", "7")], [("1.1003", "4"), ("1.1005", "9")]),
    "GBP/USD": ([("1.25", "1")], [("1.26", "2")]),
}


@pytest.fixture
def serve() -> Iterator[StartServer]:
    with ExitStack() as stack:

        def start(**options: Any) -> FixServer:
            server = FixServer(**options)
            stack.callback(server.stop)
            return server

        yield start


def following(tmp_path: Path, server: FixServer, **more: object) -> tuple[str, str]:
    """Arguments for a hub that follows the server."""
    (tmp_path / "password").write_text("secret\n")
    one = {"urls": [server.url], "senderCompId": "HUB", "targetCompId": "VENUE", "user": "trader", "heartbeatSeconds": 5,
           "passwordFile": str(tmp_path / "password"), "symbols": list(BOOKS), **more}  # fmt: skip
    path = tmp_path / "hub.json5"
    path.write_text(json.dumps({"sources": {"synthetic": {"enabled": False}, "fix": [one]}}))
    return "--config", str(path)


def events(hub: Hub, name: str) -> list[dict[str, Any]]:
    return [event for event in hub.log_events if event["event"] == name]


def symbols(hub: Hub) -> list[str]:
    return sorted(f"{one['symbol']}@{one['venue']}" for one in json.loads(get(hub.page_url + "api/v1/markets")[2])["instruments"])


class Subscriber:
    """A client with the book, the trades and the status of EUR/USD, checked push by push."""

    def __init__(self, hub: Hub, stack: ExitStack) -> None:
        wait_for(lambda: len(symbols(hub)) == 2, "both instruments")
        self.client = stack.enter_context(Enhanced(hub))
        self.followers = Followers()
        self.pushes: list[Any] = []
        topics = [self.client.subscribe(channel, "EUR/USD", **more)[0] for channel, more in
                  (("book", {}), ("trades", {"delivery": EVERY}), ("status", {}))]  # fmt: skip
        self.scales = topics[0].instrument.price_scale, topics[0].instrument.quantity_scale
        self.followers.add(topics)

    def until(self, is_enough: Callable[[list[Any]], bool], what: str) -> None:
        """Takes pushes until all so far are enough."""
        while not is_enough(self.pushes):
            try:
                taken = self.client.take()
            except TimeoutError:
                raise AssertionError(f"{what}: it did not come; last {self.pushes[-3:]}, {self.book}") from None
            self.followers.take(taken)
            self.pushes += taken

    @property
    def book(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Best first, numbers as text."""
        (one,) = self.followers.of_channel(3)
        price, quantity = self.scales

        def texts(levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
            return [(f"{Decimal(at).scaleb(-price):f}", f"{Decimal(size).scaleb(-quantity):f}") for at, size in levels]

        return texts(one.book.best_bids(99)), texts(one.book.best_asks(99))

    def statuses(self) -> list[tuple[int, int]]:
        return [(push.status.state, push.status.reason) for push in self.pushes if push.HasField("status")]


def change(side: int, price: str, size: str, action: int = 0, symbol: str = "EUR/USD", more: str = "") -> str:
    return f"35=X{more}|268=1|279={action}|269={side}|55={symbol}|270={price}|271={size}"


@pytest.mark.parametrize(("begin", "is_tls"), [("FIX.4.4", False), ("FIXT.1.1", True)])
def test_a_session_brings_books_and_trades_of_what_was_asked_for(
    start_hub: StartHub, serve: StartServer, authority: Authority, tmp_path: Path, begin: str, is_tls: bool
) -> None:
    trust = None
    if is_tls:
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trust.load_cert_chain(authority.certificate, authority.key)
    server = serve(begin=begin, trust=trust, books=BOOKS)
    more = {"beginString": begin, "depth": 10, "venue": "fix-test", "caFile": str(authority.root) if is_tls else ""}
    hub = start_hub({}, *following(tmp_path, server, **more))
    with ExitStack() as stack:
        subscriber = Subscriber(hub, stack)
        assert symbols(hub) == ["EUR/USD@fix-test", "GBP/USD@fix-test"]
        subscriber.until(lambda _: subscriber.book == BOOKS["EUR/USD"], "the snapshot")
        server.say(change(0, "1.1002", "3", action=1))
        server.say(change(1, "1.1005", "0", action=2))
        server.say("35=X|268=1|279=0|269=2|55=EUR/USD|270=1.1003|271=2|1003=T-1|2446=1")
        subscriber.until(lambda pushes: any(push.trade.id == b"T-1" for push in pushes), "the trade")
        subscriber.until(lambda _: subscriber.book[1] == [("1.1003", "4")], "the deleted level")
        assert subscriber.book[0] == [("1.1002", "3"), ("1.1001", "7")]
    (logon,) = server.of_kind("A")
    assert (logon[98], logon[108], logon[141], logon[553], logon[554]) == ("0", "5", "Y", "trader", "secret")
    assert logon.get(1137) == ("9" if begin == "FIXT.1.1" else None)
    asked = server.of_kind("V")
    assert [(one[55], one[263], one[264], one[265]) for one in asked] == [(symbol, "1", "10", "1") for symbol in BOOKS]
    wait_for(lambda: "source fix-test: live" in get(hub.admin_url + "/readyz?verbose")[2].decode(), "the hub to be ready")
    assert metrics(hub)("market_hub_feed_events_total", venue="fix-test", kind="trade") == 1
    # Whoever stops says so.
    assert hub.stop() == 0
    wait_for(lambda: server.of_kind("5"), "the logout")
    assert "secret" not in "".join(hub.log)


def test_a_hole_is_asked_for_again_and_nobody_notices(start_hub: StartHub, serve: StartServer, tmp_path: Path) -> None:
    server = serve(books=BOOKS)
    hub = start_hub({}, *following(tmp_path, server))
    with ExitStack() as stack:
        subscriber = Subscriber(hub, stack)
        subscriber.until(lambda _: subscriber.book == BOOKS["EUR/USD"], "the snapshot")
        server.say(change(0, "1.1002", "3", action=1), is_lost=True)
        server.say(change(1, "1.1003", "8", action=1))
        wanted = [("1.1002", "3"), ("1.1001", "7")], [("1.1003", "8"), ("1.1005", "9")]
        subscriber.until(lambda _: subscriber.book == wanted, "both changes")
        assert subscriber.statuses()[1:] == []
        assert len(server.of_kind("2")) == 1 and len(server.of_kind("V")) == 2


@pytest.mark.parametrize("counted_by", [34, 1181])
def test_a_hole_that_stays_is_flagged_and_healed_by_a_new_snapshot(
    start_hub: StartHub, serve: StartServer, tmp_path: Path, counted_by: int
) -> None:
    server = serve(books=BOOKS)
    server.application = 1 if counted_by == 1181 else None
    hub = start_hub({}, *following(tmp_path, server))
    with ExitStack() as stack:
        subscriber = Subscriber(hub, stack)
        subscriber.until(lambda _: subscriber.book == BOOKS["EUR/USD"], "the snapshot")
        fresh = [("1.2000", "1")], [("1.3000", "2")]
        server.books = {**BOOKS, "EUR/USD": fresh}
        if counted_by == 34:
            server.fills_with_nothing = True
            server.say(change(0, "1.1002", "3", action=1), is_lost=True)
            server.say(change(1, "1.1003", "8", action=1))
        else:
            # The session is whole; the application behind it lost its fourth message.
            server.say(change(0, "1.1002", "3", action=1, more="|1180=APP|1181=3"))
            server.application = 6
            server.say(change(1, "1.1003", "8", action=1, more="|1180=APP|1181=5"))
        subscriber.until(lambda _: subscriber.book == fresh, "the fresh book")
        told = DISCONNECTED if counted_by == 34 else RESYNCING
        subscriber.until(lambda _: subscriber.statuses()[-2:] == [(told, GAP), (LIVE, 0)], "the gap and its end")
        if counted_by == 1181:
            (_, snapshot) = [push for push in subscriber.pushes if push.HasField("book_snapshot")]
            assert snapshot.flags & GAP_BEFORE
            assert [one[263] for one in server.of_kind("V")] == ["1", "1", "2", "1", "2", "1"]
        assert server.logons == 1


def test_a_lost_connection_is_said_to_be_lost_and_comes_back_with_a_fresh_book(
    start_hub: StartHub, serve: StartServer, tmp_path: Path
) -> None:
    server = serve(books=BOOKS)
    hub = start_hub({}, *following(tmp_path, server))
    with ExitStack() as stack:
        subscriber = Subscriber(hub, stack)
        subscriber.until(lambda _: subscriber.book == BOOKS["EUR/USD"], "the snapshot")
        fresh = [("1.1000", "1")], [("1.1004", "2")]
        server.books = {**BOOKS, "EUR/USD": fresh}
        server.cut()
        subscriber.until(lambda _: (DISCONNECTED, CONNECTION_LOST) in subscriber.statuses(), "the loss")
        subscriber.until(lambda _: subscriber.book == fresh and subscriber.statuses()[-1][0] == LIVE, "the fresh book")
    assert server.logons == 2 and [one[34] for one in server.of_kind("A")] == ["1", "1"]
    assert metrics(hub)("market_hub_feed_reconnects_total", venue="fix") == 1
    assert [event["reason"] for event in events(hub, "fix-connection-lost")] == ["connection lost"]


def test_a_wrong_password_is_told_in_the_venue_s_words(start_hub: StartHub, serve: StartServer, tmp_path: Path) -> None:
    server = serve(password="another")
    hub = start_hub({}, *following(tmp_path, server))
    wait_for(lambda: events(hub, "fix-connection-lost"), "the refusal")
    assert "unknown user or wrong password" in events(hub, "fix-complaint")[0]["problem"]
    assert "unknown user or wrong password" in events(hub, "fix-connection-lost")[0]["reason"]
    wait_for(lambda: "wrong password" in get(hub.admin_url + "/readyz")[2].decode(), "the reason among the sources")
    wait_for(lambda: server.logons >= 2, "another attempt")
    assert "secret" not in "".join(hub.log)


def test_a_password_that_would_end_its_field_is_told_and_nobody_is_called(
    start_hub: StartHub, serve: StartServer, tmp_path: Path
) -> None:
    server = serve()
    (tmp_path / "bad").write_text("secret\x0135=5\n")
    hub = start_hub({}, *following(tmp_path, server, passwordFile=str(tmp_path / "bad")))
    (event,) = wait_for(lambda: events(hub, "fix-password-unusable"), "the complaint")
    assert "control byte" in event["problem"] and "secret" not in event["problem"]
    assert server.received == []


def test_a_message_with_a_wrong_checksum_is_counted_left_out_and_asked_for_again(
    start_hub: StartHub, serve: StartServer, tmp_path: Path
) -> None:
    server = serve(books=BOOKS)
    hub = start_hub({}, *following(tmp_path, server))
    with ExitStack() as stack:
        subscriber = Subscriber(hub, stack)
        subscriber.until(lambda _: subscriber.book == BOOKS["EUR/USD"], "the snapshot")
        server.say(change(0, "1.1002", "3", action=1), wrong_sum=True)
        server.say(change(1, "1.1003", "8", action=1))
        wanted = [("1.1002", "3"), ("1.1001", "7")], [("1.1003", "8"), ("1.1005", "9")]
        subscriber.until(lambda _: subscriber.book == wanted, "both changes")
    (event,) = events(hub, "fix-bad-message")
    assert event["venue"] == "fix" and "CheckSum" in event["problem"]
    wait_for(lambda: metrics(hub)("market_hub_feed_bad_lines_total", venue="fix") == 1, "the count")


def test_a_silent_server_is_tested_and_then_left_for_a_new_connection(
    start_hub: StartHub, serve: StartServer, tmp_path: Path
) -> None:
    server = serve(books=BOOKS)
    hub = start_hub({}, *following(tmp_path, server, heartbeatSeconds=1))
    with ExitStack() as stack:
        subscriber = Subscriber(hub, stack)
        wait_for(lambda: server.of_kind("0"), "a heartbeat of the hub")
        server.is_silent = True
        wait_for(lambda: server.of_kind("1"), "a test request")
        subscriber.until(lambda _: (DISCONNECTED, SILENCE) in subscriber.statuses(), "the silence")
        wait_for(lambda: server.logons == 2, "another logon")
    assert events(hub, "fix-connection-lost")[0]["reason"] == "given up: silence"


def test_a_message_without_end_is_cut_off(start_hub: StartHub, serve: StartServer, tmp_path: Path) -> None:
    server = serve(books=BOOKS)
    hub = start_hub({}, *following(tmp_path, server))
    wait_for(lambda: len(symbols(hub)) == 2, "both instruments")
    server.raw(b"8=FIX.4.4\x019=99999999\x0135=X\x01" + b"58=" + b"x" * 500_000)
    # Half a megabyte is a word in the log, more than a whole one is the end.
    wait_for(lambda: events(hub, "fix-bytes-skipped"), "a word about it")
    assert not events(hub, "fix-cut-off")
    server.raw(b"x" * 600_000)
    (event,) = wait_for(lambda: events(hub, "fix-cut-off"), "the end")
    assert "1048576 bytes" in event["problem"]
    (event,) = wait_for(lambda: events(hub, "fix-left-alone"), "a pause")
    assert 290 <= event["seconds"] <= 300
    assert server.logons == 1


def test_a_refused_instrument_is_told_and_costs_the_others_nothing(
    start_hub: StartHub, serve: StartServer, tmp_path: Path
) -> None:
    server = serve(books=BOOKS)
    hub = start_hub({}, *following(tmp_path, server, symbols=["NO/ONE", *BOOKS]))
    wait_for(lambda: len(symbols(hub)) == 2, "both instruments")
    assert events(hub, "fix-complaint")[0]["problem"] == "no such instrument"


def test_a_recorded_feed_gives_each_value_of_the_golden_file_once(
    start_hub: StartHub, serve: StartServer, captures: Path, tmp_path: Path
) -> None:
    server = serve(begin="FIXT.1.1")
    arguments = following(tmp_path, server, beginString="FIXT.1.1", symbols=[])
    hub = start_hub({"feedOut.enabled": True, "feedOut.port": 0}, *arguments)
    wait_for(lambda: events(hub, "fix-logged-on"), "the session")
    host, _, port = hub.listeners["feedOut"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as reader, reader.makefile("rb") as lines:
        reader.sendall(b'{"type":"hello","version":1,"name":"test"}\n')
        assert json.loads(next(lines))["type"] == "hello"
        server.say_all(recorded(captures / RECORDING))
        wanted: list[tuple[str, Decimal]] = []
        seen: set[int] = set()
        for row in map(json.loads, gzip.open(captures / GOLDEN, "rt")):
            # A message that came twice has its number twice.
            if row.get("applseq") and row["applseq"] not in seen:
                seen.add(row["applseq"])
                wanted += [(one["symbol"], Decimal(one["px"])) for one in row["entries"] if one["type"] == "3"]
        assert len(wanted) == 4_473
        values: list[tuple[str, Decimal]] = []
        while len(values) < len(wanted):
            line = json.loads(next(lines))
            if line["type"] == "trade":
                values.append((line["symbol"].removesuffix(":fix"), Decimal(line["price"])))
        assert values == wanted
    assert server.of_kind("V") == [] and server.of_kind("2") == []
    counts = metrics(hub)
    assert counts("market_hub_feed_bad_lines_total") == 0
    wait_for(lambda: metrics(hub)("market_hub_feed_repeats_total", venue="fix", kind="frame") == 5, "five repeated messages")
