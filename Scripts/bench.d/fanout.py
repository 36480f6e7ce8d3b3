"""Scripts/bench fanout: what a delivery costs, against rawcast and lwsdirect."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import BENCH, CLIENT_CPU, HUB, Spread, build, build_hub, fail, keep, ratios, running, table


@dataclass(frozen=True)
class Load:
    subscribers: int
    window: int
    seconds: float


def fanload(load: Load, pid: int, label: str, arguments: list[str]) -> dict:
    command = ["taskset", "-c", CLIENT_CPU, BENCH / "fanload", "-n", load.subscribers, "--window", load.window]
    command += ["--secs", load.seconds, "--pid", pid, "--label", label, *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=180)
    if done.returncode != 0 or not done.stdout.startswith("{"):
        fail(f"the load generator failed against {label}: {done.stderr.strip() or done.stdout.strip()}")
    result = json.loads(done.stdout)
    if result.get("error") or result["deliveries"] == 0 or result["open"] < load.subscribers:
        fail(f"{label}: {result.get('error') or 'not every subscriber heard something'}: {done.stdout.strip()}")
    return result


PUBLISHED = ('{"type":"trade","symbol":"BTC-USD","price":"50000","quantity":"1","id":"', '"}\\n')
LEGACY_SUBSCRIPTION = '{"type":"subscribe","channel":"trades","symbols":["BTC-USD"]}'


def field(number: int, value: bytes | int) -> bytes:
    """One protobuf field: a short length-delimited one or a small number."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def enhanced_subscription() -> bytes:
    """ClientFrame { commands: [{ id: 1, subscribe: { channel: TRADES, symbols: ["BTC-USD"] } }] }, Proto/market_hub.proto."""
    connect = field(1, 1) + field(2, field(1, b"fanload"))
    subscribe = field(1, 2) + field(5, field(1, 2) + field(2, b"BTC-USD"))
    return field(1, connect) + field(1, subscribe)


def measure_hub(load: Load, channel: str) -> dict:
    options = {
        "listen.port": 0,
        "admin.port": 0,
        "sources.synthetic.enabled": "false",
        "sources.tcp.enabled": "true",
        "sources.tcp.port": 0,
    }
    command: list[str | Path] = [HUB, "serve"]
    for key, value in options.items():
        command += ["--set", f"{key}={value}"]
    with running(command, "hub.log") as (pid, line):
        try:
            listeners = json.loads(line)["listeners"]
            web, tcp = listeners["web"], listeners["tcp"]
        except (ValueError, KeyError) as error:
            fail(f"the hub's first line is no ready line with the listeners web and tcp ({error}): {line.strip()}")
        arguments = ["--pub-url", f"tcp://{tcp}", "--pub-pre", PUBLISHED[0], "--pub-post", PUBLISHED[1], "--size", "25"]
        introduce(tcp)
        if channel == "legacy":
            arguments += ["--sub", f"text:{LEGACY_SUBSCRIPTION}", f"ws://{web}/ws"]
        else:
            arguments += ["--subproto", "market-hub.v2.protobuf", "--sub", f"hex:{enhanced_subscription().hex()}"]
            arguments += [f"ws://{web}/ws/v2"]
        return fanload(load, pid, f"hub {channel}", arguments)


def introduce(tcp: str) -> None:
    """Sends one trade, so that the instrument is known before anyone subscribes to it."""
    host, port = tcp.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as feed:
        feed.sendall((PUBLISHED[0] + "first" + PUBLISHED[1].replace("\\n", "\n")).encode())
        time.sleep(0.3)


def measure_reference(load: Load, name: str, command: list[str | Path], message_bytes: int) -> dict:
    """The reference passes on what is published as it is: so the payload has the size of the hub's."""
    with running(command, f"{name}.log") as (pid, line):
        address = f"127.0.0.1:{int(line)}"
        arguments = ["--sub", "text:sub", "--pub-url", f"ws://{address}/pub", "--size", str(message_bytes)]
        return fanload(load, pid, name, [*arguments, f"ws://{address}/ws"])


def fanout(options: argparse.Namespace) -> None:
    if (os.cpu_count() or 1) < 2:
        fail("server and client need a processor each, and there is only one")
    build("fanload", ["fanload/fanload.c"], ["-lpthread", "-lssl", "-lcrypto", "-lz"])
    rawcast = build("rawcast", ["fanload/rawcast.c"], ["-lcrypto"])
    lwsdirect = build("lwsdirect", ["fanload/lwsdirect.c"], ["-lwebsockets", "-luv", "-lssl", "-lcrypto"])
    build_hub("market-hub")

    records: list[dict] = []
    rows: list[list[str]] = []
    memory: list[list[str]] = []
    for channel in options.channel:
        for subscribers in options.subscribers:
            for window in options.window:
                load = Load(subscribers, window, options.secs)
                raw_mode = "send" if window == 1 else "coalesce"
                what = f"{channel}, {subscribers} subscribers, window {window}"
                # One unmeasured round tells how long the hub's messages are.
                first = measure_hub(Load(subscribers, window, 0.5), channel)
                message_bytes = max(25, round(first["MB_s"] * 1e6 / first["deliveries_s"]))
                contestants: dict[str, Callable[[], dict]] = {
                    "hub": lambda: measure_hub(load, channel),
                    "rawcast": lambda: measure_reference(load, "rawcast", [rawcast, "0", raw_mode], message_bytes),
                    "lwsdirect": lambda: measure_reference(load, "lwsdirect", [lwsdirect, "0", "uv"], message_bytes),
                }
                results: dict[str, list[dict]] = {name: [] for name in contestants}
                for number in range(options.rounds):
                    print(f"{what}: round {number + 1} of {options.rounds}", file=sys.stderr)
                    for name, measure in contestants.items():
                        result = measure()
                        results[name].append(result)
                        records.append({"channel": channel, "window": window, "round": number, **result})
                cpu = {name: [result["server"]["us_per_delivery"] for result in results[name]] for name in results}
                rss = {name: [result["server"]["rss_per_conn_kb"] for result in results[name]] for name in results}
                lost = sum(result["lost"] + result["closed"] for result in results["hub"])
                rows.append(
                    [what, f"{message_bytes}"]
                    + [str(Spread.of(cpu[name])) for name in contestants]
                    + [str(ratios(cpu["hub"], cpu["rawcast"])), str(ratios(cpu["hub"], cpu["lwsdirect"])), str(lost)]
                )
                memory.append([what] + [f"{Spread.of(rss[name]).median:.1f}" for name in contestants])
    table(
        "Processor time per delivery, µs, median [interquartile range / median]",
        ["load", "bytes", "hub", "rawcast", "lwsdirect", "hub / rawcast", "hub / lwsdirect", "lost"],
        rows,
    )
    table("Memory per connection while delivering, KB", ["load", "hub", "rawcast", "lwsdirect"], memory)
    keep("fanout", records)
    if any(row[-1] != "0" for row in rows):
        fail("messages were lost or subscribers closed: what was not delivered costs nothing, so the figures do not count")
