"""`market-hub venue` as a client meets it: what it refuses, and in whose words."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from hub import PROGRAM


class Venue:
    """A played venue without TLS."""

    def __init__(self, path: Path, *arguments: str, speed: float = 0) -> None:
        command = [PROGRAM, "venue", "--capture", path, "--listen", "127.0.0.1:0", "--speed", str(speed), *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = json.loads(self._process.stdout.readline())["listeners"]["venue"]

    def connect(self, path: str = "") -> ClientConnection:
        return connect(f"ws://{self.address}{path}", max_size=None, ping_interval=None)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()

    def stop(self) -> dict[str, Any]:
        """What it counted."""
        self._process.send_signal(signal.SIGTERM)
        output, log = self._process.communicate(timeout=15)
        assert self._process.returncode == 0
        for line in log.splitlines():
            json.loads(line)
        return json.loads(output)


@pytest.fixture
def play(captures: Path) -> Iterator[Callable[..., Venue]]:
    started: list[Venue] = []

    def start(path: str, *arguments: str, **options: Any) -> Venue:
        started.append(Venue(captures / path, *arguments, **options))
        return started[-1]

    yield start
    for venue in started:
        venue.stop()


def frames(socket: ClientConnection, seconds: float = 0.5) -> list[dict[str, Any]]:
    """All that comes until nothing does for a while."""
    heard = []
    try:
        while True:
            heard.append(json.loads(socket.recv(timeout=seconds)))
    except TimeoutError:
        return heard


def closing(socket: ClientConnection, seconds: float = 10) -> tuple[int, str]:
    """Reads on until the venue closes; code and reason."""
    deadline = time.monotonic() + seconds
    try:
        while True:
            socket.recv(timeout=max(0, deadline - time.monotonic()))
    except ConnectionClosed as end:
        assert end.rcvd is not None
        return end.rcvd.code, end.rcvd.reason


def test_coinbase_plays_what_is_subscribed_and_no_more(play: Callable[..., Venue]) -> None:
    venue = play("coinbase/coinbase-A.cap.gz")
    with venue.connect() as client:
        client.send('{"channels":["matches"],"product_ids":["YFI-BTC"],"type":"subscribe"}')
        heard = frames(client)
        assert heard[0] == {"type": "subscriptions", "channels": [{"name": "matches", "product_ids": ["YFI-BTC"]}]}
        assert heard[1]["type"] == "last_match"
        assert {frame["product_id"] for frame in heard[1:]} == {"YFI-BTC"}
        client.send('{"channels":["matches"],"product_ids":["BTC-USD"],"type":"subscribe"}')
        client.send('{"channels":["full"],"product_ids":["YFI-BTC"],"type":"subscribe"}')
        client.send("{")
        assert [frame["reason"] for frame in frames(client)] == [
            "BTC-USD is not a valid product",
            "full is not a valid channel",
            "it is not JSON",
        ]
    with venue.connect() as client:
        began = time.monotonic()
        closing(client)
        assert 4.5 < time.monotonic() - began < 7, "no subscription within five seconds"


def test_kraken_answers_each_pair_and_a_ping(play: Callable[..., Venue]) -> None:
    venue = play("kraken/kraken-A.cap.gz")
    with venue.connect() as client:
        client.send('{"event":"ping","reqid":42}')
        book = {"name": "book", "depth": 1000}
        client.send(json.dumps({"subscription": book, "pair": ["FOO/BAR", "XMR/USD"], "event": "subscribe", "reqid": 7}))
        client.send('{"event":"subscribe","pair":["XMR/USD"],"subscription":{"name":"book","depth":25}}')
        client.send('{"event":"dance"}')
        heard = [frame for frame in frames(client) if isinstance(frame, dict)]
        assert [frame["event"] for frame in heard if frame["event"] != "heartbeat"] == [
            "systemStatus",
            "pong",
            "subscriptionStatus",
            "subscriptionStatus",
            "subscriptionStatus",
            "error",
        ]
        assert heard[1]["reqid"] == 42
        errors = [frame.get("errorMessage") for frame in heard if frame["event"] == "subscriptionStatus"]
        assert errors == ["Currency pair not supported FOO/BAR", None, "Subscription depth not supported"]


def test_kraken_begins_a_book_anew_when_it_is_subscribed_to_again(play: Callable[..., Venue]) -> None:
    venue = play("kraken/kraken-A.cap.gz")
    frame = {"pair": ["ADA/XBT"], "subscription": {"name": "book", "depth": 1000}}
    with venue.connect() as client:
        rounds = []
        for _ in range(2):
            client.send(json.dumps({"event": "subscribe", **frame}))
            rounds.append([one for one in frames(client) if isinstance(one, list)])
            client.send(json.dumps({"event": "unsubscribe", **frame}))
            assert [one["status"] for one in frames(client) if one["event"] == "subscriptionStatus"] == ["unsubscribed"]
        assert "as" in rounds[0][0][1] and len(rounds[0]) > 100
        assert rounds[0] == rounds[1]


def test_binance_refuses_what_was_not_recorded(play: Callable[..., Venue]) -> None:
    venue = play("binance/binance-A.cap.gz")
    for path, status, code in (
        ("/stream?streams=btcusdt@trade", 400, -1121),
        ("/stream?streams=nknusdt@trade", 400, -1130),
        ("/elsewhere", 404, -1000),
    ):
        with pytest.raises(InvalidStatus) as refusal:
            venue.connect(path)
        response = refusal.value.response
        assert (response.status_code, json.loads(response.body or b"")["code"]) == (status, code)
    status, body = venue.get("/api/v3/depth?limit=1000&symbol=NKNUSDT")
    assert status == 200 and json.loads(body)["lastUpdateId"] == 499869752
    assert venue.get("/api/v3/depth?symbol=NKNUSDT&limit=5")[0] == 400
    assert json.loads(venue.get("/api/v3/depth?symbol=FOO&limit=1000")[1]) == {"code": -1121, "msg": "Invalid symbol."}


def test_binance_takes_five_messages_a_second(play: Callable[..., Venue]) -> None:
    venue = play("binance/binance-A.cap.gz")
    with venue.connect("/stream?streams=nknusdt@aggTrade") as client:
        for number in range(5):
            client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        answers = [frame for frame in frames(client, 0.2) if "id" in frame]
        assert answers[4] == {"result": ["nknusdt@aggTrade"], "id": 4}
        for number in range(6):
            client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        assert closing(client) == (1008, "Too many requests")


def test_a_loop_begins_again_but_never_with_numbers_that_run_back(play: Callable[..., Venue]) -> None:
    kraken = play("kraken/kraken-A.cap.gz", "--loop", speed=100)
    with kraken.connect() as client:
        client.send('{"event":"subscribe","pair":["ADA/XBT"],"subscription":{"name":"book","depth":1000}}')
        snapshots = 0
        while snapshots < 3:
            frame = json.loads(client.recv(timeout=10))
            snapshots += isinstance(frame, list) and "as" in frame[1]
    binance = play("binance/binance-A.cap.gz", "--loop")
    with binance.connect("/stream?streams=nknusdt@depth@100ms") as client:
        assert closing(client) == (1000, "the recording ends here")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--capture", "/no/such/file"], "/no/such/file"),
        (["--capture", __file__], "the time is not a whole number"),
        ([], "--capture is missing"),
    ],
)
def test_what_cannot_be_played_is_one_line_and_status_2(arguments: list[str], complaint: str) -> None:
    ended = subprocess.run([PROGRAM, "venue", *arguments], capture_output=True, text=True, timeout=10)
    assert ended.returncode == 2
    assert complaint in ended.stderr and ended.stderr.count("\n") == 1, ended.stderr
