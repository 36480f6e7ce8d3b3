"""Venues out of their minds: what they send is bounded, named in the log, and costs nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from clients import Enhanced
from hub import Hub

SECONDS_MOST = 30


class MadVenue:
    """A plain WebSocket server that says what it is told to, to whoever connects, without end."""

    def __init__(self, say: Callable[[Any], None]) -> None:
        self.connections = 0

        def serve_one(connection: Any) -> None:
            self.connections += 1
            with contextlib.suppress(ConnectionClosed):
                say(connection)

        self._server = serve(serve_one, "127.0.0.1", 0, compression=None, max_size=None)
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> MadVenue:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()


def endless_message(connection: Any) -> None:
    def parts() -> Iterator[str]:
        yield '{"type":"snapshot","product_id":"A-USD","bids":['
        for _ in range(2_000):
            yield '["1.5","2.5"],' * 4_000

    connection.send(parts())


def new_instruments(connection: Any) -> None:
    for number in range(10_000):
        connection.send(json.dumps({"type": "snapshot", "product_id": f"N{number}-USD", "bids": [], "asks": []}))
    connection.recv()


def nonsense(connection: Any) -> None:
    for _ in range(20_000):
        connection.send("[[[[")
    connection.recv()


@pytest.mark.parametrize(
    ("say", "event", "words"),
    [
        (endless_message, "venue-connection-lost", "too long"),
        (new_instruments, "venue-cut-off", "too many instruments"),
        (nonsense, "venue-cut-off", "byte 0x5B cannot stand"),
    ],
    ids=["a message of 100 MB", "ten thousand new instruments", "nothing but nonsense"],
)
def test_a_venue_out_of_its_mind_is_cut_off_with_a_word_and_costs_nobody_else(
    start_hub: Callable[..., Hub], tmp_path: Path, say: Callable[[Any], None], event: str, words: str
) -> None:
    with MadVenue(say) as venue:
        settings = {"venue": "coinbase", "url": f"ws://127.0.0.1:{venue.port}", "symbols": ["A-USD"], "channels": ["book"]}
        file = tmp_path / "hub.json5"
        file.write_text(json.dumps({"sources": {"venues": [settings]}}))
        hub = start_hub({}, "--config", str(file))
        before = resident_bytes(hub)
        deadline = time.monotonic() + SECONDS_MOST
        while not any(one["event"] == event and words in json.dumps(one) for one in hub.log_events):
            assert time.monotonic() < deadline, hub.log_end
            time.sleep(0.05)
        assert resident_bytes(hub) - before < 128 << 20
        lines = [one for one in hub.log_events if one["event"] == "venue-bad-frame"]
        assert len(lines) <= 100, "the log is flooded"
        # The synthetic exchange goes on for everybody.
        with Enhanced(hub) as client:
            client.subscribe("trades", "*@synthetic")
            client.until(lambda pushes: len(pushes) >= 5, SECONDS_MOST)


def resident_bytes(hub: Hub) -> int:
    return int(Path(f"/proc/{hub.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
