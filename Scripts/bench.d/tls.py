"""Scripts/bench tls: what a delivery over TLS costs, against plain TCP."""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

from delivering import Load, certificate, certify, cpu, flat, in_turn, losses, measure_hub, prepare
from measuring import Bar, Spread, judge, keep, ratios, table

RATIO_MOST = 2.0


def tls(options: argparse.Namespace) -> None:
    prepare(options.as_built)
    load = Load(options.subscribers, options.secs, options.window, is_whole=True)
    records: list[dict] = []
    rows: list[list[str]] = []
    bars: list[Bar] = []
    troubles: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        certify(Path(folder))
        secured = certificate(Path(folder))
        for channel in options.channel:
            what = f"{channel}, {options.subscribers} subscribers, bursts of {options.window}"
            contestants = {
                "wss": partial(measure_hub, load, channel, secured),
                "ws": partial(measure_hub, load, channel),
            }
            results = in_turn(what, options.rounds, contestants)
            records += flat(results)
            wss, ws = cpu(results["wss"]), cpu(results["ws"])
            of_both = ratios(wss, ws)
            rows.append([what, str(Spread.of(wss)), str(Spread.of(ws)), str(of_both)])
            bars.append(Bar(f"{what}, wss / ws", of_both, RATIO_MOST))
            troubles += losses(what, results["wss"] + results["ws"])
    table(
        "Processor time of the hub per delivery, µs, median [interquartile range / median]",
        ["load", "wss", "ws", "wss / ws"],
        rows,
    )
    keep("tls", records)
    judge(bars, troubles)
