"""Recording live venues and our own feed: what comes out is what went in, whatever happens to the hub and the disk."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clients import wait_for
from hub import PROGRAM
from recording import BINANCE, COINBASE, KRAKEN, TCP, USDM, Line, Played, Process, await_frames, await_silence, files_of
from recording import authority, normalize, number, play, record, records, trade_ids  # noqa: F401


# ---- the same comes out -------------------------------------------------------------------------------------------------------


def trades(rows: list[dict[str, Any]], symbols: tuple[str, ...]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        if row["type"] == "trade" and row["raw_symbol"] in symbols:
            trade = (row["side"], row["price"], row["quantity"], row["event_ns"], row["id"], tuple(row["flags"]))
            found.setdefault(row["raw_symbol"], []).append(trade)
    return found


def books(rows: list[dict[str, Any]], symbols: tuple[str, ...]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        if row["type"] == "book" and row["raw_symbol"] in symbols:
            levels = tuple(
                tuple((Decimal(price), Decimal(size)) for price, size in row[side]) for side in ("bids", "asks")
            )
            found.setdefault(row["raw_symbol"], []).append((row["event_ns"], *levels))
    return found


@pytest.mark.parametrize("one", [KRAKEN, COINBASE, BINANCE, USDM], ids=lambda one: one.venue)
def test_what_is_recorded_normalizes_to_what_was_played(
    play: Callable[..., Path], record: Callable[..., Process], captures: Path, tmp_path: Path, one: Played
) -> None:
    folder = tmp_path / "recordings"
    hub = record(play([one], speed=10), folder, "--set", "record.fileBytesMost=8000")
    await_frames(hub, one.venue, 50)
    await_silence(hub, one.venue)
    hub.stop()
    recorded = files_of(folder, one.venue)
    assert len(recorded) > 1, "nothing was rotated"
    arguments = ("--final-books", "100000", "--book-depth", "20")
    again = normalize(one.venue, recorded, *arguments)
    played = normalize(one.venue, [captures / one.path], *arguments)
    assert again.status == 0 and ", 0 bad," in again.complaints, again.complaints
    assert normalize(one.venue, recorded, *arguments).output == again.output
    assert trades(again.rows, one.symbols) == trades(played.rows, one.symbols)
    ours, theirs = books(again.rows, one.symbols), books(played.rows, one.symbols)
    assert set(ours) == set(theirs) and len(ours) > 1
    for symbol in ours:
        assert ours[symbol][-1] == theirs[symbol][-1], f"final book of {symbol}"
        if one.venue.startswith("binance"):
            # The book is asked for at the hub's own moment: from there on every row is the same.
            common = ours[symbol][1:]
            assert len(common) > 5 and theirs[symbol][-len(common) :] == common, symbol
        else:
            assert ours[symbol] == theirs[symbol], symbol


# ---- kills, bounds and full disks ---------------------------------------------------------------------------------------------


def test_a_kill_loses_the_last_second_at_most(record: Callable[..., Process], tmp_path: Path) -> None:
    hub = record(None, tmp_path / "r", *TCP)
    line = Line(hub)
    sent: list[tuple[float, int]] = []
    end = time.monotonic() + 3.3
    while time.monotonic() < end:
        line.send(5)
        sent.append((time.monotonic(), line.count))
        time.sleep(0.01)
    hub.kill()
    killed = time.monotonic()
    normalized = normalize("tcp", files_of(tmp_path / "r", "tcp"))
    assert normalized.status == 0
    ids = trade_ids(normalized)
    assert ids == list(range(1, len(ids) + 1))
    wanted = max(count for at, count in sent if at < killed - 1)
    assert len(ids) >= wanted > 500, f"{len(ids)} of {line.count}, at least {wanted} expected"
    # Another hub goes on in the same directory, with another run.
    again = record(None, tmp_path / "r", *TCP)
    Line(again).send()
    await_frames(again, "tcp", 2)
    again.stop()
    assert len(files_of(tmp_path / "r", "tcp")) == 2
    assert trade_ids(normalize("tcp", files_of(tmp_path / "r", "tcp"))) == [*ids, 1]


def test_a_file_that_was_cut_anywhere_reads_to_its_last_whole_block(
    record: Callable[..., Process], tmp_path: Path
) -> None:
    hub = record(None, tmp_path / "r", *TCP)
    line = Line(hub)
    for _ in range(4):
        line.send(20)
        time.sleep(0.7)
    hub.stop()
    path = files_of(tmp_path / "r", "tcp")[0]
    whole = path.read_bytes()
    assert subprocess.run(["gzip", "-t", path]).returncode == 0
    cut = tmp_path / "cut.cap.gz"
    cut.write_bytes(whole[: len(whole) - 50])
    normalized = normalize("tcp", [cut])
    ids = trade_ids(normalized)
    assert normalized.status == 0 and 0 < len(ids) < 80 and ids == list(range(1, len(ids) + 1))
    assert "are no whole block" in normalized.complaints and "the recorder was cut off there" in normalized.complaints
    assert "1 damaged parts" in normalized.complaints
    # Damage in the middle costs its block, and what is read behind it says that something is missing.
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 0xFF
    cut.write_bytes(bytes(middle))
    normalized = normalize("tcp", [cut])
    assert normalized.status == 0 and "their records are lost" in normalized.complaints
    assert 0 < len(trade_ids(normalized)) < 80 and trade_ids(normalized)[-1] == 80


def test_the_directory_stays_within_its_bound_and_files_are_rotated(
    record: Callable[..., Process], tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    bound = 700_000
    settings = ["--set", f"record.diskBytesMost={bound}", "--set", "record.fileBytesMost=60000"]
    hub = record(None, folder, *TCP, *settings)
    line = Line(hub)
    sizes = []
    for _ in range(120):
        line.send(10, pad=2_000)
        time.sleep(0.05)
        sizes.append(sum(path.stat().st_size for path in folder.iterdir()))
    wait_for(lambda: number(hub, "market_hub_recorder_files_removed_total") > 0, "a file to be removed")
    hub.stop()
    assert max(sizes) <= bound and sum(path.stat().st_size for path in folder.iterdir()) <= bound
    files = files_of(folder, "tcp")
    assert len(files) > 2
    ids = trade_ids(normalize("tcp", files))
    # The oldest went; what is left is without a hole up to the last.
    assert ids[0] > 1 and ids == list(range(ids[0], line.count + 1))


def test_a_file_is_finished_when_it_is_old(record: Callable[..., Process], tmp_path: Path) -> None:
    hub = record(None, tmp_path / "r", *TCP, "--set", "record.fileSecondsMost=1")
    line = Line(hub)
    for _ in range(30):
        line.send()
        time.sleep(0.1)
    hub.stop()
    files = files_of(tmp_path / "r", "tcp")
    assert 2 <= len(files) <= 4
    assert trade_ids(normalize("tcp", files)) == list(range(1, 31))
    names = [re.fullmatch(r"tcp-\d{8}T\d{6}\.\d{6}Z\.cap\.gz", path.name) for path in files]
    assert all(names), files


def test_a_full_disk_stops_neither_the_hub_nor_the_recording(record: Callable[..., Process], tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    # A file system of 256 KiB that only the hub sees.
    mount = f"mount -t tmpfs -o size=256k tmpfs {folder} && echo x > {folder}/ballast-ready && exec \"$@\""
    prefix = ("unshare", "-m", "sh", "-c", mount, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    hub = record(None, folder, *TCP, prefix=prefix)
    inside = Path(f"/proc/{hub._process.pid}/root{folder}")
    line = Line(hub)
    ballast = inside / "ballast"
    ballast.write_bytes(bytes(190_000))
    for _ in range(15):
        line.send(10, pad=2_000)
        time.sleep(0.05)
    wait_for(lambda: number(hub, "market_hub_recorder_failing") == 1, "the disk to be full")
    event = hub.events("recorder-failing")[0]
    assert event["condition"] == "R1 disk full" and event["errno"] == 28
    ballast.unlink()
    line.send(1)
    wait_for(lambda: number(hub, "market_hub_recorder_failing") == 0, "the recorder to recover")
    assert hub.events("recorder-recovered")
    line.send(5)
    time.sleep(1)
    assert number(hub, "market_hub_recorder_left_out_total") == 0
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in files_of(inside, "tcp"):
        (copy / path.name).write_bytes(path.read_bytes())
    hub.stop()
    ids = trade_ids(normalize("tcp", files_of(copy, "tcp")))
    # Nothing is missing: what the disk did not take was kept.
    assert ids == list(range(1, line.count + 1))


def test_a_recorder_that_is_behind_says_what_it_left_out(record: Callable[..., Process], tmp_path: Path) -> None:
    hub = record(None, tmp_path / "r", *TCP, "--set", "record.ringBytes=65536")
    line = Line(hub)
    for _ in range(40):
        line.send(200, pad=3_000)
    wait_for(lambda: number(hub, "market_hub_recorder_left_out_total", reason="ring") > 0, "the ring to be full")
    time.sleep(1)
    line.send(1)
    time.sleep(0.2)
    left_out = number(hub, "market_hub_recorder_left_out_total", reason="ring")
    hub.stop()
    files = files_of(tmp_path / "r", "tcp")
    marks = [record for path in files for record in records(path) if record[2] == "M" and record[3].startswith("gap")]
    assert marks and sum(int(mark[3].split("\t")[1]) for mark in marks) == left_out
    assert trade_ids(normalize("tcp", files))[-1] == line.count


def test_two_hubs_do_not_share_a_directory(record: Callable[..., Process], tmp_path: Path) -> None:
    record(None, tmp_path / "r", *TCP)
    command = [PROGRAM, "record", "--directory", tmp_path / "r", *TCP, "--set", "admin.port=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "another hub records into" in done.stderr


def test_record_needs_a_directory_and_something_to_record(tmp_path: Path) -> None:
    for arguments, complaint in (
        ([], "no directory to record into"),
        (["--directory", str(tmp_path)], "nothing to record"),
        ([*TCP, "--directory", str(tmp_path / "a" / "b")], "record.directory"),
    ):
        done = subprocess.run([PROGRAM, "record", *arguments], capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and complaint in done.stderr, done.stderr
