"""The examples of README.md, run as they stand there, against a hub on another port."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from hub import ROOT, Hub
from watching import get

README = (ROOT / "README.md").read_text(encoding="utf-8")
LISTEN = README.partition("## Listen")[2].partition("\n## ")[0]
ADDRESS = "127.0.0.1:8080"


def example(language: str, containing: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", LISTEN, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if containing in block]
    return found


def lines_of(process: subprocess.Popen[bytes], count: int, seconds: float = 20) -> list[str]:
    """So many lines of its output that hold something, or as many as come in this time."""
    assert process.stdout
    deadline = time.monotonic() + seconds
    data = b""
    while data.count(b"\n") < count and (left := deadline - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], left)[0]:
            part = os.read(process.stdout.fileno(), 65536)
            if not part:
                break
            data += part
    return data.decode().splitlines()


def test_the_python_example_prints_books(hub: Hub, tmp_path: Path) -> None:
    (command,) = re.findall(r"`(protoc [^`]*)`", LISTEN)
    subprocess.run(command.replace("--python_out=.", f"--python_out={tmp_path}").split(), cwd=ROOT, check=True)
    assert ADDRESS in example("python", "ClientFrame")
    (tmp_path / "books.py").write_text(example("python", "ClientFrame").replace(ADDRESS, hub.listeners["web"]))
    process = subprocess.Popen(
        [sys.executable, "-u", "books.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        lines = lines_of(process, 5)
        assert len(lines) >= 5, process.stderr.read().decode() if process.poll() is not None and process.stderr else lines
        assert lines[0].endswith(" book_snapshot")
        assert all(re.fullmatch(r"\d+ book_(snapshot|delta)", line) for line in lines[:5]), lines
    finally:
        process.kill()
        process.communicate()


def test_the_shell_example_is_a_line_client(hub: Hub) -> None:
    (command,) = re.findall(r"^\$ (\S+ ws://.*)$", LISTEN, re.MULTILINE)
    (request,) = re.findall(r"^> (.*)$", LISTEN, re.MULTILINE)
    process = subprocess.Popen(
        command.replace(ADDRESS, hub.listeners["web"]).split(),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TERM": "dumb"},
    )
    assert process.stdin
    try:
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
        shown = "\n".join(lines_of(process, 12))
        assert '{"type":"subscriptions","channels":[{"name":"ticker","symbols":["BTC-USD"]}]}' in shown, shown
        assert '{"type":"ticker","channel":"ticker","symbol":"BTC-USD","data":{"time":"' in shown
    finally:
        process.kill()
        process.communicate()


def test_the_markets_are_listed_as_shown(hub: Hub) -> None:
    (url,) = re.findall(r"^\$ curl -s (\S+)$", LISTEN, re.MULTILINE)
    status, _, body = get(url.replace(ADDRESS, hub.listeners["web"]))
    assert status == 200 and len(json.loads(body)["instruments"]) == 10


def test_the_console_example_prints_ticks(hub: Hub) -> None:
    heard: list[str] = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        page = browser.new_page()
        page.on("console", lambda message: heard.append(message.text) if message.type == "log" else None)
        # Any document of the hub's own origin: the console needs no page of ours.
        page.goto(hub.page_url + "api/v1/markets")
        page.evaluate(f"() => {{ {example('js', 'new WebSocket')} }}")
        deadline = time.monotonic() + 20
        while len({one["symbol"] for text in heard if (one := json.loads(text))["type"] == "marketData"}) < 10:
            assert time.monotonic() < deadline, heard[-3:]
            page.wait_for_timeout(50)
        browser.close()
    assert json.loads(heard[0])["type"] == "subscriptions"
