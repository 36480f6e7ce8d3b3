"""Venues as they were recorded, players of them, and a hub that follows them: the stage of the tests of venues."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clients import Enhanced
from hub import PROGRAM, ROOT, Hub
from venue_player import Capture, Fault, VenuePlayer

SECONDS_MOST = 30
FIXTURES = ROOT / "Tests" / "Fixtures"
HISTORIC = 64
STATES = {1: "disconnected", 2: "connected", 3: "live", 4: "resyncing", 5: "stale", 6: "halted"}
REASONS = {3: "checksum", 5: "silence", 6: "connection lost"}


@dataclass(frozen=True)
class Recording:
    """A capture, how to ask the venue for what is in it, and what must come of it."""

    venue: str
    path: str
    instruments: str
    symbols: tuple[str, ...]
    speed: float
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    trades: str = "trades.jsonl.gz"
    fault_line: int = 0
    # What the golden files name their own way, by the hub's names; no trades where `trades` is empty.
    names: dict[str, str] = field(default_factory=dict, hash=False)

    def ours(self, name: str) -> str:
        return self.names.get(name, name)

    @property
    def folder(self) -> str:
        head, _, tail = self.path.rpartition("/")
        return f"{head}/golden-{tail.partition('.')[0]}"


KRAKEN = ("WAVES/EUR", "XMR/USD", "KSM/XBT", "GRT/ETH", "SC/EUR", "ETH/CHF", "OCEAN/XBT", "OMG/USD", "XBT/CHF", "ADA/XBT")
COINBASE = ("SKL-USD", "SKL-BTC", "NMR-EUR", "YFI-BTC", "SKL-GBP")
# The golden file's own names, and the hub's.
DERIBIT_NAMES = {
    "BTC-8000-21U24-put": "BTC-USD-20210924-8000-P",
    "BTC-30000-22H25-call": "BTC-USD-20220325-30000-C",
    "BTC-24000-21N30-put": "BTC-USD-20210730-24000-P",
    "ETH-2800-21N30-call": "ETH-USD-20210730-2800-C",
    "ETH-4000-21Q27-put": "ETH-USD-20210827-4000-P",
}
DERIBIT = ("BTC-24SEP21-8000-P", "BTC-25MAR22-30000-C", "BTC-30JUL21-24000-P", "ETH-30JUL21-2800-C", "ETH-27AUG21-4000-P")
BITSTAMP = ("ethusd", "xrpeur", "usdtusd", "batbtc", "galaeur")
KRAKEN_FUTURES = ("PI_ETHUSD", "PI_XRPUSD", "PI_LTCUSD", "FI_ETHUSD_211231", "FI_XRPUSD_210924")
# Venues whose golden files leave out trades from before the subscription.
WITHOUT_PAST_TRADES = {"kraken-futures", "kraken-v2", "coinbase-advanced", "gemini"}
OWN = {"channels": ["quotes", "book"], "ownChannels": ["aggTrade"]}
SMALL = [
    Recording("coinbase", "coinbase/coinbase-A.cap.gz", "coinbase", COINBASE, 20, fault_line=3_000),
    Recording("binance", "binance/binance-A.cap.gz", "binance", ("NKNUSDT", "BLZETH"), 20, OWN, fault_line=120),
    Recording(
        "binance-usdm",
        "binance_futures/binance_futures-A.cap.gz",
        "binance_futures",
        ("SUSHIUSDT", "AKROUSDT"),
        20,
        fault_line=500,
    ),
    Recording("kraken", "kraken/kraken-A.cap.gz", "kraken", KRAKEN, 20, fault_line=1_200),
    Recording("bitstamp", "bitstamp/bitstamp-A.cap.gz", "bitstamp", BITSTAMP, 10, fault_line=250),
    Recording(
        "deribit",
        "deribit/deribit-A.cap.gz",
        "deribit",
        DERIBIT,
        20,
        {"ownChannels": [f"{kind}.{{instrument_name}}.raw" for kind in ("book", "trades", "ticker")]},
        trades="",
        fault_line=50,
        names=DERIBIT_NAMES,
    ),
    Recording("okx", "okx/okx-A.cap.gz", "okx", ("BTC-USDT", "UNI-USD-SWAP"), 10, fault_line=150),
    Recording(
        "bitmex",
        "bitmex/bitmex-A.cap.gz",
        "bitmex",
        ("XRPU21", "EOSUSDT", "BCHUSD", "MATICUSDT", "XBTUSD"),
        20,
        fault_line=900,
        names={"XRP-BTC-21U24": "XRP-BTC-20210924"},
    ),
    Recording(
        "bybit-v2",
        "bybit/bybit-A.cap.gz",
        "bybit",
        ("EOSUSD", "ETHUSDT", "LINKUSDT", "LTCUSDT", "XTZUSDT"),
        20,
        {"channels": ["trades", "book"]},
        fault_line=1_200,
    ),
    # Made after the venue's pages, see Tests/Fixtures/make_bybit.py.
    Recording(
        "bybit-linear",
        f"{FIXTURES}/bybit-linear.cap",
        "",
        ("BTCUSDT", "ETHUSDT"),
        4,
        trades="trades.jsonl",
        fault_line=200,
    ),
    Recording(
        "kraken-futures",
        "kraken_futures/kraken_futures-A.cap.gz",
        "kraken_futures",
        KRAKEN_FUTURES,
        20,
        fault_line=2_500,
        names={"ETH-USD-21Z31": "ETH-USD-20211231", "XRP-USD-21U24": "XRP-USD-20210924"},
    ),
    Recording(
        "kraken-v2",
        str(FIXTURES / "kraken-v2.cap.gz"),
        str(FIXTURES / "kraken-v2.instruments"),
        ("BTC/USD", "DOGE/USD"),
        20,
        fault_line=200,
    ),
    Recording(
        "coinbase-advanced",
        str(FIXTURES / "coinbase-advanced.cap.gz"),
        str(FIXTURES / "coinbase-advanced.instruments"),
        ("BTC-USD", "DOGE-USD"),
        20,
        fault_line=200,
    ),
    Recording(
        "gemini",
        str(FIXTURES / "gemini.cap.gz"),
        str(FIXTURES / "gemini.instruments"),
        ("BTCUSD", "DOGEUSD"),
        20,
        fault_line=200,
    ),
]
# Made by hand after the venue's documentation.
COIN_MARGINED = Recording(
    "binance-coinm",
    str(FIXTURES / "binance-coinm.cap"),
    str(FIXTURES / "binance-coinm-instruments"),
    ("BTCUSD_PERP", "BTCUSD_240927"),
    1,
    fault_line=12,
)
LARGE = [
    Recording(
        "binance",
        "binance/binance-btcusdt-20240808.cap.gz",
        "binance",
        ("BTCUSDT",),
        60,
        trades="trades_ccxt.jsonl.gz",
    ),
    Recording(
        "binance-usdm",
        "binance_futures/binance_futures-btcusdt-20240808.cap.gz",
        "binance_futures",
        ("BTCUSDT",),
        60,
        {"channels": ["quotes"], "ownChannels": ["depth@0ms", "trade"]},
        trades="trades_ccxt.jsonl.gz",
    ),
]


# ---- the venue's side ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    root: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private authority and a certificate of it for this machine."""
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([ROOT / "Scripts" / "dev-certificate", folder], check=True, stdout=subprocess.DEVNULL)
    return Authority(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")


class Gate:
    """Stands before a port and lets bytes through once it is opened: nothing is played before somebody listens."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._is_open = threading.Event()
        self._joined: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def open(self) -> None:
        self._is_open.set()

    def cut_first(self) -> None:
        """Kills the connection that came first, as a lost line does: without a word."""
        self._joined[0].shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._is_open.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        self._is_open.wait()
        try:
            venue = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        self._joined.append(client)
        threading.Thread(target=self._copy, args=(venue, client), daemon=True).start()
        self._copy(client, venue)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class HubPlayer:
    """`market-hub venue` as a child process."""

    def __init__(self, path: Path, speed: float, authority: Authority, faults: list[Fault]) -> None:
        command = [PROGRAM, "venue", "--capture", path, "--listen", "127.0.0.1:0", "--speed", str(speed)]
        command += ["--certificate", authority.certificate, "--key", authority.key, "--snapshot-delay-ms", "50"]
        for fault in faults:
            command += ["--fault", f"{fault.kind}@{fault.line}"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self) -> HubPlayer:
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        assert ready["event"] == "ready"
        self.port = self.rest_port = int(ready["listeners"]["venue"].rpartition(":")[2])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        output, _ = self._process.communicate(timeout=15)
        assert self._process.returncode == 0
        ended = json.loads(output)
        assert ended["event"] == "ended" and ended["clients"] > 0 and ended["framesPlayed"] > 0
        assert ended["refused"] == 0 and ended["closedByRule"] == 0, ended


def player(kind: str, path: Path, one: Recording, authority: Authority, faults: list[Fault]) -> Any:
    if kind == "market-hub venue":
        return HubPlayer(path, one.speed, authority, faults)
    return VenuePlayer(Capture(one.venue, path), one.speed, authority, faults)


PLAYERS = ["market-hub venue", "independent"]


# ---- the hub's side -----------------------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """A hub that follows played venues, and what a client of it heard."""

    hub: Hub
    client: Enhanced
    players: list[Any]
    gates: list[Gate]
    trades: dict[tuple[str, str], list[tuple[Any, ...]]] = field(default_factory=dict)
    statuses: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def listen(self, is_done: Callable[[], bool], what: str) -> None:
        """Takes what comes until it is enough."""
        deadline = time.monotonic() + SECONDS_MOST
        while not is_done():
            assert time.monotonic() < deadline, f"{what}: not within {SECONDS_MOST} s\n{self.hub.log_end}"
            try:
                pushes = self.client.take(0.1)
            except TimeoutError:
                continue
            # A frame keeps no order between topics, and a status may say that the units change.
            for push in sorted(pushes, key=lambda push: (push.received_ns, not push.HasField("status"))):
                self._take(push)

    def _take(self, push: Any) -> None:
        instrument = self.client.topics[push.topic].instrument
        if push.HasField("status"):
            change = (STATES[push.status.state], REASONS.get(push.status.reason, ""))
            self.statuses.setdefault(f"{instrument.symbol}@{instrument.venue}", []).append(change)
            if push.status.HasField("instrument"):
                self._learn(push.status.instrument)
        elif push.HasField("trade") and not (push.flags & HISTORIC and instrument.venue in WITHOUT_PAST_TRADES):
            trade = push.trade
            row = (
                {1: "buy", 2: "sell"}[trade.aggressor],
                Decimal(trade.price).scaleb(-instrument.price_scale),
                Decimal(trade.quantity).scaleb(-instrument.quantity_scale),
                push.event_ns // 1_000_000,
                trade.id.decode() or None,
            )
            # Golden files name instruments by either name.
            for name in {instrument.symbol, instrument.raw_symbol}:
                self.trades.setdefault((instrument.venue, name), []).append(row)

    def _learn(self, instrument: Any) -> None:
        """Everything behind this is in new units."""
        for topic in self.client.topics.values():
            if topic.instrument.id == instrument.id:
                topic.instrument.CopyFrom(instrument)

    def book(self, symbol: str) -> dict[str, Any]:
        """The hub's whole book now, as the golden files write it."""
        with Enhanced(self.hub) as client:
            topic = client.subscribe("book", symbol, depth=0)[0]
            push = client.until(lambda pushes: any(push.HasField("book_snapshot") for push in pushes), 5)[0]
        book = push.book_snapshot
        scales = (-topic.instrument.price_scale, -topic.instrument.quantity_scale)
        sides = [
            [(Decimal(level.price).scaleb(scales[0]), Decimal(level.quantity).scaleb(scales[1])) for level in levels]
            for levels in (book.bids, book.asks)
        ]
        return {"levels": [len(side) for side in sides], "bids": sides[0][:20], "asks": sides[1][:20]}

    def await_books(self, golden: dict[str, dict[str, Any]]) -> None:
        """Returns when every book is the golden one."""
        wrong = dict(golden)
        looked = [0.0]

        def are_right() -> bool:
            if time.monotonic() - looked[0] < 0.3:
                return False
            for symbol, final in list(wrong.items()):
                live = self.statuses.get(symbol, [("", "")])[-1][0] == "live"
                if live and self.book(symbol) == final:
                    del wrong[symbol]
            looked[0] = time.monotonic()
            return not wrong

        try:
            self.listen(are_right, "the books")
        except AssertionError as failure:
            states = {symbol: self.statuses.get(symbol) for symbol in wrong}
            raise AssertionError(f"wrong or not live: {states}\n{failure}") from None


@pytest.fixture
def follow(
    start_hub: Callable[..., Hub],
    captures: Path,
    authority: Authority,
    tmp_path: Path,
) -> Iterator[Callable[..., Stage]]:
    """Has a hub follow played venues: `follow("independent", [recording], fault="cut")`."""
    with ExitStack() as stack:

        def start(
            kind: str,
            recordings: list[Recording],
            fault: str | None = None,
            hub_settings: dict[str, object] | None = None,
            before_playing: Callable[[Hub], None] = lambda _: None,
            **settings: Any,
        ) -> Stage:
            players, gates, venues = [], [], []
            for one in recordings:
                faults = [Fault(fault, one.fault_line)] if fault else []
                played = stack.enter_context(player(kind, captures / one.path, one, authority, faults))
                gate = Gate(played.port)
                stack.callback(gate.close)
                players.append(played)
                gates.append(gate)
                venues.append(
                    {
                        "venue": one.venue,
                        # By name, so that it is looked up.
                        "url": f"wss://localhost:{gate.port}",
                        "restUrl": f"https://localhost:{played.rest_port}",
                        "caFile": str(authority.root),
                        "symbols": list(one.symbols),
                        "instrumentsFile": str(captures / "instruments" / f"{one.instruments}.json") if one.instruments else "",
                        **one.settings,
                        **settings,
                    }
                )
            file = tmp_path / "hub.json5"
            file.write_text(json.dumps({"sources": {"synthetic": {"enabled": False}, "venues": venues}}))
            hub = start_hub(hub_settings or {}, "--config", str(file))
            before_playing(hub)
            client = Enhanced(hub)
            stack.callback(client.socket.close)
            client.ask(connect={"client": "test_venues", "pass_ms": 10})
            stage = Stage(hub, client, players, gates)
            client.subscribe("trades", "*@*", delivery=1)
            client.subscribe("status", "*@*", delivery=1)
            for gate in gates:
                gate.open()
            return stage

        yield start


def golden_books(captures: Path, one: Recording) -> dict[str, dict[str, Any]]:
    """By the hub's names with the venue: several venues have the same symbol."""
    final = json.loads((captures / one.folder / "book_final.json").read_text())
    return {
        f"{one.ours(symbol)}@{one.venue}": {
            "levels": book["levels"],
            **{side: [(Decimal(price), Decimal(size)) for price, size in book[side]] for side in ("bids", "asks")},
        }
        for symbol, book in final.items()
    }


def golden_trades(captures: Path, one: Recording) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """By venue and instrument: between instruments a pass of the hub keeps no order."""
    golden: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    if not one.trades:
        return golden
    opened = gzip.open if one.trades.endswith(".gz") else open
    with opened(captures / one.folder / one.trades, "rt") as rows:
        for row in map(json.loads, rows):
            name = one.ours(row["symbol"]) if "symbol" in row else row["raw_symbol"]
            event_ms = row["ts_us"] // 1_000 if "ts_us" in row else row["ts_ms"]
            trade = (row["side"], Decimal(row["price"]), Decimal(row["qty"]), event_ms, row["id"])
            golden.setdefault((one.venue, name), []).append(trade)
    return golden
