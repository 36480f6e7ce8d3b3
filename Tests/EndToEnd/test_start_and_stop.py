"""Starting the hub and ending it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable

import pytest

from hub import PROGRAM, Hub, own_environment


def run_hub(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env=own_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_says_where_it_listens(hub: Hub) -> None:
    for name in ("web", "admin"):
        host, port = hub.listeners[name].rsplit(":", 1)
        assert host == "127.0.0.1"
        with socket.create_connection((host, int(port)), timeout=5):
            pass


def test_is_alive_and_becomes_ready(hub: Hub) -> None:
    for path in ("/livez", "/readyz"):
        with urllib.request.urlopen(hub.admin_url + path, timeout=5) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_ends_cleanly(start_hub: Callable[..., Hub], number: signal.Signals) -> None:
    hub = start_hub()
    assert hub.stop(number) == 0, hub.log_end


def test_every_line_of_its_log_is_json(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    hub.stop()
    assert hub.log, "nothing was logged"
    for line in hub.log:
        assert isinstance(json.loads(line), dict), line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "listen.prot=1"], "listen.port"),
        (["--set", "listen.port=many"], "listen.port"),
        (["--config", "absent.json5"], "absent.json5"),
    ],
    ids=["unknown key", "wrong type", "missing file"],
)
def test_a_wrong_setting_is_one_clear_line_and_status_2(arguments: list[str], said: str) -> None:
    done = run_hub("serve", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert said in done.stderr


def test_a_busy_port_is_one_clear_line_and_status_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_hub("serve", "--set", f"listen.port={port}", "--set", "admin.port=0")
    assert done.returncode == 2
    # Beside the log's own lines.
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1, done.stderr
    assert str(port) in said[0]
    assert "in use" in said[0]
