"""Scripts/bench ping: how long one client waits for an answer while thousands are told something."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from delivering import SYMBOL, Hub, Load, losses, prepare, serving, subscription
from measuring import BENCH, CLIENT_CPU, Bar, Spread, fail, judge, keep, table
from memory import UPGRADE

# The bar: so much more than without load.
MORE_MS_MOST = 2.0


def ping(options: argparse.Namespace) -> None:
    prepare(options.as_built)
    answer_at_once()
    settings = {"hub.requestsPerSecondMost": 100_000, "hub.requestsBurstMost": 100_000}
    # The load begins before the pings do and ends after them.
    load = Load(options.subscribers, options.seconds + 2, rate=options.rate)
    with serving(settings) as hub:
        hub.introduce([SYMBOL])
        host, port = hub.web.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(UPGRADE.format(host=hub.web).encode())
            if b" 101 " not in client.recv(4096):
                fail("the hub does not speak WebSocket")
            alone = round_trips(client, options.seconds)
            with loading(load, hub) as said:
                loaded = round_trips(client, options.seconds)
    rows = [row("alone", alone), row(f"beside {options.subscribers} at {options.rate:g} messages a second", loaded)]
    table("Round trip of a ping, ms", ["load", "pings", "p50", "p99", "longest"], rows)
    print(f"\n{said['deliveries_s']:.0f} deliveries a second")
    more = percentile(loaded, 0.99) - percentile(alone, 0.99)
    keep("ping", [{"more_ms": more, "alone_ms": alone, "loaded_ms": loaded, **said}])
    bar = Bar("p99 beside the load less p99 alone, ms", Spread(more, 0), MORE_MS_MOST)
    judge([bar], losses("the load", [said]))


def answer_at_once() -> None:
    """The generator has the same processor: without precedence a ping's time would be that of waiting for it."""
    os.sched_setaffinity(0, {int(CLIENT_CPU)})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        print("bench: may not take precedence: the times hold what the client waits for the generator", file=sys.stderr)


@contextlib.contextmanager
def loading(load: Load, hub: Hub) -> Iterator[dict]:
    """Goes on when trades are told to all; what the generator says in the end is in the answer afterwards."""
    command = ["taskset", "-c", CLIENT_CPU, BENCH / "fanload", "-v", *load.arguments(), "--pid", hub.pid]
    command += [*hub.publishing(), *hub.subscribing("legacy", subscription("legacy"))]
    generator = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert generator.stderr is not None
        heard = ""
        while (line := generator.stderr.readline()) != "measuring\n":
            heard += line
            if not line:
                fail(f"the load generator failed: {heard.strip()}")
        said: dict = {}
        yield said
        said |= json.loads(generator.communicate(timeout=120)[0])
    finally:
        generator.kill()
        generator.wait()


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
