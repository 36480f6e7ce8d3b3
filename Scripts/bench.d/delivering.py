"""How a load is put on the hub, or on a reference in its place: trades go in, and what subscribers get is counted."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from measuring import BENCH, CLIENT_CPU, HUB, ROOT, build, build_hub, fail, running

SYMBOL = "BTC-USD"
# One message at a time: the most processor time of the reference for each delivery that the hub may take; and in bursts.
SINGLE_RATIO_MOST, BURST_RATIO_MOST = 1.25, 1.3


@dataclass(frozen=True)
class Load:
    """So many subscribers, told as fast as they get it with at most `window` messages on the way, or `rate` a second.

    It lasts for `seconds`, or for so many `messages`. Where `is_whole`, the next `window` go only when all of those before
    are there: else one goes for each that is there, and who is slower gets shorter bursts.
    """

    subscribers: int
    seconds: float
    window: int = 1
    rate: float = 0
    messages: int = 0
    is_whole: bool = False

    def arguments(self) -> list[object]:
        pace = ["--rate", self.rate] if self.rate else ["--window", self.window]
        length = ["--messages", self.messages] if self.messages else ["--secs", self.seconds]
        return ["-n", self.subscribers, *pace, *length, *(["--whole"] if self.is_whole else [])]


def fanload(load: Load, pid: int, label: str, arguments: list[str], seconds_most: float = 180) -> dict:
    command = ["taskset", "-c", CLIENT_CPU, BENCH / "fanload", *load.arguments()]
    command += ["--pid", pid, "--label", label, *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds_most)
    if done.returncode != 0 or not done.stdout.startswith("{"):
        fail(f"the load generator failed against {label}: {done.stderr.strip() or done.stdout.strip()}")
    result = json.loads(done.stdout)
    if result.get("error") or result["deliveries"] == 0 or result["open"] < load.subscribers:
        fail(f"{label}: {result.get('error') or 'not every subscriber heard something'}: {done.stdout.strip()}")
    return result


# ---- what is said to the hub -----------------------------------------------------------------------------------------


def published(symbol: str) -> tuple[str, str]:
    """A line of the tcp source, up to the trade's id and from there on: the id takes the generator's mark to subscribers."""
    return f'{{"type":"trade","symbol":"{symbol}","price":"50000","quantity":"1","id":"', '"}\\n'


def field(number: int, value: bytes | int) -> bytes:
    """One protobuf field: a short length-delimited one or a small number."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def subscription(channel: str, symbol: str = SYMBOL, is_batch: bool = False) -> str:
    """What a subscriber says, for --sub of the generator; `is_batch` asks for one JSON array a pass."""
    if channel == "legacy":
        batch = ',"batch":true' if is_batch else ""
        return f'text:{{"type":"subscribe","channel":"trades","symbols":["{symbol}"]{batch}}}'
    # ClientFrame { commands: [{ id: 1, subscribe: { channel: TRADES, symbols: [symbol] } }] }, Proto/market_hub.proto.
    subscribe = field(1, 1) + field(5, field(1, 2) + field(2, symbol.encode()))
    return "bin:" + "".join(f"\\x{byte:02x}" for byte in field(1, subscribe))


# ---- the hub ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hub:
    """One that runs, and its addresses."""

    pid: int
    web: str
    tcp: str
    is_tls: bool

    def introduce(self, symbols: list[str]) -> None:
        """Sends one trade of each, and waits until they are known: only then can anyone subscribe to them."""
        host, port = self.tcp.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=30) as feed:
            for symbol in symbols:
                before, after = published(symbol)
                feed.sendall((before + "first" + after.replace("\\n", "\n")).encode())
            deadline = time.monotonic() + 30
            while not self.knows(symbols[-1]):
                if time.monotonic() > deadline:
                    fail(f"the hub does not get to know {symbols[-1]}, see .build/bench/hub.log")
                time.sleep(0.05)

    def knows(self, symbol: str) -> bool:
        scheme = "https" if self.is_tls else "http"
        trust = ssl._create_unverified_context() if self.is_tls else None
        try:
            urllib.request.urlopen(f"{scheme}://{self.web}/api/v1/markets/{symbol}", timeout=30, context=trust).close()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    def publishing(self, symbol: str = SYMBOL) -> list[str]:
        before, after = published(symbol)
        return ["--pub-url", f"tcp://{self.tcp}", "--pub-pre", before, "--pub-post", after, "--size", "25"]

    def subscribing(self, channel: str, said: str) -> list[str]:
        address = f"{'wss' if self.is_tls else 'ws'}://{self.web}/ws"
        if channel == "legacy":
            return ["--sub", said, address]
        return ["--subproto", "market-hub.v2.protobuf", "--sub", said, f"{address}/v2"]


@contextlib.contextmanager
def serving(
    settings: dict[str, object] | None = None, program: list[str | Path] | None = None, seconds_to_end: float = 10
) -> Iterator[Hub]:
    """A hub with its defaults but for ports, source and `settings`; `program` is it, and what runs it before that."""
    settings = {
        "listen.port": 0,
        "admin.port": 0,
        "sources.synthetic.enabled": "false",
        "sources.tcp.enabled": "true",
        "sources.tcp.port": 0,
        **(settings or {}),
    }
    command: list[str | Path] = [*(program or [HUB]), "serve"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    with running(command, "hub.log", seconds_to_end) as (pid, line):
        try:
            listeners = json.loads(line)["listeners"]
            hub = Hub(pid, listeners["web"], listeners["tcp"], "tls.keyFile" in settings)
        except (ValueError, KeyError) as error:
            fail(f"the hub's first line is no ready line with the listeners web and tcp ({error}): {line.strip()}")
        yield hub


def certify(folder: Path) -> None:
    subprocess.run([ROOT / "Scripts" / "dev-certificate", folder], check=True, stdout=subprocess.DEVNULL)


def certificate(folder: Path) -> dict[str, object]:
    """The settings of a hub that serves TLS with what `certify` left in the folder."""
    return {"tls.certificateFile": folder / "server.pem", "tls.keyFile": folder / "server-key.pem"}


# ---- measuring -------------------------------------------------------------------------------------------------------


def prepare(is_built: bool = False) -> None:
    """Builds the hub, unless it is to be measured as it is, and the load generator."""
    if (os.cpu_count() or 1) < 2:
        fail("server and client need a processor each, and there is only one")
    build("fanload", ["fanload/fanload.c"], ["-lpthread", "-lssl", "-lcrypto", "-lz"])
    if not is_built:
        build_hub("market-hub")


def build_rawcast() -> Path:
    return build("rawcast", ["fanload/rawcast.c"], ["-lcrypto"])


def measure_hub(
    load: Load,
    channel: str,
    settings: dict[str, object] | None = None,
    is_batch: bool = False,
    arguments: list[str] | None = None,
) -> dict:
    with serving(settings) as hub:
        hub.introduce([SYMBOL])
        said = hub.subscribing(channel, subscription(channel, is_batch=is_batch))
        return fanload(load, hub.pid, f"hub {channel}", [*(arguments or []), *hub.publishing(), *said])


def measure_reference(load: Load, name: str, command: list[str | Path], message_bytes: int) -> dict:
    """The reference passes on what is published as it is: so the payload has the size of the hub's."""
    with running(command, f"{name}.log") as (pid, line):
        address = f"127.0.0.1:{int(line)}"
        arguments = ["--sub", "text:sub", "--pub-url", f"ws://{address}/pub", "--size", str(message_bytes)]
        return fanload(load, pid, name, [*arguments, f"ws://{address}/ws"])


def message_bytes(result: dict) -> int:
    """How long a message to subscribers was; the generator's mark needs 25."""
    return max(25, round(result["MB_s"] * 1e6 / result["deliveries_s"]))


def in_turn(what: str, rounds: int, contestants: dict[str, Callable[[], dict]]) -> dict[str, list[dict]]:
    """Measures each in each round: what comes later in a list is of the same minutes as what stands there for another."""
    results: dict[str, list[dict]] = {name: [] for name in contestants}
    for number in range(rounds):
        print(f"{what}: round {number + 1} of {rounds}", file=sys.stderr)
        # Each is the first as often as another: a machine may be slower, or faster, after a pause.
        first = number % len(contestants)
        for name in [*contestants][first:] + [*contestants][:first]:
            results[name].append({"load": what, "contestant": name, "round": number, **contestants[name]()})
    return results


def flat(results: dict[str, list[dict]]) -> list[dict]:
    return [result for name in results for result in results[name]]


def cpu(results: list[dict]) -> list[float]:
    """Processor time per delivery in each round, µs."""
    return [result["server"]["us_per_delivery"] for result in results]


def lost(results: list[dict]) -> int:
    return sum(result["lost"] + result["closed"] + result["errors"] for result in results)


def losses(what: str, results: list[dict]) -> list[str]:
    """What was not delivered costs nothing, so figures with a loss do not count."""
    number = lost(results)
    return [f"{what}: {number} messages lost, subscribers closed or errors"] if number else []
