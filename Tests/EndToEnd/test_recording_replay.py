"""Playing recordings to subscribers, from any point: books are as they were, and nobody hears the past."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clients import EVERY, Enhanced, wait_for
from following import Followers
from hub import PROGRAM, Hub
from recording import BINANCE, COINBASE, KRAKEN, TCP, Line, Process, Replay, await_frames, await_silence, check_books
from recording import authority, files_of, normalize, play, record, records, replay, time_text  # noqa: F401


def test_serve_records_too_and_a_replay_gives_subscribers_the_same_books(
    play: Callable[..., Path], start_hub: Callable[..., Hub], replay: Callable[..., Replay], tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    configuration = play([KRAKEN], speed=20)
    hub = start_hub({"record.directory": folder}, "--config", str(configuration))
    await_silence(hub, "kraken")
    assert hub.stop() == 0
    files = files_of(folder, "kraken")
    times = sorted(int(record[0]) for path in files for record in records(path))
    # Where nothing follows for the longest time of the recording's second half.
    late = times[len(times) // 2 :]
    point = max(zip(late, late[1:]), key=lambda pair: pair[1] - pair[0])[0] + 1
    again = replay(folder, "--speed", "0.000001", "--seek", time_text(point))
    wait_for(lambda: again.process.events("replay-began"), "the point")
    check_books(again, normalize("kraken", files, "--book-depth", "10").rows, point)


@pytest.mark.parametrize("seconds", [3, 17])
def test_seek_finds_the_books_as_they_were_then(
    replay: Callable[..., Replay], captures: Path, seconds: int
) -> None:
    path = captures / KRAKEN.path
    instruments = captures / "instruments" / "kraken.json"
    first = int(records(path)[0][0])
    point = first + seconds * 1_000_000_000
    rows = normalize("kraken", [path], "--instruments", str(instruments), "--emit", "book", "--book-depth", "10").rows
    at = time_text(point) if seconds == 3 else f"+{seconds}s"
    # So slow that nothing follows while the test looks.
    hub = replay(path, "--seek", at, "--speed", "0.000001", "--instruments", instruments)
    wait_for(lambda: hub.process.events("replay-began"), "the point")
    check_books(hub, rows, point)


def test_nobody_hears_what_was_before_the_point_and_all_of_what_follows(
    replay: Callable[..., Replay], captures: Path
) -> None:
    path = captures / COINBASE.path
    first = int(records(path)[0][0])
    rows = normalize("coinbase", [path]).rows
    hub = replay(path, "--seek", "+5s", "--until", "+9s", "--speed", "2", "--loop")
    heard: dict[int, int] = {}
    followers = Followers()
    with Enhanced(hub) as client:
        client.ask(connect={"client": "test_recordings", "pass_ms": 10})
        client.subscribe("trades", "*", delivery=EVERY)
        followers.add(client.subscribe("book", "*", depth=10, delivery=EVERY))
        deadline = time.monotonic() + 12
        while len(hub.process.events("replay-ended")) < 2:
            assert time.monotonic() < deadline, "two rounds take too long"
            try:
                pushes = client.take(0.2)
            except TimeoutError:
                continue
            followers.add([topic for topic in client.topics.values() if topic.channel == 3])
            for push in pushes:
                if push.HasField("trade") and not push.flags & 64:
                    number = int(push.trade.id)
                    heard[number] = heard.get(number, 0) + 1
                    assert first + 5_000_000_000 <= push.received_ns < first + 9_000_000_000
    wanted = {
        int(row["id"])
        for row in rows
        if row["type"] == "trade"
        and "HISTORIC" not in row["flags"]
        and first + 5_000_000_000 <= row["received_ns"] < first + 9_000_000_000
    }
    assert wanted and set(heard) == wanted


def test_recordings_of_several_sources_are_played_together(
    play: Callable[..., Path], record: Callable[..., Process], replay: Callable[..., Replay], tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    hub = record(play([COINBASE, BINANCE], speed=20), folder)
    await_frames(hub, "coinbase", 500)
    await_frames(hub, "binance", 50)
    hub.stop()
    again = replay(folder, "--speed", "max", "--loop")
    venues = set()
    with Enhanced(again) as client:
        client.subscribe("trades", "*")
        client.subscribe("ticker", "*")
        wait_for(lambda: len(again.process.events("replay-ended")) >= 4, "two rounds of both")
        for push in client.until(lambda pushes: len(pushes) > 50):
            venues.add(client.topics[push.topic].instrument.venue)
    assert venues == {"coinbase", "binance"}


def test_a_recording_of_our_own_feed_is_played_as_it_was_sent(
    record: Callable[..., Process], replay: Callable[..., Replay], tmp_path: Path
) -> None:
    hub = record(None, tmp_path / "r", *TCP)
    line = Line(hub)
    for _ in range(50):
        line.send(3)
        time.sleep(0.01)
    # Half a line in one piece, half in the next.
    line.socket.sendall(b'{"type":"trade","symbol":"C-D","price":"2.5","qua')
    time.sleep(0.1)
    line.socket.sendall(b'ntity":"3","id":"last"}\n')
    time.sleep(0.1)
    line.socket.close()
    time.sleep(0.7)
    hub.stop()
    again = replay(tmp_path / "r", "--speed", "1")
    with Enhanced(again) as client:
        client.subscribe("trades", "*", delivery=EVERY)
        ids: list[bytes] = []
        deadline = time.monotonic() + 10
        while not ids or ids[-1] != b"last":
            assert time.monotonic() < deadline
            ids += [push.trade.id for push in client.take() if push.HasField("trade")]
    # A client that comes late begins with what follows.
    numbers = [int(one) for one in ids[:-1]]
    assert len(numbers) > 50 and numbers == list(range(numbers[0], 151))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["/no/such/file"], "No such file or directory"),
        (["{captures}/kraken/kraken-A.cap.gz", "{captures}/coinbase/coinbase-A.cap.gz"], "of several venues"),
        (["{captures}/kraken/kraken-A.cap.gz", "--until", "2020-01-01T00:00:00Z"], "nothing would be played"),
        (["{captures}/README.md"], "does not say whose traffic it is"),
        (["{tmp}"], "there is no recording at"),
    ],
)
def test_what_cannot_be_played_is_refused(
    captures: Path, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    texts = [text.format(captures=captures, tmp=tmp_path) for text in arguments]
    done = subprocess.run([PROGRAM, "replay", *texts], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and complaint in done.stderr, done.stderr
