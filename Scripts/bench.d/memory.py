"""Scripts/bench memory: what an idle connection keeps resident."""

from __future__ import annotations

import argparse
import json
import re
import socket
import ssl
import time
from pathlib import Path

from delivering import certificate, certify
from measuring import BENCH, HUB, build_hub, fail, running, table

UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# Daily candles: a state at once, and then next to nothing.
IDLE_SUBSCRIPTION = b'{"type":"subscribe","channel":"candles","symbol":"BTC-USD","interval":"1d"}'


def memory(options: argparse.Namespace) -> None:
    if options.hub == HUB:
        build_hub("market-hub")
    folder = BENCH / "certificate"
    if not (folder / "server.pem").exists():
        certify(folder)
    rows = []
    for is_tls in (False, True):
        settings = {"listen.port": 0, "admin.port": 0, "sources.synthetic.eventsPerSecond": 1, "hub.pingMs": 600_000}
        settings["hub.silenceMs"] = 3_600_000
        if is_tls:
            settings |= certificate(folder)
        command: list[str | Path] = [options.hub, "serve"]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        with running(command, "hub.log") as (pid, line):
            host, port = json.loads(line)["listeners"]["web"].rsplit(":", 1)
            connections = [idle_connection(host, int(port), is_tls) for _ in range(200)]
            time.sleep(1)
            before, began = resident_kb(pid), time.monotonic()
            connections += [idle_connection(host, int(port), is_tls) for _ in range(options.connections)]
            rate = options.connections / (time.monotonic() - began)
            time.sleep(1)
            each = (resident_kb(pid) - before) / options.connections
            rows.append(["TLS" if is_tls else "plain", f"{options.connections}", f"{each:.2f}", f"{rate:.0f}"])
            for connection in connections:
                connection.close()
    table("Memory of an idle connection", ["connections", "number", "KB each", "opened a second"], rows)


def idle_connection(host: str, port: int, is_tls: bool) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=10)
    if is_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = context.wrap_socket(connection)
    connection.sendall(UPGRADE.format(host=f"{host}:{port}").encode())
    if b" 101 " not in connection.recv(4096):
        fail("the hub does not speak WebSocket")
    connection.sendall(bytes([0x81, 0x80 | len(IDLE_SUBSCRIPTION)]) + bytes(4) + IDLE_SUBSCRIPTION)
    connection.recv(4096)
    return connection


def resident_kb(pid: int) -> int:
    match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    if not match:
        fail(f"process {pid} has no memory")
    return int(match[1])
