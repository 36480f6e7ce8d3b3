"""Scripts/bench calls: what a delivery asks of the kernel, and how many instructions of our own it takes.

Both are counted, not timed, so they are the same on a busy machine. The difference of a long and a short load leaves
out what start, handshakes and subscriptions take.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from delivering import SYMBOL, Load, fanload, losses, prepare, serving, subscription
from measuring import BENCH, HUB, Bar, Spread, fail, judge, keep, table

CALLS_MOST, INSTRUCTIONS_MOST = 1.02, 1500
# By whatever a server may send. write also wakes threads: that is a call for a message, and counts.
SENDING = ["sendto", "sendmsg", "sendmmsg", "write", "writev", "io_uring_enter"]
# What is traced or emulated is some fifty times as slow.
SECONDS_MOST = 600.0


def calls(options: argparse.Namespace) -> None:
    for program in ("strace", "valgrind", "strip"):
        if shutil.which(program) is None:
            fail(f"{program} is missing: apt-get install strace valgrind binutils")
    prepare(options.as_built)
    records: list[dict] = []
    rows: list[list[str]] = []
    bars: list[Bar] = []
    troubles: list[str] = []
    for channel in options.channel:
        what = f"{channel}, {options.subscribers} subscribers, one message at a time"
        sent: list[float] = []
        taken: list[float] = []
        by_name: Counter[str] = Counter()
        for number in range(options.rounds):
            print(f"{what}: round {number + 1} of {options.rounds}", file=sys.stderr)
            # The short load is not too short: what is made once, at the first messages, belongs to neither.
            shorter, longer = (Load(options.subscribers, 0, messages=m) for m in (options.messages, 2 * options.messages))
            deliveries = options.messages * options.subscribers
            few, few_result = sending_calls(shorter, channel)
            many, many_result = sending_calls(longer, channel)
            difference = {name: many[name] - few[name] for name in SENDING}
            sent.append(sum(difference.values()) / deliveries)
            by_name.update(difference)
            short, short_result = instructions(shorter, channel)
            long, long_result = instructions(longer, channel)
            taken.append((long - short) / deliveries)
            results = [few_result, many_result, short_result, long_result]
            troubles += losses(what, results)
            for result, load in zip(results, [shorter, longer, shorter, longer], strict=True):
                if result["deliveries"] != load.messages * load.subscribers:
                    troubles.append(f"{what}: {result['deliveries']:.0f} deliveries of {load.messages * load.subscribers}")
            figures = {"calls": difference, "instructions": long - short, "deliveries": deliveries}
            records.append({"channel": channel, "round": number, **figures})
        calls_each, instructions_each = Spread.of(sent), Spread.of(taken)
        named = ", ".join(f"{name} {count}" for name, count in by_name.items() if count)
        rows.append([what, str(calls_each), str(instructions_each), named])
        bars.append(Bar(f"{what}, send calls a delivery", calls_each, CALLS_MOST))
        bars.append(Bar(f"{what}, instructions a delivery", instructions_each, INSTRUCTIONS_MOST))
    table(
        "Per delivery, median [interquartile range / median]",
        ["load", "send calls", "instructions of the hub", f"calls in {options.rounds * options.messages} messages"],
        rows,
    )
    keep("calls", records)
    judge(bars, troubles)


# ---- counting --------------------------------------------------------------------------------------------------------


def sending_calls(load: Load, channel: str) -> tuple[Counter[str], dict]:
    """By their names, of all threads from before the first subscriber to after the last message."""
    with serving() as hub, tempfile.NamedTemporaryFile("r") as summary:
        hub.introduce([SYMBOL])
        with tracing(hub.pid, summary.name):
            said = hub.subscribing(channel, subscription(channel))
            result = fanload(load, hub.pid, f"hub {channel}", [*hub.publishing(), *said], SECONDS_MOST)
        counts: Counter[str] = Counter()
        # "% time, seconds, usecs/call, calls, errors, syscall": a failed call is a call.
        for line in summary.read().splitlines():
            if columns := re.fullmatch(r"\s*[0-9.]+\s+[0-9.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)", line):
                counts[columns[2]] += int(columns[1])
        if not any(counts[name] for name in SENDING):
            fail("strace counted no call: may processes be traced here?")
        return counts, result


@contextlib.contextmanager
def tracing(pid: int, summary: str) -> Iterator[None]:
    traced = ",".join(SENDING)
    with open(BENCH / "strace.log", "w+") as log:
        strace = subprocess.Popen(
            ["strace", "-f", "-c", "-o", summary, "-e", f"trace={traced}", "-p", str(pid)], stdout=log, stderr=log
        )
        try:
            tracer = re.compile(rf"TracerPid:\s+{strace.pid}\b")
            deadline = time.monotonic() + 10
            while not all(tracer.search((task / "status").read_text()) for task in Path(f"/proc/{pid}/task").iterdir()):
                if strace.poll() is not None or time.monotonic() > deadline:
                    fail("strace does not attach, see .build/bench/strace.log: may processes be traced here?")
                time.sleep(0.05)
            yield
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(timeout=30)


def instructions(load: Load, channel: str) -> tuple[int, dict]:
    """Of the whole hub in user space, from its start to its end."""
    log = BENCH / "callgrind.log"
    # Of the same instructions, and without what this valgrind may be too old to read.
    plain = BENCH / "market-hub-without-symbols"
    subprocess.run(["strip", "--strip-debug", "-o", plain, HUB], check=True)
    with tempfile.TemporaryDirectory() as folder:
        callgrind = ["valgrind", "--tool=callgrind", f"--log-file={log}", f"--callgrind-out-file={folder}/out"]
        with serving(program=[*callgrind, plain], seconds_to_end=120) as hub:
            hub.introduce([SYMBOL])
            said = hub.subscribing(channel, subscription(channel))
            result = fanload(load, hub.pid, f"hub {channel}", [*hub.publishing(), *said], SECONDS_MOST)
    found = re.search(r"Collected : (\d+)", log.read_text())
    if found is None:
        fail("callgrind counted no instructions, see .build/bench/callgrind.log")
    return int(found[1]), result
