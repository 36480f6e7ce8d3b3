"""Scripts/bench ping: how long one client waits for an answer while thousands are told something."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import time

from fanout import LEGACY_SUBSCRIPTION, PUBLISHED, introduce
from measuring import BENCH, CLIENT_CPU, HUB, build, build_hub, fail, running, table
from memory import UPGRADE

# The bar: so much more than without load.
MORE_MS_MOST = 2.0


def ping(options: argparse.Namespace) -> None:
    build("fanload", ["fanload/fanload.c"], ["-lpthread", "-lssl", "-lcrypto", "-lz"])
    if not options.as_built:
        build_hub("market-hub")
    os.sched_setaffinity(0, {int(CLIENT_CPU)})
    settings = {"listen.port": 0, "admin.port": 0, "sources.synthetic.enabled": "false"}
    settings |= {"sources.tcp.enabled": "true", "sources.tcp.port": 0, "hub.requestsPerSecondMost": 100_000}
    settings["hub.requestsBurstMost"] = 100_000
    command = [HUB, "serve", *(part for key, value in settings.items() for part in ("--set", f"{key}={value}"))]
    with running(command, "hub.log") as (pid, line):
        listeners = json.loads(line)["listeners"]
        introduce(listeners["tcp"])
        host, port = listeners["web"].rsplit(":", 1)
        with socket.create_connection((host, int(port))) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(UPGRADE.format(host=listeners["web"]).encode())
            if b" 101 " not in client.recv(4096):
                fail("the hub does not speak WebSocket")
            alone = round_trips(client, options.seconds)
            load = subprocess.Popen(
                [
                    "taskset", "-c", CLIENT_CPU, BENCH / "fanload", "-n", str(options.subscribers), "--rate", str(options.rate),
                    "--warm", "1", "--secs", str(options.seconds + 2), "--pid", str(pid), "--size", "25",
                    "--pub-url", f"tcp://{listeners['tcp']}", "--pub-pre", PUBLISHED[0], "--pub-post", PUBLISHED[1],
                    "--sub", f"text:{LEGACY_SUBSCRIPTION}", f"ws://{listeners['web']}/ws",
                ],
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            # Until all have come and are told something.
            time.sleep(options.subscribers / 1500 + 2)
            loaded = round_trips(client, options.seconds)
            said = json.loads(load.communicate(timeout=120)[0])
    rows = [row("alone", alone), row(f"beside {options.subscribers} at {options.rate:g} messages a second", loaded)]
    table("Round trip of a ping, ms", ["load", "pings", "p50", "p99", "longest"], rows)
    print(f"\n{said['deliveries_s']:.0f} deliveries a second, {said['lost']} lost")
    more = percentile(loaded, 0.99) - percentile(alone, 0.99)
    print(f"p99 is {more:.2f} ms more than alone; the bar is {MORE_MS_MOST} ms")
    if more > MORE_MS_MOST:
        fail("a ping waits too long")


def round_trips(client: socket.socket, seconds: float) -> list[float]:
    """In ms; one ping every ten milliseconds, which is no multiple of anything that the load does."""
    question = b'{"type":"ping"}'
    frame = bytes([0x81, 0x80 | len(question)]) + bytes(4) + question
    times = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        begun = time.perf_counter()
        client.sendall(frame)
        client.recv(4096)
        times.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.01)
    return sorted(times)


def percentile(times: list[float], part: float) -> float:
    return times[int(len(times) * part)]


def row(name: str, times: list[float]) -> list[str]:
    figures = [percentile(times, 0.5), percentile(times, 0.99), times[-1]]
    return [name, str(len(times)), *(f"{figure:.3f}" for figure in figures)]
