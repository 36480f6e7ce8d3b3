"""Clients that stop reading: they alone pay for it, and what they are told afterwards is right."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import re
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from clients import CHANNELS, CONFLATE, EVERY, LATEST, ClientFrame, Enhanced, Legacy, ServerFrame, wait_for
from following import Followers
from hub import Hub
from raw import BINARY, CLOSE, PING, PONG, TEXT, RawSocket
from watching import metrics, resident_bytes

FAST = {"sources.synthetic.eventsPerSecond": 20_000}
MEGABYTE = 1 << 20


class Sleeper:
    """A client of the enhanced channel that reads only when told to, through a small window."""

    def __init__(self, hub: Hub, *subscriptions: dict[str, Any]) -> None:
        self.peer = RawSocket(hub, receive_bytes=16_384)
        assert self.peer.upgrade("/ws/v2")[0] == 101
        frame = ClientFrame()
        for number, subscription in enumerate(subscriptions):
            frame.commands.add(id=number + 1, subscribe={"symbols": ["*"], **subscription})
        self.peer.frame(BINARY, frame.SerializeToString())
        self.followers = Followers()
        self.code: int | None = None

    def read_on(self) -> bool:
        """Takes one frame and checks it; false when the hub closed."""
        try:
            kind, payload = self.peer.next_frame()
        except (EOFError, ConnectionResetError):
            self.code = 1006
            return False
        if kind == CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            return False
        if kind == PING:
            # Of one that has been cut off there is still to read.
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                self.peer.frame(PONG, payload)
        elif kind == BINARY:
            frame = ServerFrame.FromString(payload)
            for reply in frame.replies:
                self.followers.add([result.topic for result in reply.subscribe.results])
            self.followers.take(frame.pushes)
        return True


ALL_EVERY = [{"channel": number, "delivery": EVERY} for number in CHANNELS.values()]
ALL_CONFLATED = [
    {"channel": number, "delivery": EVERY if name == "status" else CONFLATE} for name, number in CHANNELS.items()
]


class Reader:
    """A client that keeps reading in a thread of its own, and notes its longest silence."""

    def __init__(self, hub: Hub) -> None:
        self.client = Enhanced(hub)
        self.followers = Followers()
        self.followers.add(self.client.subscribe("ticker", "*", delivery=LATEST, interval_ms=50))
        self.followers.add(self.client.subscribe("trades", "*"))
        self.longest_silence = 0.0
        self.failure: BaseException | None = None
        self.is_done = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        heard = time.monotonic()
        try:
            while not self.is_done.is_set():
                pushes = self.client.take(10)
                now = time.monotonic()
                self.longest_silence = max(self.longest_silence, now - heard)
                heard = now
                self.followers.take(pushes)
        except BaseException as failure:
            self.failure = failure

    def finish(self) -> None:
        self.is_done.set()
        self.thread.join()
        self.client.close()
        assert self.failure is None, self.failure
        assert self.longest_silence < 2, f"the reading client heard nothing for {self.longest_silence:.1f} s"


@pytest.mark.settings(FAST)
def test_who_stops_reading_under_every_is_closed_with_3008_and_costs_nobody_else(hub: Hub) -> None:
    reader = Reader(hub)
    before = resident_bytes(hub)
    sleepers = [Sleeper(hub, *ALL_EVERY) for _ in range(10)]
    most = before

    def are_closed() -> bool:
        nonlocal most
        most = max(most, resident_bytes(hub))
        return metrics(hub)("market_hub_connections_closed_total", channel="enhanced", code="3008") == len(sleepers)

    wait_for(are_closed, "all that sleep are closed", seconds=30)
    # A queue of a mebibyte for each, which may double while it grows, and what the hub needs anyway.
    assert most - before < len(sleepers) * 3 * MEGABYTE + 32 * MEGABYTE, f"{(most - before) / MEGABYTE:.0f} MiB"
    for sleeper in sleepers:
        # Whatever still reached them fits together, up to the cut.
        while sleeper.read_on():
            pass
        assert sleeper.code in (3008, 1006)
        sleeper.peer.socket.close()
    assert metrics(hub)("market_hub_clients_blocked") == 0
    reader.finish()


@pytest.mark.settings({**FAST, "hub.privateQueueBytesMost": 1 << 20, "hub.privateQueuesBytesMost": 3 << 20})
def test_all_that_sleep_together_keep_no_more_than_the_hub_has_for_them(hub: Hub) -> None:
    sleepers = [Sleeper(hub, *ALL_EVERY) for _ in range(12)]
    most = 0.0

    def are_closed() -> bool:
        nonlocal most
        most = max(most, metrics(hub)("market_hub_waiting_bytes"))
        return metrics(hub)("market_hub_connections_closed_total", channel="enhanced", code="3008") == len(sleepers)

    wait_for(are_closed, "all that sleep are closed", seconds=30)
    # What one message may add before the longest goes.
    assert 0 < most < 4 * MEGABYTE
    assert metrics(hub)("market_hub_waiting_bytes") == 0
    for sleeper in sleepers:
        sleeper.peer.socket.close()


@pytest.mark.settings(FAST)
def test_who_stops_reading_conflated_gets_the_newest_when_it_reads_again(hub: Hub) -> None:
    reader = Reader(hub)
    sleepers = [Sleeper(hub, *ALL_CONFLATED) for _ in range(10)]
    wait_for(lambda: metrics(hub)("market_hub_clients_blocked", channel="enhanced") == len(sleepers), "all are blocked")
    before = resident_bytes(hub)
    sent = metrics(hub)("market_hub_feed_events_total")
    wait_for(lambda: metrics(hub)("market_hub_feed_events_total") > sent + 40_000, "much has happened since")
    assert resident_bytes(hub) - before < 16 * MEGABYTE, "it is kept for those who sleep"
    assert metrics(hub)("market_hub_connections_closed_total", code="3008") == 0
    newest = {one.topic.instrument.id: one.sequence for one in reader.followers.of_channel(CHANNELS["trades"])}
    sleeper = sleepers[0]
    deadline = time.monotonic() + 20

    def is_up_to_date() -> bool:
        told = {one.topic.instrument.id: one.sequence or 0 for one in sleeper.followers.of_channel(CHANNELS["trades"])}
        return all(told.get(instrument, 0) >= sequence for instrument, sequence in newest.items())

    while not is_up_to_date():
        assert time.monotonic() < deadline, "it does not catch up"
        assert sleeper.read_on(), f"closed with {sleeper.code}"
    for name in ("book", "ticker", "trades"):
        assert sum(one.skipped_count for one in sleeper.followers.of_channel(CHANNELS[name])) > 100, name
    assert all(one.checksum_count > 1 for one in sleeper.followers.of_channel(CHANNELS["book"]))
    # And on it goes.
    pushes = sum(one.push_count for one in sleeper.followers.by_id.values())
    while sum(one.push_count for one in sleeper.followers.by_id.values()) < pushes + 500:
        assert sleeper.read_on(), f"closed with {sleeper.code}"
    for one in sleepers:
        one.peer.socket.close()
    reader.finish()


# ---- many of both ------------------------------------------------------------------------------------------------------


TOLD = re.compile(rb'"data":\{"time":"([^"]+)","sequence":(\d+)(?:,"count":(\d+))?\}')


class Audience:
    """Clients of one instrument's trades in one loop, which miss none; some of them know how late each came."""

    SAMPLED = 20

    def __init__(self, hub: Hub, count: int) -> None:
        self.set = selectors.DefaultSelector()
        self.sockets: list[RawSocket] = []
        self.last: dict[RawSocket, int] = {}
        self.late_ms: list[float] = []
        self.lost = 0
        for number in range(count):
            peer = RawSocket(hub)
            assert peer.upgrade("/ws")[0] == 101
            peer.frame(TEXT, b'{"type":"subscribe","channel":"trades","symbol":"BTC-USD","fields":["time","sequence","count"]}')
            self.sockets.append(peer)
            self.set.register(peer.socket, selectors.EVENT_READ, (peer, number < self.SAMPLED))

    def listen(self, seconds: float) -> float:
        """Reads for a while; the 99th percentile of lateness in ms."""
        self.late_ms.clear()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for key, _ in self.set.select(0.05):
                peer, is_sampled = key.data
                data = peer.unread + peer.socket.recv(65_536)
                end = 0
                for told in TOLD.finditer(data):
                    end = told.end()
                    sequence = int(told[2])
                    if peer in self.last:
                        self.lost += sequence != self.last[peer] + int(told[3] or 1)
                    self.last[peer] = sequence
                    if is_sampled:
                        at = datetime.datetime.fromisoformat(told[1].decode()).timestamp()
                        self.late_ms.append((time.time() - at) * 1000)
                # What is behind the last trade may be the beginning of the next.
                peer.unread = data[end:][-512:]
        return sorted(self.late_ms)[int(len(self.late_ms) * 0.99)]

    def close(self) -> None:
        for peer in self.sockets:
            peer.socket.close()


@pytest.mark.settings({"sources.synthetic.eventsPerSecond": 200, "hub.privateQueuesBytesMost": 64 << 20})
def test_two_hundred_who_never_read_cost_a_thousand_others_nothing(hub: Hub) -> None:
    audience = Audience(hub, 1_000)
    try:
        audience.listen(3)
        alone_ms = audience.listen(6)
        before = resident_bytes(hub)
        sleepers = [Sleeper(hub, *(ALL_EVERY if number % 2 else ALL_CONFLATED)) for number in range(200)]
        beside_ms = audience.listen(10)
        after = resident_bytes(hub)
        assert audience.lost == 0
        assert metrics(hub)("market_hub_connections_open", channel="legacy") == 1_000
        # The clock that trades are stamped by, and this process beside the hub, make some milliseconds of it.
        assert beside_ms < 2 * max(alone_ms, 50), f"{alone_ms:.1f} ms alone, {beside_ms:.1f} ms beside sleepers"
        assert after - before < 96 * MEGABYTE
        for sleeper in sleepers:
            sleeper.peer.socket.close()
    finally:
        audience.close()


STANDING = {"sources.synthetic.eventsPerSecond": 50_000, "transport.ioLoops": 2, "diagnostics.stallHook": True, "feed.ringBytes": 1 << 20}


@pytest.mark.settings(STANDING)
def test_a_loop_that_stands_still_harms_no_other_and_tells_what_it_missed(hub: Hub) -> None:
    """Its ring is full long before it goes on: what it missed is told anew, and trades it missed show as a jump."""
    clients = [Sleeper(hub, {"channel": CHANNELS["book"]}, {"channel": CHANNELS["ticker"]}) for _ in range(12)]
    stop = threading.Event()
    failures: list[BaseException] = []
    silences: list[float] = []

    def read_all(client: Sleeper) -> None:
        heard, longest = time.monotonic(), 0.0
        try:
            while not stop.is_set():
                assert client.read_on(), client.code
                longest = max(longest, time.monotonic() - heard)
                heard = time.monotonic()
            silences.append(longest)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=read_all, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(0.5)  # So that there is load when it begins.
    host, port = hub.listeners["admin"].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("POST", "/admin/v1/stall?loop=1&ms=2000", body=b"")
    assert connection.getresponse().status == 202
    dropped = metrics(hub)("market_hub_ring_drops_total")
    wait_for(lambda: metrics(hub)("market_hub_ring_drops_total") > dropped, "its ring is full")
    time.sleep(2.5)  # As long as it stands still, and a little.
    heard = [sum(one.push_count for one in client.followers.by_id.values()) for client in clients]
    wait_for(
        lambda: all(
            sum(one.push_count for one in client.followers.by_id.values()) > before + 200
            for client, before in zip(clients, heard, strict=True)
        ),
        "everybody hears on",
    )
    stop.set()
    for thread in threads:
        thread.join()
    # Every push fitted the one before, every book its checksum, on both loops.
    assert failures == []
    assert all(one.checksum_count > 1 for client in clients for one in client.followers.of_channel(CHANNELS["book"]))
    silences.sort()
    assert silences[0] < 1, "who is served by the other loop heard nothing either"
    assert silences[-1] > 1.5, "no loop stood still"
    for client in clients:
        client.peer.socket.close()


@pytest.mark.settings(FAST)
def test_a_sleeping_legacy_client_is_never_closed_for_it(hub: Hub) -> None:
    with RawSocket(hub, receive_bytes=16_384) as sleeper, Legacy(hub) as living:
        assert sleeper.upgrade("/ws")[0] == 101
        for channel in ("marketData", "ticker", "trades", "book"):
            sleeper.frame(TEXT, b'{"type":"subscribe","channel":"%s","symbol":"*"}' % channel.encode())
        wait_for(lambda: metrics(hub)("market_hub_clients_blocked", channel="legacy") == 1, "it is blocked")
        sent = metrics(hub)("market_hub_feed_events_total")
        wait_for(lambda: metrics(hub)("market_hub_feed_events_total") > sent + 40_000, "much has happened since")
        living.pong(1)
        seen = 0
        while seen < 5_000:
            kind, payload = sleeper.next_frame()
            if kind == PING:
                sleeper.frame(PONG, payload)
                continue
            assert kind == TEXT
            seen += 1
        assert metrics(hub)("market_hub_connections_open", channel="legacy") == 2


class Dawdler(Sleeper):
    """Reads a little every ten milliseconds, and notes how old each frame is when its turn comes."""

    def __init__(self, hub: Hub, bytes_per_second: int) -> None:
        # The kernel's buffers as they come: it is them that hide what is old.
        self.peer = RawSocket(hub)
        assert self.peer.upgrade("/ws/v2")[0] == 101
        frame = ClientFrame()
        for number, subscription in enumerate(ALL_CONFLATED, 1):
            if subscription["channel"] != CHANNELS["candles"]:
                frame.commands.add(id=number, subscribe={"symbols": ["*"], **subscription})
        self.peer.frame(BINARY, frame.SerializeToString())
        self.followers = Followers()
        self.code = None
        self.pace = bytes_per_second
        self.ages: list[float] = []
        self.announcements: list[Any] = []

    def read_for(self, seconds: float) -> None:
        begun = time.monotonic()
        taken = 0
        while time.monotonic() - begun < seconds:
            if taken > (time.monotonic() - begun) * self.pace:
                time.sleep(0.005)  # The pace of this client, not a wait for anything.
                continue
            kind, payload = self.peer.next_frame()
            taken += len(payload)
            assert kind != CLOSE, payload
            if kind == PING:
                self.peer.frame(PONG, payload)
            elif kind == BINARY:
                frame = ServerFrame.FromString(payload)
                for reply in frame.replies:
                    self.followers.add([result.topic for result in reply.subscribe.results])
                self.followers.take(frame.pushes)
                self.ages.append(time.time() - frame.sent_ns / 1e9)
                if frame.HasField("degradation"):
                    self.announcements.append(frame.degradation)


@pytest.mark.settings(FAST)
def test_who_reads_at_a_fraction_of_the_rate_hears_what_is_fresh_and_is_told(hub: Hub) -> None:
    dawdler = Dawdler(hub, bytes_per_second=100_000)
    dawdler.read_for(3)
    dawdler.ages.clear()
    dawdler.read_for(4)
    assert len(dawdler.ages) > 20
    assert sorted(dawdler.ages)[len(dawdler.ages) // 2] < 1.0, "what it reads is old"
    begun = [one for one in dawdler.announcements if not one.is_over]
    over = [one for one in dawdler.announcements if one.is_over]
    assert begun and over
    assert over[0].left_out > 0 and over[0].since_ns == begun[0].since_ns
    assert all(a.is_over != b.is_over for a, b in zip(dawdler.announcements, dawdler.announcements[1:], strict=False))
    assert all(one.checksum_count > 1 for one in dawdler.followers.of_channel(CHANNELS["book"]))
    dawdler.peer.socket.close()


def test_who_reads_everything_at_once_is_never_told_that_it_is_slow(hub: Hub) -> None:
    with Enhanced(hub) as client:
        for name in CHANNELS:
            client.subscribe(name, "*")
        pushes = client.until(lambda pushes: len(pushes) > 2_000)
        assert pushes
    assert metrics(hub)("market_hub_conflations_total") == 0


# ---- idle clients -------------------------------------------------------------------------------------------------------


@pytest.mark.settings({"hub.heartbeatMs": 300})
def test_an_idle_client_gets_heartbeats_that_name_what_changed(hub: Hub) -> None:
    with Enhanced(hub) as client:
        assert client.ask(connect={}).connect.heartbeat_ms == 300
        frame = client.frame()
        assert frame.HasField("heartbeat") and not frame.pushes and not frame.heartbeat.topics
        assert abs(frame.sent_ns / 1e9 - time.time()) < 5
        # The state at once, then a push every two seconds, and heartbeats in between that tell of it.
        (topic,) = client.subscribe("ticker", "BTC-USD", delivery=LATEST, interval_ms=2_000)
        client.until(bool)
        (push,) = client.until(bool)
        frame = client.frame()
        assert [(one.topic, one.sequence) for one in frame.heartbeat.topics] == [(topic.id, push.sequence)]
        frame = client.frame()
        assert frame.HasField("heartbeat") and not frame.heartbeat.topics, "told twice"


@pytest.mark.settings({"hub.pingMs": 200, "hub.silenceMs": 1500})
def test_who_answers_pings_is_not_silent(hub: Hub) -> None:
    with RawSocket(hub) as answering, RawSocket(hub) as silent:
        assert answering.upgrade("/ws")[0] == silent.upgrade("/ws")[0] == 101
        begun = time.monotonic()
        pings = 0
        while time.monotonic() - begun < 3:
            kind, payload = answering.next_frame()
            assert kind == PING, (kind, payload)
            answering.frame(PONG, payload)
            pings += 1
        assert pings >= 4, "hardly a ping"
        assert silent.close_code() == 3012
        answering.frame(TEXT, b'{"type":"ping"}')
        while answering.next_frame() != (TEXT, b'{"type":"pong"}'):
            pass


def test_any_frame_counts_as_life(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub({"hub.pingMs": 400, "hub.silenceMs": 1200})
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws")[0] == 101
        begun = time.monotonic()
        while time.monotonic() - begun < 2.5:
            peer.frame(TEXT, b'{"type":"ping"}')
            # Pings are left unanswered.
            while peer.next_frame() != (TEXT, b'{"type":"pong"}'):
                pass
            time.sleep(0.2)  # The pace of this client, not a wait for anything.
