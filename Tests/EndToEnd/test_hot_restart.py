"""A new process in the hub's place (SIGUSR2): nobody is refused, and who comes back has missed nothing."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from clients import Enhanced, Legacy, wait_for
from hub import PROGRAM, ROOT, Hub
from raw import RawSocket
from recording import Line, files_of, normalize, trade_ids
from test_tls import secured as with_tls
from wandering import FAST, SYMBOLS, WISHES, Wanderer
from watching import get, metrics

StartHub = Callable[..., Hub]
RESTART, BEGAN_ANEW = 3001, 4
TCP = {"sources.synthetic.enabled": False, "sources.tcp.enabled": True, "sources.tcp.port": 0}


def await_goodbye(wanderer: Wanderer) -> None:
    """Reads what comes until the hub closes."""
    with pytest.raises(ConnectionClosed) as closed:
        wanderer.read(lambda: False)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == RESTART


@pytest.mark.parametrize("loops", [1, 2])
def test_clients_go_on_where_they_were_with_nothing_lost(start_hub: StartHub, loops: int) -> None:
    hub = start_hub({**FAST, "transport.ioLoops": loops, "hub.reconnectSpreadMs": 0})
    wanderer = Wanderer(hub)
    wanderer.subscribe()
    for _ in range(3):
        before = wanderer.count("trades")
        wanderer.read(lambda enough=before + 20: wanderer.count("trades") >= enough)
        # Reads while the hub hands over, as any client does.
        reader = threading.Thread(target=await_goodbye, args=(wanderer,))
        reader.start()
        hub.restart()
        reader.join()
        wanderer.client.close()
        epoch = wanderer.epoch
        wanderer.come_back(hub)
        assert wanderer.client.ask(connect={"client": "wanderer"}).connect.epoch == epoch
        assert len(wanderer.recoveries) >= len(WISHES) * len(SYMBOLS) - len(SYMBOLS)
        # The source's book begins anew with its first snapshot: what is told by differences alone does too, and nothing else.
        lost = [one.failure for one in wanderer.recoveries if not one.recovered]
        assert len(lost) <= len(SYMBOLS) and set(lost) <= {BEGAN_ANEW}, wanderer.recoveries
    before = wanderer.count("book")
    wanderer.read(lambda: wanderer.count("book") >= before + 20)
    every = [one for (number, _), one in wanderer.known.items() if number == 0]
    assert all(one.skipped_count == 0 and one.push_count > 60 for one in every)
    wanderer.client.close()


def test_not_one_connection_is_refused_while_hubs_take_over_from_each_other(start_hub: StartHub) -> None:
    hub = start_hub({**FAST, "hub.reconnectSpreadMs": 0, "transport.ioLoops": 2})
    faults: list[str] = []
    counts = [0] * 4
    is_over = threading.Event()

    def come_and_go(place: int) -> None:
        while not is_over.is_set():
            try:
                with Legacy(hub) as client:
                    client.send({"type": "ping"})
                    client.until(lambda frame: frame["type"] in ("pong", "disconnect"))
            except ConnectionClosed as closed:
                # It was let in by the hub that was about to go, and was told so.
                if closed.rcvd is None or closed.rcvd.code != RESTART:
                    faults.append(f"closed: {closed}")
            except Exception as fault:
                faults.append(repr(fault))
            counts[place] += 1

    clients = [threading.Thread(target=come_and_go, args=(place,)) for place in range(len(counts))]
    for client in clients:
        client.start()
    for _ in range(5):
        before = sum(counts)
        wait_for(lambda enough=before + 50: sum(counts) >= enough, "fifty more connections")
        hub.restart()
    is_over.set()
    for client in clients:
        client.join()
    assert not faults, faults[:5]
    assert sum(counts) > 250


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3)])
def test_loops_may_become_fewer_or_more(start_hub: StartHub, tmp_path: Path, before: int, after: int) -> None:
    configuration = tmp_path / "hub.json5"

    def configure(loops: int) -> None:
        configuration.write_text(json.dumps({"transport": {"ioLoops": loops}, "hub": {"reconnectSpreadMs": 0}}))

    configure(before)
    hub = start_hub(FAST, "--config", str(configuration))
    wanderer = Wanderer(hub)
    wanderer.subscribe(range(2))
    wanderer.read(lambda: wanderer.count("trades") >= 20)
    configure(after)
    reader = threading.Thread(target=await_goodbye, args=(wanderer,))
    reader.start()
    hub.restart()
    reader.join()
    # As many as there were sockets, and more: none may be left waiting at a socket that nobody looks at.
    for _ in range(20):
        assert get(hub.page_url + "nowhere")[0] == 404
    wanderer.client.close()
    wanderer.client = Enhanced(hub)
    wanderer.places, wanderer.recoveries = {}, []
    wanderer.subscribe(range(1))
    assert wanderer.recoveries and all(one.recovered for one in wanderer.recoveries)
    wanderer.client.close()


def test_who_asked_for_nothing_yet_is_served_all_the_same(start_hub: StartHub) -> None:
    hub = start_hub()
    with RawSocket(hub) as early, RawSocket(hub, "admin") as operator:
        # Who comes later to the same listener is answered: then both were accepted by the hub that goes.
        assert get(hub.page_url + "nowhere")[0] == 404 and get(hub.admin_url + "/livez")[0] == 200
        hub.begin_restart()
        wait_for(lambda: len(hub.successors) == 1, "a successor")
        assert early.upgrade("/ws")[0] == 101
        assert early.close_code() == RESTART
        assert operator.ask("/livez")[0] == 200


def test_a_successor_that_cannot_start_leaves_the_hub_as_it_was(start_hub: StartHub, tmp_path: Path) -> None:
    program = tmp_path / "market-hub"
    shutil.copy(PROGRAM, program)
    configuration = tmp_path / "hub.json5"
    configuration.write_text("{}")
    hub = start_hub(FAST, "--config", str(configuration), program=program)
    wanderer = Wanderer(hub)
    wanderer.subscribe()

    def fail(complaint: str) -> None:
        failed = len([event for event in hub.log if "restart-failed" in event])
        hub.begin_restart()

        def is_told() -> bool:
            wanderer.read(iter([False, True]).__next__)
            return len([event for event in hub.log if "restart-failed" in event]) > failed

        wait_for(is_told, "a restart that failed")
        assert any(complaint in line for line in hub.log), hub.log_end

    # The configuration has a fault; the certificate of another does not fit when everything was handed over already.
    configuration.write_text('{"listen": {"prot": 1}}')
    fail("listen.port")
    configuration.write_text('{"tls": {"certificateFile": "/none.pem", "keyFile": "/none.pem"}}')
    fail("/none.pem")
    configuration.write_text("{}")
    # Programs that do not speak of the handover at all, and one that is none.
    for text in ("#!/bin/sh\nexit 3\n", "#!/bin/sh\nprintf nonsense-of-nine >&3\n", "no program"):
        program.unlink()
        program.write_text(text)
        program.chmod(0o755)
        fail("restart-failed")
    # Nobody noticed anything.
    before = wanderer.count("trades")
    wanderer.read(lambda: wanderer.count("trades") >= before + 20)
    every = [one for (number, _), one in wanderer.known.items() if number == 0]
    assert all(one.skipped_count == 0 for one in every)
    wanderer.client.close()
    program.unlink()
    shutil.copy(PROGRAM, program)
    hub.restart()
    assert Enhanced(hub).ask(connect={"client": "late"}).connect.epoch == wanderer.epoch


@pytest.mark.parametrize("is_kept", [False, True])
def test_candles_go_on(start_hub: StartHub, tmp_path: Path, is_kept: bool) -> None:
    directory = str(tmp_path / "candles") if is_kept else ""
    hub = start_hub({**FAST, "candles.directory": directory})

    def seconds() -> list[str]:
        status, _, body = get(f"{hub.page_url}api/v1/markets/BTC-USD/candles?interval=1s&limit=100")
        assert status == 200
        return [candle["start"] for candle in json.loads(body)["candles"] if candle["closed"]]

    wait_for(lambda: len(seconds()) >= 3, "three candles")
    before = seconds()
    hub.restart()
    wait_for(lambda: len(seconds()) > len(before) + 1, "another candle")
    assert seconds()[: len(before) - 1] == before[: len(before) - 1]


def test_recording_goes_on_in_the_same_directory(start_hub: StartHub, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    hub = start_hub({"record.directory": str(folder), **TCP})
    address = hub.listeners["tcp"]
    for first in (0, 3):
        publisher = Line(hub)
        publisher.send(3)
        wait_for(lambda: metrics(hub)("market_hub_feed_events_total", kind="trade") == 3, "three trades")
        publisher.socket.close()
        if first == 0:
            hub.restart()
            assert hub.listeners["tcp"] == address
    assert hub.stop() == 0
    files = files_of(folder, "tcp")
    assert len(files) == 2 and len(trade_ids(normalize("tcp", files))) == 6


def test_tls_sessions_are_resumed_at_the_successor(start_hub: StartHub, tmp_path: Path) -> None:
    subprocess.run([ROOT / "Scripts" / "dev-certificate", tmp_path], check=True, capture_output=True)
    hub = start_hub(with_tls(tmp_path))
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    host, port = hub.listeners["web"].rsplit(":", 1)

    def shake_hands(session: ssl.SSLSession | None) -> ssl.SSLSocket:
        plain = socket.create_connection((host, int(port)), timeout=5)
        return trust.wrap_socket(plain, server_hostname=host, session=session)

    with shake_hands(None) as first:
        session = first.session
    hub.restart()
    with shake_hands(session) as second:
        assert second.session_reused
