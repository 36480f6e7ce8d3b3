"""Recorders and replays as child processes, and what `market-hub normalize` makes of their files."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clients import Enhanced, wait_for
from hub import PROGRAM, ROOT, Hub, own_environment
from watching import metrics

SECONDS_MOST = 40


# ---- what is read back --------------------------------------------------------------------------------------------------------


@dataclass
class Normalized:
    """What `market-hub normalize` makes of recordings."""

    output: bytes
    complaints: str
    status: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]


def normalize(venue: str, files: list[Path], *arguments: str) -> Normalized:
    command = [PROGRAM, "normalize", "--venue", venue, *arguments, *files]
    done = subprocess.run(command, capture_output=True, timeout=120)
    return Normalized(done.stdout, done.stderr.decode(), done.returncode)


def files_of(folder: Path, source: str) -> list[Path]:
    return sorted(folder.glob(f"{source}-*.cap.gz"))


def records(path: Path) -> list[list[str]]:
    """Lines of a whole recording, by software that knows nothing of blocks."""
    return [line.split("\t", 3) for line in gzip.open(path, "rt", encoding="utf-8", newline="\n").read().splitlines()]


def data_frames(path: Path) -> int:
    return sum(1 for record in records(path) if record[2] == "R")


# ---- the recording hub --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    root: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([ROOT / "Scripts" / "dev-certificate", folder], check=True, stdout=subprocess.DEVNULL)
    return Authority(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")


class Process:
    """`market-hub` with a ready line; its log is kept."""

    def __init__(self, *arguments: object, prefix: tuple[str, ...] = ()) -> None:
        command = [*prefix, str(PROGRAM), *map(str, arguments)]
        self.log_file = open(os.path.join(os.environ.get("TMPDIR", "/tmp"), f"hub-log-{os.getpid()}-{id(self)}"), "w+")
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log_file, text=True, env=own_environment()
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"not ready: {self.log}"
        self.listeners = json.loads(line)["listeners"]

    @property
    def log(self) -> str:
        self.log_file.flush()
        return Path(self.log_file.name).read_text()

    @property
    def admin_url(self) -> str:
        return f"http://{self.listeners['admin']}"

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log.splitlines()
        return [event for event in (json.loads(line) for line in lines if line.startswith("{")) if event["event"] == name]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self.log_file.closed:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(15)
        log = self.log
        self.log_file.close()
        os.unlink(self.log_file.name)
        assert status in (0, -9), log


@dataclass(frozen=True)
class Played:
    venue: str
    path: str
    symbols: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...] = ()


KRAKEN = Played(
    "kraken",
    "kraken/kraken-A.cap.gz",
    ("WAVES/EUR", "XMR/USD", "KSM/XBT", "GRT/ETH", "SC/EUR", "ETH/CHF", "OCEAN/XBT", "OMG/USD", "XBT/CHF", "ADA/XBT"),
)
COINBASE = Played("coinbase", "coinbase/coinbase-A.cap.gz", ("SKL-USD", "SKL-BTC", "NMR-EUR", "YFI-BTC", "SKL-GBP"))
OWN = (("channels", ["quotes", "book"]), ("ownChannels", ["aggTrade"]))
BINANCE = Played("binance", "binance/binance-A.cap.gz", ("NKNUSDT", "BLZETH"), OWN)
USDM = Played("binance-usdm", "binance_futures/binance_futures-A.cap.gz", ("SUSHIUSDT", "AKROUSDT"), OWN)


@pytest.fixture
def play(captures: Path, authority: Authority, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Plays venues over TLS; gives a configuration that follows them: `play([KRAKEN], speed=20)`."""
    with ExitStack() as stack:

        def start(venues: list[Played], speed: float = 20, **settings: Any) -> Path:
            followed = []
            for one in venues:
                arguments = ["--capture", captures / one.path, "--listen", "127.0.0.1:0", "--speed", speed]
                arguments += ["--certificate", authority.certificate, "--key", authority.key]
                player = Process("venue", *arguments)
                stack.callback(player.stop)
                address = "localhost:" + player.listeners["venue"].rpartition(":")[2]
                followed.append(
                    {
                        "venue": one.venue,
                        "url": f"wss://{address}",
                        "restUrl": f"https://{address}",
                        "caFile": str(authority.root),
                        "symbols": list(one.symbols),
                        **dict(one.settings),
                    }
                )
            file = tmp_path / "hub.json5"
            sources = {"synthetic": {"enabled": False}, "venues": followed}
            file.write_text(json.dumps({"sources": sources, **settings}))
            return file

        yield start


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    with ExitStack() as stack:

        def start(configuration: Path | None, folder: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> Process:
            options: list[object] = ["--directory", folder, "--set", "admin.port=0", *arguments]
            if configuration:
                options += ["--config", configuration]
            process = Process("record", *options, prefix=prefix)
            stack.callback(process.stop)
            return process

        yield start


def number(hub: Any, name: str, **labels: str) -> float:
    return metrics(hub)(name, **labels)


def await_frames(process: Any, source: str, count: int) -> None:
    name = "market_hub_recorder_records_total"
    wait_for(lambda: number(process, name, source=source) >= count, f"{count} records of {source}", SECONDS_MOST)


def await_silence(process: Any, source: str, seconds: float = 2.5) -> None:
    """Returns when nothing new was recorded for a while: Kraken's heartbeats come about every second."""
    deadline = time.monotonic() + SECONDS_MOST
    name, last, since = "market_hub_recorder_written_bytes_total", -1.0, time.monotonic()
    while time.monotonic() - since < seconds:
        assert time.monotonic() < deadline, "it does not end"
        now = number(process, name, source=source)
        # Heartbeats are small blocks.
        if now > last + 400:
            last, since = now, time.monotonic()
        time.sleep(0.1)


# ---- our own feed, and replays ------------------------------------------------------------------------------------------------


class Line:
    """A publisher of our own TCP feed."""

    def __init__(self, process: Any) -> None:
        host, _, port = process.listeners["tcp"].rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.count = 0

    def send(self, count: int = 1, pad: int = 0) -> None:
        lines = []
        for _ in range(count):
            self.count += 1
            filler = os.urandom(pad // 2).hex()
            lines.append(f'{{"type":"trade","symbol":"A-B","price":"1.00","quantity":"1","id":{self.count},"x":"{filler}"}}\n')
        self.socket.sendall("".join(lines).encode())


TCP = ("--set", "sources.tcp.enabled=true", "--set", "sources.tcp.port=0")


def trade_ids(normalized: Normalized) -> list[int]:
    return [int(row["id"]) for row in normalized.rows if row["type"] == "trade"]


class Replay(Hub):
    """`market-hub replay` where a test expects a hub."""

    def __init__(self, *arguments: object) -> None:
        super().__init__()
        self._process_of = Process("replay", *arguments, "--set", "listen.port=0", "--set", "admin.port=0")
        self.listeners = dict(self._process_of.listeners)

    @property
    def process(self) -> Process:
        return self._process_of


@pytest.fixture
def replay() -> Iterator[Callable[..., Replay]]:
    with ExitStack() as stack:

        def start(*arguments: object) -> Replay:
            hub = Replay(*arguments)
            stack.callback(hub.process.stop)
            return hub

        yield start


def crc32(row: dict[str, Any], price_scale: int, quantity_scale: int) -> int:
    """The checksum of the protocol: asks then bids, ten of each, price then quantity, as digits."""
    text = ""
    for side in ("asks", "bids"):
        for price, quantity in row[side][:10]:
            text += f"{int(Decimal(price).scaleb(price_scale))}{int(Decimal(quantity).scaleb(quantity_scale))}"
    return zlib.crc32(text.encode())


def time_text(ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 1_000_000_000)) + f".{ns % 1_000_000_000:09d}Z"


def check_books(hub: Hub, rows: list[dict[str, Any]], point: int) -> None:
    """The hub's books are those that the rows had at a time, by their checksums."""
    then: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["type"] == "book" and row["received_ns"] < point:
            then[row["symbol"]] = row
    assert len(then) == 5
    for symbol, row in then.items():
        with Enhanced(hub) as client:
            topic = client.subscribe("book", symbol, depth=10)[0]
            pushes = client.until(lambda pushes: any(push.HasField("book_snapshot") for push in pushes), 5)
        book = next(push.book_snapshot for push in pushes if push.HasField("book_snapshot"))
        wanted = crc32(row, topic.instrument.price_scale, topic.instrument.quantity_scale)
        assert book.crc32 == wanted, symbol
