"""Recordings of FIX, of ITCH, of protobuf publishers and of two connections: read again, they say what was said live, event by event."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import itch_server as itch
from clients import Enhanced, wait_for
from fix_server import FixServer, recorded
from hub import Hub
from played_venues import SMALL, Recording, Stage, golden_books, golden_trades
from recording import Process, Replay, await_frames, files_of, normalize, number, record, records, replay  # noqa: F401
from test_fix import BOOKS, RECORDING, change, following, serve  # noqa: F401
from test_itch import RECORDING as ITCH_RECORDING
from test_itch import Model, Orders, await_books, mold, mold_settings, password, soup, soup_settings  # noqa: F401
from test_own_feed import LISTENING, SNAPSHOT, FeedMessage, book, declaration, dial, framed, trade

StartHub = Callable[..., Hub]
Event = tuple[Any, ...]
GAP_BEFORE = 4
# More levels of one event are told by further lines.
LEVELS_OF_A_LINE = 1_000


class Reader:
    """Whoever reads what the hub publishes, from before the first instrument on."""

    def __init__(self, hub: Hub) -> None:
        host, _, port = hub.listeners["feedOut"].rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._lines = self._socket.makefile("rb")
        self._socket.sendall(b'{"type":"hello","version":1,"name":"test"}\n')
        assert json.loads(next(self._lines))["type"] == "hello"
        self.events: list[Event] = []
        self._books: dict[str, dict[str, dict[Decimal, Decimal]]] = {}
        self._goes_on = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        try:
            for line in self._lines:
                self._take(json.loads(line))
        except OSError:
            return

    def _take(self, line: dict[str, Any]) -> None:
        kind, symbol = line["type"], line.get("symbol", "")
        has_gap = bool(line.get("flags", 0) & GAP_BEFORE)
        if self._goes_on:
            self._goes_on = False
            if kind == "delta" and self.events[-1][:2] == ("book", symbol):
                # The rest of one event.
                has_gap = self.events.pop()[-1]
        if kind == "trade":
            amounts = Decimal(line["price"]), Decimal(line["quantity"]), line.get("side"), line.get("id")
            self.events.append((kind, symbol, *amounts, line.get("time_ns", 0), has_gap))
        elif kind == "status":
            self.events.append((kind, symbol, line["state"], line["reason"]))
        elif kind in ("snapshot", "delta"):
            if kind == "snapshot":
                self._books[symbol] = {"bids": {}, "asks": {}}
            sides = self._books[symbol]
            for side, levels in sides.items():
                for price, quantity in line[side]:
                    levels[Decimal(price)] = Decimal(quantity)
                    if not Decimal(quantity):
                        del levels[Decimal(price)]
            texts = [sorted(levels.items(), reverse=side == "bids") for side, levels in sides.items()]
            self._goes_on = sum(len(line[side]) for side in sides) == LEVELS_OF_A_LINE
            self.events.append(("book", symbol, *texts, line.get("time_ns", 0), has_gap))


def events_of(rows: list[dict[str, Any]], venue: str) -> list[Event]:
    """What a recording was normalized to, in the same words."""
    events: list[Event] = []
    for row in rows:
        symbol, has_gap = f"{row['symbol']}:{venue}", "GAP_BEFORE" in row["flags"]
        if row["type"] == "trade":
            amounts = Decimal(row["price"]), Decimal(row["quantity"]), row["side"], row["id"]
            events.append(("trade", symbol, *amounts, row["event_ns"], has_gap))
        elif row["type"] == "status":
            events.append(("status", symbol, row["state"], row["reason"]))
        elif row["type"] == "book":
            sides = [[(Decimal(price), Decimal(size)) for price, size in row[side]] for side in ("bids", "asks")]
            events.append(("book", symbol, *sides, row["event_ns"], has_gap))
    return events


def bare(rows: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """Rows without what differs between a file and its recording: lines, and times of receiving."""
    return [{key: value for key, value in row.items() if key not in ("line", "received_ns")} for row in rows if row["type"] in kinds]


def recording_hub(start_hub: StartHub, folder: Path, settings: dict[str, object], *arguments: str) -> Hub:
    return start_hub({"record.directory": folder, "feedOut.enabled": True, "feedOut.port": 0, **settings}, *arguments)


# ---- FIX ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def holding(serve: Callable[..., FixServer]) -> Callable[..., FixServer]:  # noqa: F811
    """Servers that let nobody log on before they are opened."""

    def start(**options: Any) -> FixServer:
        return serve(is_open=False, **options)

    return start


def test_a_fix_recording_says_what_was_said_live(
    start_hub: StartHub, holding: Callable[..., FixServer], replay: Callable[..., Replay], tmp_path: Path  # noqa: F811
) -> None:
    server = holding(books={**BOOKS, "EUR/USD": ([*BOOKS["EUR/USD"][0], ("1.0900", "3")], BOOKS["EUR/USD"][1])})
    folder = tmp_path / "r"
    # Only two levels are kept, which a reader of the recording must know.
    settings: dict[str, object] = {"record.fileBytesMost": 4_096}
    hub = recording_hub(start_hub, folder, settings, *following(tmp_path, server, venue="fix-test", depth=2))
    reader = Reader(hub)
    server.open()

    def await_trade(name: str) -> None:
        server.say(f"35=X|268=1|279=0|269=2|55=EUR/USD|270=1.1003|271=2|1003={name}")
        wait_for(lambda: any(event[0] == "trade" and event[5] == name for event in list(reader.events)), name)

    wait_for(lambda: len({event[1] for event in list(reader.events) if event[0] == "book"}) == 2, "both books")
    server.say(change(0, "1.1000", "3"))
    server.say(change(0, "1.1002", "0", action=2))
    await_trade("T-1")
    # A hole that is filled again, one message that comes twice in its course, and a garbled one.
    server.say(change(1, "1.1003", "8", action=1), is_lost=True)
    server.say(change(1, "1.1004", "1"))
    await_trade("T-2")
    server.say(change(0, "1.1001", "6", action=1), wrong_sum=True)
    await_trade("T-3")
    # A hole that stays: books begin anew within the session.
    server.fills_with_nothing = True
    server.say(change(0, "1.1001", "9", action=1), is_lost=True)
    server.say("35=0")
    wait_for(lambda: ("status", "EUR/USD:fix-test", "disconnected", "gap") in list(reader.events), "the gap")
    wait_for(lambda: len(server.of_kind("V")) == 6, "the books asked for again")
    await_trade("T-4")
    server.fills_with_nothing = False
    server.cut()
    wait_for(lambda: server.logons == 2, "another session")
    await_trade("T-5")
    reader.close()
    assert hub.stop() == 0
    files = files_of(folder, "fix-test")
    # A garbled message is a bad line, and nothing else.
    result = normalize("fix-test", files, "--book-depth", "0")
    assert ", 1 bad," in result.complaints and "CheckSum" in result.complaints
    lines = [line for path in files for line in records(path)]
    assert any(line[2] == "M" and line[3].startswith("kept\t8=FIX") for line in lines)
    assert "secret" not in str(lines) and any("554=*" in line[3] for line in lines)
    events = events_of(result.rows, "fix-test")
    assert events == reader.events and len(events) > 20
    # The first session's books had two levels, and the recording knows.
    assert all(len(event[2]) <= 2 for event in events if event[0] == "book")
    again = replay(folder, "--speed", "max")
    wait_for(lambda: again.process.events("replay-ended"), "the end")
    assert [event["problem"] for event in again.process.events("capture-bad-line")] == ["CheckSum is not what the venue documents"]


def test_a_recorded_fix_feed_normalizes_as_its_file(
    record: Callable[..., Process], serve: Callable[..., FixServer], captures: Path, tmp_path: Path  # noqa: F811
) -> None:
    server = serve(begin="FIXT.1.1")
    configuration = Path(following(tmp_path, server, beginString="FIXT.1.1", symbols=[], venue="fix-jse")[1])
    hub = record(configuration, tmp_path / "r")
    wait_for(lambda: server.logons, "the session")
    messages = recorded(captures / RECORDING)
    server.say_all(messages)
    await_frames(hub, "fix-jse", len(messages))
    hub.stop()
    ours = normalize("fix-jse", files_of(tmp_path / "r", "fix-jse"))
    theirs = normalize("fix-jse", [captures / RECORDING])
    assert ", 0 bad," in ours.complaints
    wanted = bare(theirs.rows, "trade", "book")
    assert len(wanted) == 4_473 and bare(ours.rows, "trade", "book") == wanted
    assert normalize("fix-jse", files_of(tmp_path / "r", "fix-jse")).output == ours.output


# ---- ITCH -----------------------------------------------------------------------------------------------------------------------


def test_a_soupbin_recording_is_what_was_heard_over_a_cut_too(
    start_hub: StartHub,
    soup: Callable[..., itch.SoupServer],  # noqa: F811
    replay: Callable[..., Replay],  # noqa: F811
    password: Path,  # noqa: F811
    captures: Path,
    tmp_path: Path,
) -> None:
    messages = itch.recorded(captures / ITCH_RECORDING)
    server = soup(messages[:6_000])
    server.cut_after = 4_321
    folder = tmp_path / "r"
    hub = start_hub({**soup_settings(server, password), "record.directory": folder, "record.fileBytesMost": 4_096})
    stocks = {"ALC-USD": 1, "BOB-USD": 2}
    await_books(hub, Model(messages[:6_000]), stocks)
    # The rest goes to another block, and to another file.
    wait_for(lambda: number(hub, "market_hub_recorder_written_bytes_total", source="itch") > 4_096, "the first file")
    server.messages = messages
    await_books(hub, Model(messages), stocks)
    assert hub.stop() == 0
    files = files_of(folder, "itch")
    assert len(files) > 1
    ours = normalize("itch", files, "--book-depth", "0")
    theirs = normalize("itch", [captures / ITCH_RECORDING], "--date", "2010-12-24", "--book-depth", "0")
    assert ", 0 bad," in ours.complaints
    wanted = bare(theirs.rows, "trade", "book")
    assert len(wanted) > 8_000 and bare(ours.rows, "trade", "book") == wanted
    told, without_cut = (
        [(row["state"], row["reason"]) for row in result.rows if row["type"] == "status" and row["symbol"] == "BOB-USD"]
        for result in (ours, theirs)
    )
    cut = told.index(("disconnected", "connection_lost"))
    # After the cut it is as it was before.
    assert told[cut + 1] == told[cut - 1] and told[:cut] + told[cut + 2 :] == without_cut
    assert "secret" not in str([records(path) for path in files])
    # Played, it has the same books, and the same single orders.
    again = replay(folder, "--speed", "max")
    wait_for(lambda: again.process.events("replay-ended"), "the end")
    await_books(again, Model(messages), stocks)
    with Enhanced(again) as client:
        client.subscribe("orders", "BOB-USD")
        orders = Orders()
        for push in client.until(lambda pushes: any(push.HasField("order_snapshot") for push in pushes)):
            orders.take(push)
    assert orders.resting == Model(messages).orders_of(2)
    # A file from the middle says of itself that what came before was not heard.
    late = normalize("itch", files[1:], "--emit", "status,book")
    assert late.status == 0 and {row["state"] for row in late.rows if row["type"] == "status"} == {"resyncing"}


def test_messages_that_moldudp64_lost_are_missing_in_its_recording_as_well(
    start_hub: StartHub, mold: Callable[..., itch.MoldServer], tmp_path: Path  # noqa: F811
) -> None:
    server = mold([itch.directory("ABC"), itch.add(1, "B", 100, 10_000)])
    folder = tmp_path / "r"
    hub = recording_hub(start_hub, folder, mold_settings(server, can_request=False))
    reader = Reader(hub)
    server.send()
    wait_for(lambda: any(event[0] == "book" for event in list(reader.events)), "the first book")
    server.messages += [itch.add(2, "S", 100, 10_100), itch.add(3, "S", 50, 10_200)]
    server.send(first=4)
    wait_for(lambda: ("status", "ABC-USD:itch", "resyncing", "gap") in list(reader.events), "the loss")
    wait_for(lambda: reader.events[-1][0] == "book" and len(reader.events[-1][3]) == 1, "the last order")
    reader.close()
    assert hub.stop() == 0
    files = files_of(folder, "itch")
    assert ["missed\t1"] == [line[3] for line in records(files[0]) if line[2] == "M" and line[3].startswith("missed")]
    assert events_of(normalize("itch", files, "--book-depth", "0").rows, "itch") == reader.events


# ---- the hub's own feed ---------------------------------------------------------------------------------------------------------


def test_publishers_of_both_forms_are_recorded_and_say_the_same_again(
    start_hub: StartHub, replay: Callable[..., Replay], tmp_path: Path  # noqa: F811
) -> None:
    folder = tmp_path / "r"
    hub = recording_hub(start_hub, folder, LISTENING)
    reader = Reader(hub)

    def await_trade(name: str) -> None:
        wait_for(lambda: any(event[0] == "trade" and event[5] == name for event in list(reader.events)), name)

    with dial(hub) as second:
        with dial(hub) as first, dial(hub) as text:
            first.events(declaration(), SNAPSHOT, trade("a-1"))
            await_trade("a-1")
            # It stands by, with a book of its own.
            second.events(declaration(), book("snapshot", [(499_000, 1)], [(501_000, 2)]), trade("b-1"))
            text.lines({"type": "snapshot", "symbol": "ETH-USD", "bids": [["10.5", "1"]], "asks": [["11.0", "2"]]})
            text.lines({"type": "trade", "symbol": "ETH-USD", "price": "11", "quantity": 1, "id": "t-1"})
            await_trade("t-1")
            # A message in two pieces, of which the second brings the next one's beginning as well.
            first.sequence += 2
            data = b"".join(
                framed(FeedMessage(sequence=number, events=events))
                for number, events in ((2, [book("delta", [(500_000, 0)], [(500_001, 1)])]), (3, [trade("a-2"), declaration(2, "X-Y")]))
            )
            first.socket.sendall(data[:11])
            text.lines({"type": "trade", "symbol": "ETH-USD", "price": "12", "quantity": 1, "id": "t-2"})
            await_trade("t-2")
            first.socket.sendall(data[11:])
            await_trade("a-2")
        taken_over = ("book", "BTC-USD:tcp", [(Decimal(49_900), Decimal("0.001"))])
        wait_for(lambda: any(event[:3] == taken_over for event in list(reader.events)), "the second publisher to take over")
        second.events(trade("b-2"))
        await_trade("b-2")
        reader.close()
        assert hub.stop() == 0
    files = files_of(folder, "tcp")
    result = normalize("tcp", files, "--book-depth", "0")
    assert ", 0 bad," in result.complaints, result.complaints
    events = events_of(result.rows, "tcp")
    assert events == reader.events
    assert [event[5] for event in events if event[0] == "trade"] == ["a-1", "t-1", "t-2", "a-2", "b-2"]
    again = replay(folder, "--speed", "max")
    wait_for(lambda: again.process.events("replay-ended"), "the end")
    assert not again.process.events("capture-bad-line")


def test_protobuf_without_the_beginning_of_its_connection_is_left_out_and_said_so(
    start_hub: StartHub, tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    hub = start_hub({**LISTENING, "record.directory": folder, "record.fileBytesMost": 4_096})
    with dial(hub) as publisher:
        publisher.events(declaration(), SNAPSHOT)
        sent = 0
        while len(files_of(folder, "tcp")) < 2:
            sent += 1
            assert sent < 3_000
            publisher.events(*(trade(f"{sent}-{index}") for index in range(50)))
            wait_for(lambda: number(hub, "market_hub_feed_events_total", kind="trade") == 50 * sent, "the trades")
        hub.stop()
    late = normalize("tcp", files_of(folder, "tcp")[1:])
    assert late.status == 0 and late.output == b""
    assert late.complaints.count("protobuf is not read without the beginning of its connection") == 1
    whole = normalize("tcp", files_of(folder, "tcp"))
    assert sum(row["type"] == "trade" for row in whole.rows) == 50 * sent


# ---- two connections ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["coinbase", "binance-usdm"])
def test_a_recording_of_two_connections_says_what_was_said_live(
    follow: Callable[..., Stage], captures: Path, tmp_path: Path, venue: str  # noqa: F811
) -> None:
    # Numbers that mean the same on both, and none at all: then one leads.
    played = next(one for one in SMALL if one.venue == venue)
    folder, readers = tmp_path / "r", []
    recording: dict[str, object] = {"record.directory": folder, "feedOut.enabled": True, "feedOut.port": 0}
    stage = follow(
        "market-hub venue", [played], connections=2, hub_settings=recording, before_playing=lambda hub: readers.append(Reader(hub))
    )
    golden = {name: len(rows) for name, rows in golden_trades(captures, played).items()}
    stage.listen(lambda: sum(map(len, stage.trades.values())) > sum(golden.values()) / 3, "a third of the trades")
    stage.gates[0].cut_first()
    stage.listen(lambda: all(len(stage.trades.get(name, [])) >= count for name, count in golden.items()), "all trades")
    stage.await_books(golden_books(captures, played))
    reader = readers[0]
    wait_for(lambda: sum(event[0] == "trade" for event in list(reader.events)) >= sum(golden.values()), "the reader has them too")
    reader.close()
    assert stage.hub.stop() == 0
    files = files_of(folder, venue)
    connections = {line[1] for path in files for line in records(path) if line[2] == "R"}
    assert len(connections) == 2
    expect_the_same(reader, captures, played, files)


def expect_the_same(reader: Reader, captures: Path, played: Recording, files: list[Path]) -> None:
    """What is read again is what was said live, event by event."""
    listed = ["--instruments", captures / "instruments" / f"{played.instruments}.json"] if played.instruments else []
    events = events_of(normalize(played.venue, files, "--book-depth", "0", *map(str, listed)).rows, played.venue)
    # What the list of instruments told before anything was heard is no recorded traffic.
    heard = [event for event in reader.events if event[2:] != ("disconnected", "started")]
    for number, (live, again) in enumerate(zip(heard, events, strict=False)):
        assert live == again, f"event {number} of {len(heard)}"
    assert 100 < len(heard) <= len(events)


@pytest.mark.parametrize("venue", ["coinbase", "binance-usdm"])
def test_a_recording_tells_of_quiet_books_and_of_connections_that_were_renewed(
    follow: Callable[..., Stage], captures: Path, tmp_path: Path, venue: str  # noqa: F811
) -> None:
    # Both go by timers, and by settings that a reader of the recording is not given.
    played = next(one for one in SMALL if one.venue == venue)
    folder, readers = tmp_path / "r", []
    recording: dict[str, object] = {
        "record.directory": folder, "record.fileBytesMost": 65_536, "feedOut.enabled": True, "feedOut.port": 0,
    }
    stage = follow(
        "market-hub venue", [played], quietMs=600, connectionLifeSeconds=4, hub_settings=recording,
        before_playing=lambda hub: readers.append(Reader(hub)),
    )
    reader = readers[0]

    def has_happened() -> bool:
        told = [event[2:] for event in list(reader.events) if event[0] == "status"]
        renewals = sum(event["event"] == "venue-renewed" for event in stage.hub.log_events)
        return ("resyncing", "silence") in told and any(state == "stale" for state, *_ in told) and renewals >= 2

    stage.listen(has_happened, "quiet books and two renewals")
    reader.close()
    assert stage.hub.stop() == 0
    files = files_of(folder, venue)
    marks = {line[3] for path in files for line in records(path) if line[2] == "M"}
    assert {"settings\tquietMs=600", "watched", "ended"} <= marks and len(files) > 1
    expect_the_same(reader, captures, played, files)
