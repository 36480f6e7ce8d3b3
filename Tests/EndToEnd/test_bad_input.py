"""What clients can do wrong costs them alone: a numbered error or a close code, a counter, and nobody else notices."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clients import CHANNELS, ClientFrame, Enhanced, Legacy, wait_for
from following import Followers
from hub import Hub
from raw import BINARY, PING, PONG, TEXT, RawSocket
from watching import get, metrics


class Bystander:
    """A good client that goes on reading in its own thread and checks everything it hears."""

    def __init__(self, hub: Hub) -> None:
        self.client = Enhanced(hub)
        self.followers = Followers()
        for channel in ("trades", "ticker", "book"):
            self.followers.add(self.client.subscribe(channel, "*"))
        self.push_count = 0
        self.longest_silence = 0.0
        self.failure: BaseException | None = None
        self.is_done = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        heard = time.monotonic()
        try:
            while not self.is_done.is_set():
                pushes = self.client.take(seconds=10)
                now = time.monotonic()
                self.longest_silence = max(self.longest_silence, now - heard)
                heard = now
                self.followers.take(pushes)
                self.push_count += len(pushes)
        except BaseException as failure:
            self.failure = failure

    def expect_to_tick_on(self) -> None:
        before = self.push_count
        wait_for(lambda: self.failure or self.push_count > before + 50, "the good client's ticks")
        assert self.failure is None, self.failure

    def finish(self) -> None:
        self.expect_to_tick_on()
        self.is_done.set()
        self.thread.join()
        self.client.close()
        assert self.failure is None, self.failure
        # At 500 events a second there is always something; the bound leaves room for a busy machine.
        assert self.longest_silence < 5, f"the good client heard nothing for {self.longest_silence:.1f} s"


@pytest.fixture
def bystander(hub: Hub) -> Iterator[Bystander]:
    one = Bystander(hub)
    one.expect_to_tick_on()
    yield one
    one.finish()


def rises(hub: Hub, name: str, **labels: str) -> Callable[[], None]:
    """Call before; what it returns waits until the counter is greater than it was."""
    before = metrics(hub)(name, **labels)

    def wait() -> None:
        wait_for(lambda: metrics(hub)(name, **labels) > before, f"{name}{labels} rises")

    return wait


# ---- frames that cannot be understood -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "",
        '{"type":"subscribe"',
        '{"type":"subscribe","symbol":"\\ud800"}',
        '{"type":"ping"} {}',
        "[" * 5000,
        "nonsense",
        "17",
        "[]",
        '{"type":"ping","type":"ping"}',
        '{"id":' + "9" * 60_000 + "}",
    ],
    ids=lambda text: text[:24] or "nothing",
)
def test_malformed_json_is_a_numbered_error_and_the_connection_lives(
    hub: Hub, bystander: Bystander, text: str
) -> None:
    counted = rises(hub, "market_hub_bad_frames_total", channel="legacy")
    failed = rises(hub, "market_hub_requests_failed_total", channel="legacy")
    with Legacy(hub) as client:
        error = client.ask(text, "error")
        assert error["code"] in (100, 101), error
        assert error["message"] and error["requestId"]
        client.pong(1)
    counted()
    failed()


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a\x05\x08\x01",
        b"\xff" * 100,
        ClientFrame(commands=[{"id": 1, "ping": {}}]).SerializeToString()[:-1],
        b"\x0b" * 1000,
    ],
    ids=lambda data: data[:6].hex(),
)
def test_truncated_protobuf_is_a_numbered_error_and_the_connection_lives(
    hub: Hub, bystander: Bystander, data: bytes
) -> None:
    counted = rises(hub, "market_hub_bad_frames_total", channel="enhanced", reason="malformed")
    with Enhanced(hub) as client:
        client.socket.send(data)
        error = client.reply(0).error
        assert (error.code, error.reason) == (100, "malformed"), error
        assert error.message and error.request_id
        assert client.ask(ping={"client_ns": 1}).pong.client_ns == 1
    counted()


def test_a_symbol_that_is_no_utf8_is_error_106(hub: Hub, bystander: Bystander) -> None:
    with Enhanced(hub) as client:
        client.socket.send(b"\x0a\x0a\x08\x07\x2a\x06\x08\x01\x12\x02\xff\xfe")
        error = client.reply(7).error
        assert (error.code, error.fields[0].field) == (106, "subscribe.symbols")
        assert client.ask(ping={"client_ns": 1}).pong.client_ns == 1


def test_a_text_frame_on_the_binary_channel_is_error_108(hub: Hub, bystander: Bystander) -> None:
    counted = rises(hub, "market_hub_bad_frames_total", channel="enhanced", reason="wrong_frame_kind")
    with Enhanced(hub) as client:
        client.socket.send('{"type":"ping"}')
        assert client.reply(0).error.code == 108
        assert client.ask(ping={"client_ns": 1}).pong.client_ns == 1
    counted()


def test_a_binary_frame_on_the_text_channel_is_error_108(hub: Hub, bystander: Bystander) -> None:
    counted = rises(hub, "market_hub_bad_frames_total", channel="legacy", reason="wrong_frame_kind")
    with Legacy(hub) as client:
        client.socket.send(b'{"type":"ping"}')
        assert client.until_type("error")["code"] == 108
        client.pong(1)
    counted()


@pytest.mark.parametrize("channel", ["legacy", "enhanced"])
def test_ten_bad_frames_within_a_minute_close_with_1008(hub: Hub, bystander: Bystander, channel: str) -> None:
    counted = rises(hub, "market_hub_connections_closed_total", channel=channel, code="1008")
    with Legacy(hub) if channel == "legacy" else Enhanced(hub) as client:
        for number in range(9):
            client.socket.send("{" if channel == "legacy" else b"\xff")
            # One at a time: each has its answer.
            if isinstance(client, Legacy):
                assert client.until_type("error")["code"] == 100, number
            else:
                assert client.reply(0).error.code == 100, number
        if isinstance(client, Legacy):
            client.pong(1)
        else:
            assert client.ask(ping={}).HasField("pong")
        client.socket.send("{" if channel == "legacy" else b"\xff")
        assert client.close_code() == 1008
    counted()


# ---- requests beyond what may be asked ----------------------------------------------------------------------------------


def test_ten_thousand_symbols_in_one_legacy_request_are_refused(
    start_hub: Callable[..., Hub],
) -> None:
    hub = start_hub({"transport.messageBytesMost": 1 << 20})
    counted = rises(hub, "market_hub_requests_failed_total", channel="legacy", reason="too_many_symbols")
    with Legacy(hub) as client:
        names = [f"S{number}-USD" for number in range(10_000)]
        error = client.ask({"type": "subscribe", "symbols": names}, "error")
        assert (error["code"], error["reason"]) == (104, "too_many_symbols")
        assert "1000 symbols" in error["message"]
        assert "request" not in error, "so much is not given back"
        client.pong(1)
    counted()


def test_ten_thousand_symbols_in_one_enhanced_request_are_refused(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub({"transport.messageBytesMost": 1 << 20})
    with Enhanced(hub) as client:
        names = [f"S{number}-USD" for number in range(10_000)]
        error = client.ask(subscribe={"channel": 1, "symbols": names}).error
        assert (error.code, error.reason) == (104, "too_many_symbols")
        assert client.ask(ping={"client_ns": 1}).pong.client_ns == 1


def test_a_thousand_unknown_symbols_are_answered_one_by_one(hub: Hub, bystander: Bystander) -> None:
    with Enhanced(hub) as client:
        names = [f"S{number}-USD" for number in range(1_000)]
        results = client.ask(subscribe={"channel": 1, "symbols": names}).subscribe.results
        assert [result.symbol for result in results] == names
        assert {result.error.code for result in results} == {102}
        assert all(result.error.request_id for result in results)


@pytest.mark.settings({"hub.requestsPerSecondMost": 5, "hub.requestsBurstMost": 10})
def test_requests_above_the_rate_are_error_107_and_who_goes_on_is_closed_with_3013(hub: Hub) -> None:
    with Legacy(hub) as client:
        for number in range(15):
            client.send({"type": "ping", "id": number})
        error = client.until_type("error")
        assert (error["code"], error["reason"]) == (107, "rate_limited")
        assert 0 < error["retryAfterMs"] <= 1000
        time.sleep(error["retryAfterMs"] / 1000)  # Not for luck: the hub promised it.
        client.send({"type": "ping", "id": "later"})
        client.until(lambda frame: frame == {"type": "pong", "id": "later"})
    counted = rises(hub, "market_hub_connections_closed_total", channel="enhanced", code="3013")
    with Enhanced(hub) as client:
        client.send(*[{"ping": {}} for _ in range(60)])
        replies: list[Any] = []
        while not any(reply.HasField("error") for reply in replies):
            replies += client.frame().replies
        error = replies[-1].error
        assert error.code == 107 and error.temporary and 0 < error.retry_after_ms <= 1000
        assert client.close_code() == 3013
    counted()


@pytest.mark.settings({"hub.subscriptionsMost": 5})
def test_one_subscription_too_many_is_error_105(hub: Hub) -> None:
    with Enhanced(hub) as client:
        results = client.ask(subscribe={"channel": CHANNELS["ticker"], "symbols": ["*"]}).subscribe.results
        assert [result.WhichOneof("outcome") for result in results].count("topic") == 5
        assert {result.error.code for result in results if result.HasField("error")} == {105}
        wait_for(lambda: metrics(hub)("market_hub_subscriptions", channel="enhanced") == 5, "the gauge shows five")
    wait_for(lambda: metrics(hub)("market_hub_subscriptions", channel="enhanced") == 0, "the gauge is back at none")


# ---- frames against the rules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ws", "/ws/v2"])
def test_an_oversized_message_closes_with_1009(hub: Hub, bystander: Bystander, path: str) -> None:
    counted = rises(hub, "market_hub_connections_closed_total", code="1009")
    with RawSocket(hub) as peer:
        assert peer.upgrade(path)[0] == 101
        peer.frame(TEXT if path == "/ws" else BINARY, b" " * 65_537)
        assert peer.close_code() == 1009
    counted()


def test_an_oversized_message_is_refused_before_it_is_sent(hub: Hub, bystander: Bystander) -> None:
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws")[0] == 101
        # Claims a gigabyte and sends a little of it.
        peer.frame(TEXT, b" " * 1000, length=1 << 30)
        assert peer.close_code() == 1009


def test_an_oversized_message_in_parts_closes_with_1009(hub: Hub, bystander: Bystander) -> None:
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws")[0] == 101
        peer.frame(TEXT, b" " * 40_000, final=False)
        peer.frame(0, b" " * 40_000)
        assert peer.close_code() == 1009


def test_the_longest_message_passes(hub: Hub) -> None:
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws")[0] == 101
        peer.frame(TEXT, b'{"type":"ping"}'.ljust(65_536))
        assert peer.next_frame() == (TEXT, b'{"type":"pong"}')


@pytest.mark.parametrize(
    "data",
    [b'{"type":"ping","id":"\xff"}', b'{"id":"\xc0\xaf"}', b'{"id":"\xed\xa0\x80"}', b'{"id":"\xf5\x80\x80\x80"}', b'{"id":"\xe2\x82'],
    ids=["no byte of it", "overlong", "surrogate", "too high", "cut off"],
)
def test_text_that_is_no_utf8_closes_with_1007(hub: Hub, bystander: Bystander, data: bytes) -> None:
    counted = rises(hub, "market_hub_connections_closed_total", channel="legacy")
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws")[0] == 101
        peer.frame(TEXT, data)
        assert peer.close_code() == 1007
    counted()


@pytest.mark.parametrize("path", ["/ws", "/ws/v2"])
def test_an_unmasked_frame_closes_with_1002(hub: Hub, bystander: Bystander, path: str) -> None:
    counted = rises(hub, "market_hub_connections_closed_total", code="1002")
    with RawSocket(hub) as peer:
        assert peer.upgrade(path)[0] == 101
        peer.frame(TEXT, b'{"type":"ping"}', masked=False)
        assert peer.close_code() == 1002
    counted()


@pytest.mark.parametrize("opcode", [3, 7, 11, 15])
def test_a_reserved_kind_of_frame_ends_the_connection(hub: Hub, bystander: Bystander, opcode: int) -> None:
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws")[0] == 101
        peer.frame(opcode, b"{}")
        assert peer.close_code() == 1002


def test_a_ping_is_answered_with_its_payload(hub: Hub) -> None:
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws")[0] == 101
        peer.frame(PING, b"here")
        assert peer.next_frame() == (PONG, b"here")


def test_a_message_may_come_in_parts_with_a_ping_in_between(hub: Hub) -> None:
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws")[0] == 101
        peer.frame(TEXT, b'{"type":', final=False)
        peer.frame(PING, b"")
        peer.frame(0, b'"ping"', final=False)
        peer.frame(0, b"}")
        frames = [peer.next_frame(), peer.next_frame()]
        assert sorted(frames) == [(TEXT, b'{"type":"pong"}'), (PONG, b"")]


def test_a_half_open_socket_is_noticed(start_hub: Callable[..., Hub]) -> None:
    """The peer is gone without a word: nothing is heard any more, not even a pong."""
    hub = start_hub({"hub.pingMs": 300, "hub.silenceMs": 1200})
    with RawSocket(hub) as dead, Legacy(hub) as living:
        assert dead.upgrade("/ws")[0] == 101
        begun = time.monotonic()
        # This one reads nothing either, but its library answers pings.
        wait_for(lambda: metrics(hub)("market_hub_connections_closed_total", code="3012") == 1, "the dead one is closed")
        assert time.monotonic() - begun > 1
        assert dead.close_code() == 3012
        living.pong(1)
        assert metrics(hub)("market_hub_connections_open", channel="legacy") == 1


# ---- requests for a WebSocket, and what precedes them -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        ("/nowhere", {}, 404, "not_found"),
        ("/ws/v3", {}, 404, "not_found"),
        ("/ws/v2", {"Sec_WebSocket_Protocol": None}, 400, "unknown_subprotocol"),
        ("/ws/v2", {"Sec_WebSocket_Protocol": "graphql-ws"}, 400, "unknown_subprotocol"),
        ("/ws/v2", {"Sec_WebSocket_Protocol": "market-hub.v1.json"}, 400, "unknown_subprotocol"),
        ("/ws", {"Sec_WebSocket_Protocol": "market-hub.v2.protobuf"}, 400, "unknown_subprotocol"),
        ("/ws", {"Origin": "https://evil.example"}, 403, "foreign_origin"),
        ("/ws/v2", {"Origin": "null"}, 403, "foreign_origin"),
        ("/ws", {"Host": "evil.example"}, 403, "foreign_host"),
        ("/ws/v2", {"Host": "evil.example:80", "Origin": "http://evil.example:80"}, 403, "foreign_host"),
    ],
    ids=lambda value: str(value),
)
def test_a_foreign_upgrade_is_refused_with_a_status(
    hub: Hub, bystander: Bystander, path: str, headers: dict[str, str | None], status: int, reason: str
) -> None:
    counted = rises(hub, "market_hub_connections_refused_total", channel="upgrade", reason=str(status))
    with RawSocket(hub) as peer:
        got, text, body = peer.upgrade(path, **headers)
        assert got == status, text
        assert "application/problem+json" in text
        problem = json.loads(body)
        assert (problem["status"], problem["reason"]) == (status, reason)
        assert problem["detail"] and problem["requestId"]
        assert peer.is_hung_up()
    counted()


def test_our_own_origin_is_welcome(hub: Hub) -> None:
    for origin in (f"http://{hub.listeners['web']}", f"https://{hub.listeners['web']}"):
        with RawSocket(hub) as peer:
            assert peer.upgrade("/ws", Origin=origin)[0] == 101
    port = hub.listeners["web"].rsplit(":", 1)[1]
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws", Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0] == 101


@pytest.mark.settings({"listen.origins": "https://friend.example", "listen.hosts": "hub.example"})
def test_configured_origins_and_hosts_are_welcome(hub: Hub) -> None:
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws", Host="hub.example", Origin="https://friend.example")[0] == 101
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws", Origin="https://stranger.example")[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Version": None},
        {"Connection": "close"},
        {"Host": None},
        {"Content_Length": "5"},
        {"Transfer_Encoding": "chunked"},
    ],
    ids=str,
)
def test_a_malformed_upgrade_is_refused_with_a_status(
    hub: Hub, bystander: Bystander, headers: dict[str, str | None]
) -> None:
    counted = rises(hub, "market_hub_connections_refused_total", channel="http", reason="bad_request")
    with RawSocket(hub) as peer:
        status = peer.upgrade("/ws", **headers)[0]
        assert 400 <= status < 500
        assert peer.is_hung_up()
    counted()


def test_an_oversized_header_ends_the_connection(hub: Hub, bystander: Bystander) -> None:
    counted = rises(hub, "market_hub_connections_refused_total", channel="http")
    with RawSocket(hub) as peer:
        peer.send(f"GET / HTTP/1.1\r\nHost: {peer.host}\r\n".encode())
        try:
            for number in range(100):
                peer.send(f"X-Header-{number}: {'x' * 1000}\r\n".encode())
            peer.send(b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert peer.is_hung_up()
    counted()


@pytest.mark.settings({"transport.headerTimeoutSeconds": 1})
def test_a_slow_loris_is_cut_off(hub: Hub, bystander: Bystander) -> None:
    counted = rises(hub, "market_hub_connections_refused_total", channel="http", reason="slow_header")
    with RawSocket(hub) as silent, RawSocket(hub) as dripping:
        begun = time.monotonic()
        dripping.send(b"GET /ws HTTP/1.1\r\n")
        dripping.socket.settimeout(0.1)
        is_over = False
        while not is_over:
            assert time.monotonic() - begun < 10, "a header byte now and then kept the connection alive"
            try:
                dripping.send(b"X")
                is_over = not dripping.socket.recv(4096)
            except TimeoutError:
                pass
            except OSError:
                is_over = True
        assert silent.is_hung_up()
    counted()


def test_many_silent_connections_hinder_nobody(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub({"transport.headerTimeoutSeconds": 2})
    one = Bystander(hub)
    one.expect_to_tick_on()
    peers = [RawSocket(hub) for _ in range(300)]
    try:
        for peer in peers:
            peer.send(b"GET /ws HT")
        with Legacy(hub) as client:
            client.pong(1)
        assert all(peer.is_hung_up() for peer in peers)
    finally:
        for peer in peers:
            peer.socket.close()
    one.finish()


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), b"\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", bytes(2000), b"G"],
    ids=["TLS", "empty lines", "SSH", "zeros", "one letter"],
)
@pytest.mark.settings({"transport.headerTimeoutSeconds": 1})
def test_another_protocol_ends_the_connection(hub: Hub, bystander: Bystander, data: bytes) -> None:
    counted = rises(hub, "market_hub_connections_refused_total", channel="http")
    with RawSocket(hub) as peer:
        peer.send(data)
        assert peer.is_hung_up()
    counted()


def test_a_port_scan_leaves_nothing_behind(hub: Hub, bystander: Bystander) -> None:
    for _ in range(100):
        RawSocket(hub).socket.close()
    before = metrics(hub)("process_open_fds")
    for _ in range(100):
        RawSocket(hub).socket.close()
    wait_for(lambda: metrics(hub)("process_open_fds") <= before, "the descriptors are free again")


@pytest.mark.parametrize("path", ["/nowhere", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/" + "x" * 3000])
def test_an_unknown_path_is_404(hub: Hub, path: str) -> None:
    with RawSocket(hub) as peer:
        assert peer.ask(path)[0] in (400, 404)


def test_the_paths_of_websockets_say_so_to_others(hub: Hub) -> None:
    for path in ("/ws", "/ws/v2"):
        status, _, body = get(hub.page_url + path[1:])
        assert status == 426 and json.loads(body)["reason"] == "upgrade_required"
