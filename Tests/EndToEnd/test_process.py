"""The hub as a process: signals, reloading, usage errors, limits, systemd, the admin listener, static files."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clients import Enhanced, Legacy, wait_for
from hub import PROGRAM, ROOT, Hub, own_environment
from raw import RawSocket
from watching import get, metrics

StartHub = Callable[..., Hub]


def run(*arguments: str, environment: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env={**own_environment(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=30,
        **({"stdin": subprocess.DEVNULL} if "input" not in options else {}),
        **options,
    )


# ---- signals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_clients_are_told_when_to_come_back_when_the_hub_ends(start_hub: StartHub, number: signal.Signals) -> None:
    hub = start_hub({"transport.ioLoops": 2})
    clients = [Legacy(hub), Legacy(hub), Enhanced(hub), Enhanced(hub)]
    for client in clients:
        if isinstance(client, Enhanced):
            client.subscribe("book", "*")
        else:
            client.ask({"type": "subscribe", "symbol": "*"}, "subscriptions")
    begun = time.monotonic()
    assert hub.stop(number) == 0, hub.log_end
    assert time.monotonic() - begun < 5
    pauses = [pause_told_by(client) for client in clients]
    # Two loops, each of which spreads its clients over five seconds.
    assert all(0 < pause <= 5_000 for pause in pauses) and len(set(pauses)) >= 2, pauses
    assert [client.close_code() for client in clients] == [3001] * 4
    for client in clients:
        client.close()
    assert [event["event"] for event in hub.log_events][-2:] == ["stopping", "stopped"]


def test_a_client_that_never_says_goodbye_does_not_keep_the_hub(start_hub: StartHub) -> None:
    hub = start_hub()
    with RawSocket(hub) as silent, RawSocket(hub) as young:
        assert silent.upgrade("/ws")[0] == 101
        young.send(b"GET /ws")
        begun = time.monotonic()
        assert hub.stop() == 0
        assert time.monotonic() - begun < 10


def test_a_crash_ends_the_process_at_once() -> None:
    # Not by the fixture, which wants an orderly end. Without Swift's own catcher, which prints a trace and takes the signal
    # of a stranger for a fault that will come again: neither libuv nor libwebsockets may catch it.
    hub = Hub(environment={"SWIFT_BACKTRACE": "enable=no"})
    hub.start()
    begun = time.monotonic()
    hub.send(signal.SIGSEGV)
    assert hub._process.wait(timeout=5) == -signal.SIGSEGV
    assert time.monotonic() - begun < 1, "the process outlived its crash"


def pause_told_by(client: Legacy | Enhanced) -> int:
    """What the hub's last frame says, in milliseconds."""
    if isinstance(client, Legacy):
        frame = client.until_type("disconnect")
        assert frame["code"] == 3001
        return int(frame["reconnectAfterMs"])
    while not (told := client.frame()).HasField("disconnect"):
        pass
    assert told.disconnect.code == 3001
    return int(told.disconnect.reconnect_after_ms)


# ---- reloading ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def configured(start_hub: StartHub, tmp_path: Path) -> tuple[Hub, Callable[[str], dict[str, Any]]]:
    """A hub with a file of its own, and what writes that file anew and has it read."""
    file = tmp_path / "hub.json5"
    file.write_text("{}")
    hub = start_hub({}, "--config", str(file))

    def reload(text: str) -> dict[str, Any]:
        file.write_text(text)
        before = sum(event["event"] in ("reloaded", "reload-failed") for event in hub.log_events)
        hub.send(signal.SIGHUP)

        def answers() -> list[dict[str, Any]]:
            return [event for event in hub.log_events if event["event"] in ("reloaded", "reload-failed")][before:]

        return wait_for(answers, "the hub's word on the new configuration")[0]

    return hub, reload


def test_sighup_takes_over_what_can_be_and_names_what_cannot(configured: Any) -> None:
    hub, reload = configured
    said = reload("{ logging: { level: 'debug' }, hub: { subscriptionsMost: 3 }, listen: { connectionsMost: 77 } }")
    assert said["event"] == "reloaded"
    assert sorted(said["changed"]) == ["hub.subscriptionsMost", "logging.level"]
    assert said["needsRestart"] == ["listen.connectionsMost"]
    with Enhanced(hub) as client:
        wait_for(lambda: any(event["level"] == "debug" for event in hub.log_events), "a line of the new level")
        assert client.ask(connect={}).connect.limits.subscriptions_most == 3
        results = client.ask(subscribe={"channel": 1, "symbols": ["*"]}).subscribe.results
        assert sum(result.HasField("topic") for result in results) == 3


def test_sighup_lets_new_origins_in(configured: Any) -> None:
    hub, reload = configured
    with RawSocket(hub) as peer:
        assert peer.upgrade("/ws", Origin="https://friend.example")[0] == 403
    assert reload("{ listen: { origins: ['https://friend.example'] } }")["changed"] == ["listen.origins"]

    def is_let_in() -> bool:
        with RawSocket(hub) as peer:
            return peer.upgrade("/ws", Origin="https://friend.example")[0] == 101

    wait_for(is_let_in, "the new origin is let in")


def test_a_wrong_new_configuration_changes_nothing(configured: Any) -> None:
    hub, reload = configured
    said = reload("{ hub: { subscriptionsMist: 3 } }")
    assert said["event"] == "reload-failed" and "subscriptionsMost" in said["problem"], said
    with Enhanced(hub) as client:
        assert client.ask(connect={}).connect.limits.subscriptions_most == 10_000
    assert reload("{ hub: { subscriptionsMost: 4 } }")["event"] == "reloaded"


# ---- usage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["serve", "--set", "hub.pingms=1"], {}, "hub.pingMs"),
        (["serve", "--set", "hub.pingMs=fast"], {}, "hub.pingMs"),
        (["serve", "--set", "hub.pingMs=1"], {}, "100"),
        (["serve", "--set", "hub.pingMs"], {}, "="),
        (["serve", "--set", "sources.capture.files=absent.cap.gz", "--set", "sources.capture.venue=kraken"], {}, "absent.cap.gz"),
        (["serve", "--set", "tls.certificateFile=absent.pem", "--set", "tls.keyFile=README.md"], {}, "absent.pem"),
        (["serve", "--set", "web.root=absent"], {}, "absent"),
        (["serve", "--set", "listen.host=192.0.2.1", "--set", "listen.port=0"], {}, "192.0.2.1"),
        (["serve", "--set", "listen.host=localhost", "--set", "listen.port=0"], {}, "listen.host"),
        (["serve"], {"MARKET_HUB_LISTEN_PROT": "1"}, "MARKET_HUB_LISTEN_PORT"),
        (["serve"], {"MARKET_HUB_LISTEN_PORT": "many"}, "MARKET_HUB_LISTEN_PORT"),
        (["serve", "--confg", "x"], {}, "--config"),
        (["serve", "now"], {}, "now"),
        (["sevre"], {}, "serve"),
        (["config", "chekc"], {}, "config check"),
        ([], {}, "help"),
        (["normalize", "x"], {}, "--venue"),
        (["normalize", "--venue", "nowhere", "x"], {}, "nowhere"),
        (["normalize", "--venue", "kraken", "absent.gz"], {}, "absent.gz"),
        (["help", "sevre"], {}, "sevre"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_is_one_clear_line_and_status_2(
    arguments: list[str], environment: dict[str, str], said: str
) -> None:
    done = run(*arguments, environment=environment)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("market-hub: ") and said in lines[0], lines[0]


@pytest.mark.parametrize("key", ["admin.port", "sources.tcp.port"])
def test_any_busy_port_is_one_clear_line_and_status_2(key: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"listen.port": 0, "admin.port": 0, "sources.tcp.port": 0, key: port}
        done = run("serve", "--set", "sources.tcp.enabled=true", *[word for name, value in ports.items() for word in ("--set", f"{name}={value}")])
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1 and str(port) in lines[0] and "in use" in lines[0], done.stderr


COMMANDS = [[], ["serve"], ["normalize"], ["venue"], ["config"], ["config", "check"], ["config", "print"], ["config", "schema"], ["version"], ["help"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "no command")
def test_every_command_explains_itself(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert "market-hub" in done.stdout and len(done.stdout.splitlines()) >= 3
    if command and command != ["help"]:
        assert run("help", *command).stdout == done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 120


def test_the_version_is_told() -> None:
    done = run("version")
    assert done.returncode == 0 and re.fullmatch(r"market-hub \d+\.\d+\.\d+\n", done.stdout)
    assert run("--version").stdout == done.stdout


def test_the_printed_configuration_can_be_read_back(tmp_path: Path) -> None:
    printed = run("config", "print", "--set", "listen.port=9000", environment={"MARKET_HUB_HUB_PING_MS": "5000"})
    assert printed.returncode == 0
    file = tmp_path / "printed.json5"
    file.write_text(printed.stdout)
    assert run("config", "check", "--config", str(file)).returncode == 0
    again = run("config", "print", "--config", str(file)).stdout
    for word in ("port: 9000", "pingMs: 5000"):
        assert word in printed.stdout and word in again


def test_the_schema_is_json() -> None:
    schema = json.loads(run("config", "schema").stdout)
    assert schema["properties"]["listen"]["properties"]["port"]["default"] == 8080


# ---- normalize ----------------------------------------------------------------------------------------------------------


def test_normalize_reads_a_pipe(captures: Path) -> None:
    file = captures / "kraken" / "kraken-A.cap.gz"
    from_file = run("normalize", "--venue", "kraken", "--emit", "trades", str(file))
    assert from_file.returncode == 0
    rows = [json.loads(line) for line in from_file.stdout.splitlines()]
    golden = gzip.decompress((captures / "kraken" / "golden-kraken-A" / "trades.jsonl.gz").read_bytes()).splitlines()
    assert len(rows) == len(golden)
    piped = run("normalize", "--venue", "kraken", "--emit", "trades", "/dev/stdin", input=gzip.decompress(file.read_bytes()).decode())
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout == from_file.stdout


def test_normalize_ends_quietly_when_nobody_reads_on(captures: Path) -> None:
    command = f"{PROGRAM} normalize --venue kraken {captures / 'kraken' / 'kraken-A.cap.gz'} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


# ---- limits -------------------------------------------------------------------------------------------------------------


@pytest.mark.settings({"listen.connectionsMost": 3})
def test_connections_above_the_most_are_answered_503(hub: Hub) -> None:
    # The admin listener shares the bound: its connections of this test are closed again.
    wait_for(lambda: metrics(hub)("market_hub_connections_open") == 0, "nobody is there")
    clients = [Legacy(hub) for _ in range(3)]
    try:
        with RawSocket(hub) as peer:
            status, header, _ = peer.upgrade("/ws")
            assert status == 503 and "retry-after: 5" in header.lower()
        with RawSocket(hub) as peer:
            assert peer.ask("/")[0] == 503
        for client in clients:
            client.pong(1)
    finally:
        clients.pop().close()

    def is_let_in() -> bool:
        with RawSocket(hub) as peer:
            return peer.upgrade("/ws")[0] == 101

    wait_for(is_let_in, "one that comes when another has gone is let in")
    for client in clients:
        client.pong(2)
        client.close()
    wait_for(
        lambda: metrics(hub)("market_hub_connections_refused_total", reason="too_many_connections") >= 2, "counted"
    )


def test_the_log_tells_how_many_connections_there_may_be(hub: Hub) -> None:
    said = next(event for event in hub.log_events if event["event"] == "descriptor-limit")
    assert 0 < said["connectionsMost"] < said["descriptors"]


# ---- systemd ------------------------------------------------------------------------------------------------------------


class NotifySocket:
    """What systemd would listen on."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(0.1)
        self.lines: list[str] = []
        self.is_done = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        while not self.is_done.is_set():
            try:
                self.lines += self.socket.recv(4096).decode().splitlines()
            except TimeoutError:
                pass

    def close(self) -> None:
        self.is_done.set()
        self.thread.join()
        self.socket.close()


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NotifySocket]:
    address = str(tmp_path / "notify") if request.param == "file" else f"@market-hub-test-{os.getpid()}"
    one = NotifySocket(address)
    yield one
    one.close()


def test_systemd_is_told_of_the_start_of_life_and_of_the_end(start_hub: StartHub, systemd: NotifySocket) -> None:
    hub = start_hub(environment={"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "400000"})
    wait_for(lambda: "READY=1" in systemd.lines, "READY=1")
    wait_for(lambda: systemd.lines.count("WATCHDOG=1") >= 3, "three signs of life")
    hub.send(signal.SIGHUP)
    wait_for(lambda: systemd.lines.count("READY=1") == 2, "READY=1 after the reload")
    # Type=notify-reload wants the time of the reload with it.
    assert any(line.startswith("RELOADING=1") for line in systemd.lines)
    assert hub.stop() == 0
    wait_for(lambda: "STOPPING=1" in systemd.lines, "STOPPING=1")


# ---- the admin listener -------------------------------------------------------------------------------------------------


def test_health_is_told_with_and_without_details(hub: Hub) -> None:
    wait_for(lambda: get(hub.admin_url + "/readyz")[0] == 200, "ready")
    assert get(hub.admin_url + "/livez")[2] == b"livez check passed\n"
    assert get(hub.admin_url + "/readyz")[2] == b"readyz check passed\n"
    lines = get(hub.admin_url + "/readyz?verbose")[2].decode().splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        "[+] thread io0", "[+] thread feed", "[+] phase", "[+] sources", "source synthetic", "readyz check passed",
    ]  # fmt: skip
    assert "thread io0" in get(hub.admin_url + "/livez?verbose")[2].decode()


def test_a_hub_whose_only_source_fails_is_alive_and_not_ready(start_hub: StartHub, tmp_path: Path) -> None:
    broken = tmp_path / "broken.cap.gz"
    broken.write_bytes(b"\x1f\x8b but no gzip")
    hub = start_hub(
        {"sources.synthetic.enabled": False, "sources.capture.venue": "kraken", "sources.capture.files": broken}
    )
    def says(what: str) -> bool:
        return what in get(hub.admin_url + "/readyz")[2].decode()

    wait_for(lambda: says("source capture kraken: failed"), "the source said to have failed")
    assert get(hub.admin_url + "/readyz")[0] == 503 and says("[-] sources")
    assert get(hub.admin_url + "/livez")[0] == 200


def test_metrics_are_prometheus_text_and_documented(hub: Hub) -> None:
    with Legacy(hub) as legacy, Enhanced(hub) as enhanced:
        legacy.send({"type": "subscribe", "symbol": "*"})
        legacy.until_type("marketData")
        enhanced.subscribe("book", "*")
        enhanced.until(lambda pushes: len(pushes) > 50)
        seen = metrics(hub)
        assert seen("market_hub_connections_open", channel="legacy") == 1
        assert seen("market_hub_connections_open", channel="enhanced") == 1
        assert seen("market_hub_subscriptions", channel="legacy") == 10
        assert seen("market_hub_subscriptions", channel="enhanced") == 10
        for name in ("pushes", "deliveries", "messages_sent", "sent_bytes", "requests"):
            assert seen(f"market_hub_{name}_total", channel="enhanced") > 0, name
        assert seen("market_hub_feed_events_total", venue="synthetic", kind="trade") > 0
        assert seen("market_hub_pass_duration_seconds_count") > 0
        assert seen("process_resident_memory_bytes") > 1 << 20
        assert abs(seen("process_start_time_seconds") - time.time()) < 60
        later = metrics(hub)
        for key, value in seen.series.items():
            if seen.kinds.get(key[0]) == "counter":
                assert later.series[key] >= value, f"{key} fell"
    documented = re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "Docs" / "METRICS.md").read_text(), re.MULTILINE)
    assert set(seen.kinds.items()) <= set(documented)


def test_the_admin_listener_serves_nothing_else(hub: Hub) -> None:
    assert get(hub.admin_url + "/nowhere")[0] == 404
    assert get(hub.admin_url + "/livez", Host="evil.example")[0] == 403
    assert get(hub.admin_url + "/metrics", Host="evil.example")[0] == 403
    with RawSocket(hub, "admin") as peer:
        assert peer.ask("/metrics", {"Content-Length": "0"}, method="POST")[0] == 405
    with RawSocket(hub, "admin") as peer:
        assert peer.upgrade("/ws")[0] == 404
    # And the listener for clients none of what operators ask.
    assert get(hub.page_url + "metrics")[0] == 404


def test_the_markets_are_listed_over_http(hub: Hub) -> None:
    status, headers, body = get(hub.page_url + "api/v1/markets")
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "application/json", "no-store")
    assert len(json.loads(body)["instruments"]) == 10


# ---- static files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(start_hub: StartHub, tmp_path: Path) -> Hub:
    """A hub with a small page of this test's own."""
    script = "console.log('a line that is worth compressing');\n" * 50
    (tmp_path / "index.html").write_text("<!doctype html><title>Page</title>" + "<p>text</p>" * 50)
    (tmp_path / "app.1234.js").write_text(script)
    (tmp_path / "dot.png").write_bytes(os.urandom(300))
    listing = {
        "documentHeaders": {"Content-Security-Policy": "default-src 'self'"},
        "assets": [
            {"path": "/", "file": "index.html", "type": "text/html; charset=utf-8", "gzip": True, "cache": "brief"},
            {"path": "/assets/app.1234.js", "file": "app.1234.js", "type": "text/javascript; charset=utf-8", "gzip": True, "cache": "immutable"},
            {"path": "/dot.png", "file": "dot.png", "type": "image/png", "gzip": False, "cache": "brief"},
        ],
    }  # fmt: skip
    (tmp_path / "assets.json").write_text(json.dumps(listing))
    return start_hub({"web.root": tmp_path})


def test_files_have_their_types_and_cache_headers(page: Hub, tmp_path: Path) -> None:
    for path, file, kind, caching in (
        ("", "index.html", "text/html; charset=utf-8", "public, max-age=300"),
        ("assets/app.1234.js", "app.1234.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("dot.png", "dot.png", "image/png", "public, max-age=300"),
    ):
        status, headers, body = get(page.page_url + path)
        assert status == 200 and body == (tmp_path / file).read_bytes()
        assert headers["content-type"] == kind
        assert headers["cache-control"] == caching
        assert headers["x-content-type-options"] == "nosniff"
        assert ("content-security-policy" in headers) == (file == "index.html")
        assert "content-encoding" not in headers


def test_files_come_compressed_to_who_takes_it(page: Hub, tmp_path: Path) -> None:
    url = page.page_url + "assets/app.1234.js"
    _, headers, body = get(url, Accept_Encoding="br, gzip;q=0.5")
    assert headers["content-encoding"] == "gzip" and headers["vary"].lower() == "accept-encoding"
    assert gzip.decompress(body) == (tmp_path / "app.1234.js").read_bytes()
    assert "content-encoding" not in get(url, Accept_Encoding="gzip;q=0")[1]
    # What compression would not make shorter comes as it is.
    assert "content-encoding" not in get(page.page_url + "dot.png", Accept_Encoding="gzip")[1]


def test_a_known_file_is_not_sent_again(page: Hub) -> None:
    url = page.page_url + "assets/app.1234.js"
    plain, packed = get(url)[1]["etag"], get(url, Accept_Encoding="gzip")[1]["etag"]
    assert plain != packed, "two representations under one tag"
    for known, encoding in ((plain, "identity"), (packed, "gzip"), (f'"other", W/{plain}', "identity"), ("*", "gzip")):
        status, headers, body = get(url, If_None_Match=known, Accept_Encoding=encoding)
        assert (status, body) == (304, b""), known
        assert headers["etag"] and headers["cache-control"]
    assert get(url, If_None_Match='"other"')[0] == 200


def test_files_cannot_be_changed_and_nothing_lies_beside_them(page: Hub) -> None:
    with RawSocket(page) as peer:
        assert peer.ask("/", {"Content-Length": "0"}, method="POST")[0] == 405
    for path in ("assets.json", "assets/", "../hub.py"):
        with RawSocket(page) as peer:
            assert peer.ask("/" + path)[0] in (400, 404), path
    assert get(page.page_url, Host="evil.example")[0] == 403
