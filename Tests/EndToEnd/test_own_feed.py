"""The hub's own feed grown up: books, protobuf, TLS, a hub as client, and hubs in a chain."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from clients import EVERY, Enhanced, wait_for
from following import Followers
from hub import ROOT, Hub
from watching import get, metrics, resident_bytes

StartHub = Callable[..., Hub]
QUIET = {"sources.synthetic.enabled": False}
LISTENING = {**QUIET, "sources.tcp.enabled": True, "sources.tcp.port": 0}


def feed_message() -> type:
    """FeedMessage of Proto/market_feed.proto, made from protoc's descriptors at run time."""
    with tempfile.NamedTemporaryFile() as made:
        subprocess.run(
            ["protoc", f"--proto_path={ROOT / 'Proto'}", "--include_imports", f"--descriptor_set_out={made.name}", "market_feed.proto"],
            check=True,
        )
        files = descriptor_pb2.FileDescriptorSet.FromString(Path(made.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("markethub.feed.v1.FeedMessage"))


FeedMessage = feed_message()


def framed(message: Any) -> bytes:
    data = message.SerializeToString()
    return struct.pack(">I", len(data)) + data


class Peer:
    """One end of a feed's connection, in either form."""

    def __init__(self, plain: socket.socket) -> None:
        self.socket = plain
        self.sequence = 0
        self._read = b""
        # Complete ones, the next last.
        self._lines: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def lines(self, *lines: dict[str, object]) -> None:
        self.socket.sendall("".join(json.dumps(line) + "\n" for line in lines).encode())

    def events(self, *events: dict[str, object]) -> None:
        """One protobuf message."""
        self.sequence += 1
        self.socket.sendall(framed(FeedMessage(sequence=self.sequence, events=list(events))))

    def next_line(self) -> dict[str, Any]:
        while not self._lines:
            self._more()
            *self._lines, self._read = self._read.split(b"\n")
            self._lines.reverse()
        return json.loads(self._lines.pop())

    def next_message(self) -> Any:
        while len(self._read) < 4 or len(self._read) < 4 + struct.unpack(">I", self._read[:4])[0]:
            self._more()
        length = struct.unpack(">I", self._read[:4])[0]
        data, self._read = self._read[4 : 4 + length], self._read[4 + length :]
        return FeedMessage.FromString(data)

    def _more(self) -> None:
        part = self.socket.recv(65_536)
        assert part, "the connection has ended"
        self._read += part

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            while part := self.socket.recv(65_536):
                self._read += part
        return self._read


def dial(hub: Hub, listener: str = "tcp", trust: ssl.SSLContext | None = None) -> Peer:
    host, port = hub.listeners[listener].rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=15)
    return Peer(trust.wrap_socket(plain, server_hostname=host) if trust else plain)


def declaration(number: int = 1, symbol: str = "BTC-USD", **more: object) -> dict[str, object]:
    return {"declaration": {"id": number, "symbol": symbol, "price_scale": 1, "quantity_scale": 3, **more}}


def book(kind: str, bids: list[tuple[int, int]], asks: list[tuple[int, int]], number: int = 1) -> dict[str, object]:
    def levels(side: list[tuple[int, int]]) -> list[dict[str, int]]:
        return [{"price": price, "quantity": quantity} for price, quantity in side]

    return {"instrument": number, kind: {"bids": levels(bids), "asks": levels(asks)}}


def trade(identity: str, price: int = 500_001, quantity: int = 1_500, number: int = 1) -> dict[str, object]:
    return {"instrument": number, "trade": {"price": price, "quantity": quantity, "aggressor": 1, "id": identity.encode()}}


SNAPSHOT = book("snapshot", [(500_000, 5), (499_990, 7)], [(500_002, 9), (500_010, 4)])


def get_symbols(hub: Hub) -> list[str]:
    return [f"{one['symbol']}@{one['venue']}" for one in json.loads(get(hub.page_url + "api/v1/markets")[2])["instruments"]]


def events(hub: Hub, name: str) -> list[dict[str, Any]]:
    return [event for event in hub.log_events if event["event"] == name]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private authority and a certificate of it for this machine."""
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([ROOT / "Scripts" / "dev-certificate", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


# ---- a hub that listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_tls", [False, True])
def test_books_of_a_publisher_reach_clients_in_both_forms(start_hub: StartHub, certificates: Path, is_tls: bool) -> None:
    tls = {"sources.tcp.certificateFile": certificates / "server.pem", "sources.tcp.keyFile": certificates / "server-key.pem"}
    hub = start_hub({**LISTENING, **(tls if is_tls else {})})
    trust = ssl.create_default_context(cafile=str(certificates / "ca.pem")) if is_tls else None
    with dial(hub, trust=trust) as binary, dial(hub, trust=trust) as text:
        binary.events({"hello": {"version": 1, "name": "test", "heartbeat_ms": 1_000}}, declaration(), SNAPSHOT)
        assert binary.next_message().events[0].hello.version == 1
        text.lines({"type": "snapshot", "symbol": "ETH-USD", "bids": [["10.5", "1"]], "asks": [["11.0", "2"], [12, 3]]})
        wait_for(lambda: get_symbols(hub) == ["BTC-USD@tcp", "ETH-USD@tcp"], "both instruments")
        with Enhanced(hub) as client:
            followers = Followers()
            topics = client.subscribe("book", "*") + client.subscribe("trades", "*", delivery=EVERY)
            followers.add(topics)
            followers.take(client.until(lambda pushes: len(pushes) >= 2))
            binary.events(book("delta", [(500_000, 0)], [(500_001, 1)]), trade("b-1"))
            text.lines(
                {"type": "delta", "symbol": "ETH-USD", "asks": [["11", 0]], "bids": [["10", "1.5"]]},
                {"type": "trade", "symbol": "ETH-USD", "price": "11", "quantity": 1, "id": "t-1"},
            )
            pushes = client.until(lambda pushes: {push.trade.id for push in pushes} >= {b"b-1", b"t-1"} and len(pushes) >= 4)
            followers.take(pushes)
            books = {one.topic.instrument.symbol: one.book for one in followers.of_channel(3)}
            assert books["BTC-USD"].best_bids(9) == [(499_990, 7)]
            assert books["BTC-USD"].best_asks(9) == [(500_001, 1), (500_002, 9), (500_010, 4)]
            assert books["ETH-USD"].best_asks(9) == [(120, 30)]
            assert books["ETH-USD"].best_bids(9) == [(105, 10), (100, 15)]


def test_a_client_certificate_is_wanted_where_that_is_set(start_hub: StartHub, certificates: Path, tmp_path: Path) -> None:
    own = {f"sources.tcp.{key}": certificates / name for key, name in
           (("certificateFile", "server.pem"), ("keyFile", "server-key.pem"), ("clientCaFile", "ca.pem"))}  # fmt: skip
    hub = start_hub({**LISTENING, **own})
    key, request, made = (tmp_path / name for name in ("client-key.pem", "client.csr", "client.pem"))
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=publisher", "-keyout", key, "-out", request], check=True, capture_output=True)  # fmt: skip
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", certificates / "ca.pem", "-CAkey", certificates / "ca-key.pem",
                    "-days", "2", "-out", made], check=True, capture_output=True)  # fmt: skip
    trust = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    with contextlib.suppress(ssl.SSLError, ConnectionResetError, BrokenPipeError), dial(hub, trust=trust) as stranger:
        stranger.events(declaration(symbol="STRANGE"))
        stranger.rest()
    trust.load_cert_chain(made, key)
    with dial(hub, trust=trust) as known:
        known.events(declaration())
        wait_for(lambda: get_symbols(hub) == ["BTC-USD@tcp"], "the instrument of the one with a certificate")


def test_errors_are_answered_by_number_and_cost_their_sender_alone(start_hub: StartHub) -> None:
    hub = start_hub(LISTENING)
    with dial(hub) as text, dial(hub) as binary:
        text.lines({"type": "delta", "symbol": "A", "bids": [[1, 1]]})
        answer = text.next_line()
        assert (answer["type"], answer["code"], answer["reason"], answer["line"]) == ("error", 216, "no_snapshot", 1)
        binary.events(declaration(), trade("unknown", number=7), trade("known"))
        problem = binary.next_message().events[0].problem
        assert (problem.code, problem.reason, problem.message) == (215, "unknown_instrument", 1)
        binary.sequence += 3
        binary.events(trade("after a gap"))
        assert binary.next_message().events[0].problem.code == 218
        wait_for(lambda: get_symbols(hub) == ["BTC-USD@tcp"], "the good events count")
    # The log has a thread of its own.
    wait_for(lambda: [event["code"] for event in events(hub, "tcp-feed-bad-line")] == [216, 215], "both are logged")


@pytest.mark.parametrize(
    ("first", "code"), [(b"\x7f\xff\xff\xff", 213), (b"\x00\xff\xff\xff", 201), (b"\xff\xd8\xff\xe0", 213)]
)  # fmt: skip
def test_a_length_of_two_gigabytes_or_garbage_ends_the_connection_at_once(start_hub: StartHub, first: bytes, code: int) -> None:
    hub = start_hub(LISTENING)
    with dial(hub) as peer:
        peer.socket.sendall(first)
        rest = peer.rest()
        number = json.loads(rest)["code"] if rest[:1] == b"{" else FeedMessage.FromString(rest[4:]).events[0].problem.code
        assert number == code
    wait_for(lambda: events(hub, "tcp-feed-cut"), "the log says so")


def test_a_hundred_megabytes_without_a_newline_are_cut_off_and_cost_no_memory(start_hub: StartHub) -> None:
    hub = start_hub(LISTENING)
    before = resident_bytes(hub)
    with dial(hub) as peer, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        sent = 0
        for _ in range(1_600):
            peer.socket.sendall(b"x" * 65_536)
            sent += 65_536
        pytest.fail("all of it was taken")
    # What lies in the kernel's buffers on both sides is beyond the hub's own four megabytes.
    assert sent < 30_000_000
    wait_for(lambda: events(hub, "tcp-feed-cut"), "the log says so")
    assert events(hub, "tcp-feed-bad-line")[0]["code"] == 201
    assert resident_bytes(hub) - before < 16 << 20


def test_ten_thousand_new_instruments_are_cut_off_at_the_bound(start_hub: StartHub) -> None:
    hub = start_hub({**LISTENING, "sources.tcp.instrumentsMost": 500})
    with dial(hub) as good, dial(hub) as bad:
        good.events(declaration())
        wait_for(lambda: get_symbols(hub), "the first")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for start in range(0, 10_000, 100):
                bad.events(*[declaration(number, f"X{number}") for number in range(start, start + 100)])
        bad.rest()
        wait_for(lambda: events(hub, "tcp-feed-cut"), "the log says so")
        assert len(get_symbols(hub)) == 500
        assert {event["code"] for event in events(hub, "tcp-feed-bad-line")} == {211}
        good.events(SNAPSHOT)
        with Enhanced(hub) as client:
            client.subscribe("book", "BTC-USD")
            client.until(lambda pushes: any(push.HasField("book_snapshot") for push in pushes))


@pytest.mark.parametrize("half", [b'{"type":"trade",', b"\x00\x00\x00\x20abc", b""])
def test_half_a_message_and_then_silence_is_ended(start_hub: StartHub, half: bytes) -> None:
    hub = start_hub({**LISTENING, "sources.tcp.silenceMs": 1_000})
    with dial(hub) as peer, dial(hub) as alive:
        if half:
            peer.socket.sendall(half)
        began = time.monotonic()
        is_over = threading.Event()

        def beat() -> None:
            while not is_over.wait(0.3):
                alive.socket.sendall(b"\n")

        beater = threading.Thread(target=beat)
        beater.start()
        rest = peer.rest()
        assert 0.5 < time.monotonic() - began < 5
        assert not half or b"silence" in rest
        time.sleep(1.2)
        is_over.set()
        beater.join()
        alive.lines({"type": "trade", "symbol": "A", "price": 1, "quantity": 1})
        wait_for(lambda: get_symbols(hub) == ["A@tcp"], "who sends blank lines is heard")
    wait_for(lambda: len(events(hub, "tcp-feed-silent")) == 1, "the log says so")


def test_who_sends_more_messages_than_he_may_waits_and_loses_nothing(start_hub: StartHub) -> None:
    hub = start_hub({**LISTENING, "sources.tcp.messagesPerSecondMost": 1_000})
    with dial(hub) as peer:
        began = time.monotonic()
        peer.lines(*[{"type": "trade", "symbol": "A", "price": 1, "quantity": 1, "id": str(n)} for n in range(3_500)])
        wait_for(lambda: metrics(hub)("market_hub_feed_events_total", venue="tcp", kind="trade") == 3_500, "all of them")
        # A thousand at once, the last ones as they were read together, and the others at the rate.
        assert time.monotonic() - began > 1.2


# ---- a hub that connects ------------------------------------------------------------------------------------------------


class Publisher:
    """A feed server of a customer: accepts one hub after the other and greets it."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(15)
        self.trust = trust

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    @property
    def url(self) -> str:
        return f"{'tls' if self.trust else 'tcp'}://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> Peer:
        plain, _ = self.listener.accept()
        plain.settimeout(15)
        return Peer(self.trust.wrap_socket(plain, server_side=True) if self.trust else plain)


def connecting(tmp_path: Path, *urls: str, **more: object) -> tuple[str, str]:
    """Arguments for a hub that connects to a feed."""
    path = tmp_path / "hub.json5"
    path.write_text(json.dumps({"sources": {"synthetic": {"enabled": False}, "feeds": [{"urls": urls, **more}]}}))
    return "--config", str(path)


def test_a_lost_feed_is_said_to_be_lost_and_comes_back_with_a_fresh_book(start_hub: StartHub, tmp_path: Path) -> None:
    with Publisher() as publisher:
        hub = start_hub({}, *connecting(tmp_path, publisher.url, silenceMs=2_000, heartbeatMs=500))
        with publisher.accept() as first:
            hello = first.next_message().events[0].hello
            assert hello.version == 1 and hello.name.startswith("market-hub ") and hello.heartbeat_ms == 500
            first.events(declaration(venue="kraken", raw_symbol="XBT/USD"), SNAPSHOT)
            wait_for(lambda: get_symbols(hub) == ["BTC-USD@kraken"], "the instrument under its own venue")
            client = Enhanced(hub)
            client.subscribe("status", "BTC-USD")
            client.subscribe("book", "BTC-USD")
            client.until(lambda pushes: any(push.HasField("book_snapshot") for push in pushes))
            assert first.next_message().events[0].HasField("heartbeat"), "heartbeats go both ways"
        lost = client.until(lambda pushes: any(push.status.state == 1 for push in pushes))[-1]
        assert (lost.status.state, lost.status.reason) == (1, 6)
        with client, publisher.accept() as second:
            second.next_message()
            # Before its snapshot the book is not served: a new client hears of none.
            second.events(declaration(venue="kraken", raw_symbol="XBT/USD"))
            second.events(book("delta", [(1, 1)], []))
            assert second.next_message().events[0].problem.code == 216
            second.events(book("snapshot", [(400_000, 1)], [(400_002, 2)]))
            pushes = client.until(lambda pushes: any(push.HasField("book_snapshot") for push in pushes))
            (fresh,) = [push.book_snapshot for push in pushes if push.HasField("book_snapshot")]
            assert [(level.price, level.quantity) for level in fresh.bids] == [(400_000, 1)]
            # Silence: nothing more is said, and the hub comes back by itself.
            began = time.monotonic()
            with publisher.accept() as third:
                assert 1 < time.monotonic() - began < 10
                third.next_message()
            pushes = client.until(lambda pushes: any(push.status.state == 1 for push in pushes))
            assert [push.status.reason for push in pushes if push.status.state == 1] == [5]
        # It counts under its own name, because its instruments are of several venues.
        counts = metrics(hub)
        assert counts("market_hub_feed_reconnects_total", venue=f"feed {publisher.url}") >= 2
        assert counts("market_hub_feed_bad_lines_total", venue="tcp") == 0


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_the_next_address_is_tried_when_one_is_lost(start_hub: StartHub, tmp_path: Path, certificates: Path, form: str) -> None:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
    with Publisher(trust) as one, Publisher(trust) as two:
        start_hub({}, *connecting(tmp_path, one.url, two.url, format=form, caFile=str(certificates / "ca.pem")))
        with one.accept() as peer:
            hello = peer.next_line() if form == "json" else peer.next_message()
            assert hello["version"] == 1 if form == "json" else hello.events[0].hello.version == 1
        with two.accept() as peer:
            assert peer.next_line() if form == "json" else peer.next_message()


def test_a_stranger_s_certificate_is_not_trusted(start_hub: StartHub, tmp_path: Path, certificates: Path) -> None:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
    with Publisher(trust) as publisher:
        hub = start_hub({}, *connecting(tmp_path, publisher.url))
        with pytest.raises(ssl.SSLError):
            publisher.accept()
        lost = wait_for(lambda: events(hub, "feed-connection-lost"), "the log says why")
        assert "certificate" in lost[0]["reason"]


# ---- hubs in a chain ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["json", "protobuf"])
def chain(start_hub: StartHub, tmp_path: Path, certificates: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Hub, Hub]]:
    """A hub with a seeded market, and one that reads it over TLS."""
    settings = {"feedOut.enabled": True, "feedOut.port": 0, "feedOut.certificateFile": certificates / "server.pem",
                "feedOut.keyFile": certificates / "server-key.pem", "sources.synthetic.eventsPerSecond": 2_000}  # fmt: skip
    first = start_hub(settings)
    url = f"tls://{first.listeners['feedOut']}"
    second = start_hub({}, *connecting(tmp_path, url, format=request.param, caFile=str(certificates / "ca.pem")))
    wait_for(lambda: len(get_symbols(second)) == 10, "all instruments of the first")
    yield first, second


def test_a_client_of_the_second_hub_hears_what_a_client_of_the_first_hears(chain: tuple[Hub, Hub]) -> None:
    first, second = chain
    assert sorted(get_symbols(first)) == sorted(get_symbols(second))
    heard = []
    for hub in chain:
        client = Enhanced(hub)
        followers = Followers()
        followers.add(client.subscribe("book", "*", delivery=EVERY) + client.subscribe("trades", "*", delivery=EVERY))
        heard.append((client, followers))
    trades: list[dict[bytes, tuple[object, ...]]] = []
    # The checksum of each book as it is after each of its changes, by instrument and the change's time.
    books: list[dict[tuple[str, int], int]] = []
    deadline = time.monotonic() + 4
    with ThreadPoolExecutor() as pool:
        all_pushes = list(pool.map(lambda one: one[0].until(lambda _: time.monotonic() > deadline), heard))
    for (client, followers), pushes in zip(heard, all_pushes, strict=True):
        client.close()
        names = {topic.id: topic.instrument.symbol for topic in client.topics.values()}
        followed = {one.topic.id: one for one in followers.of_channel(3)}
        trades.append({})
        books.append({})
        for push in pushes:
            followers.take([push])
            if push.HasField("trade"):
                told = (push.trade.price, push.trade.quantity, push.trade.aggressor, push.event_ns)
                trades[-1][names[push.topic].encode() + push.trade.id] = told
            elif push.HasField("book_delta"):
                books[-1][names[push.topic], push.event_ns] = followed[push.topic].book.crc32
    for mine, others in (trades, books):
        both = mine.keys() & others.keys()
        assert len(both) > 200 and len(both) > 0.8 * min(len(mine), len(others))
        assert [name for name in both if mine[name] != others[name]] == []
    assert metrics(second)("market_hub_feed_bad_lines_total") == 0
    assert not events(second, "feed-gap")


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_a_reader_that_stops_reading_is_told_and_closed_and_others_go_on(start_hub: StartHub, form: str) -> None:
    hub = start_hub({"feedOut.enabled": True, "feedOut.port": 0, "feedOut.queueBytesMost": 65_536,
                     "sources.synthetic.eventsPerSecond": 20_000})  # fmt: skip
    with dial(hub, "feedOut") as slow, dial(hub, "feedOut") as quick:
        quick.lines({"type": "hello", "version": 1, "name": "reader"})
        if form == "json":
            slow.lines({"type": "hello", "version": 1, "name": "reader"})
        else:
            slow.events({"hello": {"version": 1, "name": "reader"}})
        assert quick.next_line()["type"] == "hello"
        kinds, numbers = set(), []
        deadline = time.monotonic() + 60
        count = 0
        while count % 1_000 or not events(hub, "feed-reader-too-slow"):
            assert time.monotonic() < deadline, "the slow one is never closed"
            count += 1
            line = quick.next_line()
            kinds.add(line["type"])
            if "seq" in line:
                numbers.append(line["seq"])
        assert kinds >= {"instrument", "status", "snapshot", "delta", "trade"}
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        # All that it was sent is whole, and the last of it says why there is no more.
        heard = slow.rest()
        if form == "json":
            *lines, last = [json.loads(line) for line in heard.splitlines()]
            told = [line["seq"] for line in lines if "seq" in line]
            assert heard.endswith(b"\n") and (last["type"], last["code"], last["reason"]) == ("error", 222, "too_slow")
        else:
            messages = []
            while heard:
                (length,) = struct.unpack(">I", heard[:4])
                messages.append(FeedMessage.FromString(heard[4 : 4 + length]))
                heard = heard[4 + length :]
            told = [message.sequence for message in messages if message.sequence]
            assert messages[-1].events[0].problem.code == 222
        assert told == list(range(told[0], told[0] + len(told)))


def test_a_reader_that_never_reads_again_is_closed_without_a_word(start_hub: StartHub) -> None:
    hub = start_hub({"feedOut.enabled": True, "feedOut.port": 0, "feedOut.queueBytesMost": 65_536,
                     "sources.synthetic.eventsPerSecond": 20_000})  # fmt: skip
    with dial(hub, "feedOut") as slow:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.lines({"type": "hello", "version": 1, "name": "reader"})
        wait_for(lambda: events(hub, "feed-reader-too-slow"), "the end of patience", 60)
        wait_for(lambda: events(hub, "feed-reader-closed"), "the end")


def test_a_reader_without_hello_is_told_nothing_and_data_of_readers_are_refused(start_hub: StartHub) -> None:
    hub = start_hub({"feedOut.enabled": True, "feedOut.port": 0, "feedOut.silenceMs": 1_000})
    with dial(hub, "feedOut") as mute, dial(hub, "feedOut") as wrong:
        wrong.lines({"type": "trade", "symbol": "A", "price": 1, "quantity": 1})
        assert wrong.next_line()["code"] == 211
        assert mute.rest() == b""
    assert len(get_symbols(hub)) == 10
