"""Ten thousand clients that come and go under ticks: nobody is turned away or cut off, and nothing stays of who has gone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients import wait_for
from hub import Hub
from watching import metrics, resident_bytes

CONNECTIONS = 10_000
PER_SECOND = 500


class Churn:
    def __init__(self, hub: Hub, seconds: int) -> None:
        command = [sys.executable, Path(__file__).parent / "churning.py", hub.listeners["web"], "BTC-USD"]
        command += ["--connections", str(CONNECTIONS), "--seconds", str(seconds), "--per-second", str(PER_SECOND)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stage(self, name: str) -> dict[str, Any]:
        assert self.process.stdout
        said = json.loads(self.process.stdout.readline())
        assert said["stage"] == name
        assert said["faults"] == {}
        return said

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def churn(hub: Hub, seconds: int) -> dict[str, Any]:
    crowd = Churn(hub, seconds)
    try:
        crowd.stage("warm")
        wait_for(lambda: metrics(hub)("market_hub_connections_open") == 0, "all have gone")
        before = resident_bytes(hub)
        crowd.go_on()
        assert crowd.stage("come")["open"] == CONNECTIONS
        assert metrics(hub)("market_hub_connections_open") == CONNECTIONS
        crowd.go_on()
        said = crowd.stage("churned")
        assert said["open"] == CONNECTIONS and said["churned"] > 0.9 * seconds * PER_SECOND
        crowd.stage("gone")
        wait_for(lambda: metrics(hub)("market_hub_connections_open") == 0, "all have gone")
        after = resident_bytes(hub)
        crowd.go_on()
        assert crowd.process.wait(timeout=20) == 0
    finally:
        crowd.process.kill()
        crowd.process.wait()
    assert after < before * 1.05, f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after"
    assert metrics(hub)("market_hub_subscriptions") == 0
    return {**said, "before": before, "after": after}


@pytest.fixture
def crowded(start_hub: Any) -> Iterator[Hub]:
    yield start_hub({"sources.synthetic.eventsPerSecond": 2_000})


def test_ten_thousand_clients_come_and_go_for_a_minute(crowded: Hub) -> None:
    said = churn(crowded, 60)
    # On a machine that two processes share; what it is without that, a benchmark says.
    assert said["p99_ms"] < 500


@pytest.mark.long
def test_ten_thousand_clients_come_and_go_for_ten_minutes(crowded: Hub) -> None:
    said = churn(crowded, 600)
    assert said["p99_ms"] < 500
    print(
        f"churn: {said['churned']} came and went beside {said['open']}, p99 of a ping {said['p99_ms']:.1f} ms, "
        f"resident {said['before'] / 1e6:.1f} MB before, {said['after'] / 1e6:.1f} MB after"
    )
