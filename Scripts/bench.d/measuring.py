"""What all subjects of Scripts/bench share: how programs are built and run, and how figures are printed."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
BENCH = ROOT / ".build" / "bench"
HUB = ROOT / ".build" / "release" / "market-hub"
SERVER_CPU, CLIENT_CPU = "0", "1"
SPREAD_MOST = 0.15


def fail(message: str) -> NoReturn:
    sys.exit(f"bench: {message}")


def build(output: str, sources: list[str], flags: list[str], compilers: tuple[str, ...] = ("cc", "clang")) -> Path:
    """Compiles a reference unless it is newer than its source."""
    binary = BENCH / output
    paths = [ROOT / "Benchmarks" / source for source in sources]
    headers = {header for path in paths for header in path.parent.glob("*.h")}
    if binary.exists() and all(binary.stat().st_mtime > path.stat().st_mtime for path in [*paths, *headers]):
        return binary
    compiler = next((name for name in compilers if shutil.which(name)), None)
    if compiler is None:
        fail(f"no C compiler: none of {', '.join(compilers)} is there")
    print(f"building {output}", file=sys.stderr)
    subprocess.run([compiler, "-O3", "-march=native", "-w", "-o", binary, *paths, *flags], check=True)
    return binary


def build_hub(product: str) -> None:
    print(f"building {product} in release", file=sys.stderr)
    subprocess.run(
        ["swift", "build", "-c", "release", "--product", product], cwd=ROOT, check=True, stdout=sys.stderr
    )


# ---- figures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """A median and how far the middle half of the rounds lies apart, as a part of it."""

    median: float
    relative_range: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        median = statistics.median(values)
        if len(values) < 2 or median == 0:
            return cls(median, 0.0)
        lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, (upper - lower) / abs(median))

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.relative_range:.2f}{' !' if self.relative_range > SPREAD_MOST else ''}]"


def ratios(ours: list[float], theirs: list[float]) -> Spread:
    """Of paired rounds: what disturbs the machine disturbs both of a pair."""
    return Spread.of([a / b for a, b in zip(ours, theirs, strict=True) if b > 0])


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n")
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for index, row in enumerate([columns, ["-" * width for width in widths], *rows]):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        print("| " + " | ".join(cells) + " |" if index != 1 else "|-" + "-|-".join(cells) + "-|")
    if any("!" in cell for row in rows for cell in row):
        print(f"! the rounds lie further apart than {SPREAD_MOST} of the median: run again on a quieter machine")


def keep(name: str, records: list[dict[str, object]]) -> None:
    path = BENCH / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    print(f"\nraw figures: {path.relative_to(ROOT)}")


# ---- bars ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """A figure and the most that it may be."""

    what: str
    figure: Spread
    most: float

    @property
    def is_met(self) -> bool:
        return self.figure.median <= self.most

    def __str__(self) -> str:
        return f"{'pass' if self.is_met else 'FAIL'}  {self.what}: {self.figure}, at most {self.most:g}"


def judge(bars: list[Bar], troubles: list[str]) -> None:
    """Prints a line for each bar, and fails where one is missed or something went wrong."""
    print()
    for bar in bars:
        print(bar)
    missed = [bar.what for bar in bars if not bar.is_met]
    if troubles:
        fail("the figures do not count: " + "; ".join(troubles))
    if missed:
        fail("missed: " + "; ".join(missed))


# ---- servers ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(command: list[str | Path], log: str, seconds_to_end: float = 10) -> Iterator[tuple[int, str]]:
    """A server on its processor, started fresh and stopped by its id; gives the id and its first line of output."""
    with open(BENCH / log, "wb") as errors:
        server = subprocess.Popen(
            ["taskset", "-c", SERVER_CPU, *map(str, command)], stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                fail(f"{Path(command[0]).name} did not start, see .build/bench/{log}")
            yield server.pid, line
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(timeout=seconds_to_end)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
