"""Scripts/bench latency: how long a trade is on its way to a subscriber at a pace that leaves the hub idle time."""

from __future__ import annotations

import argparse
from functools import partial

from delivering import (
    Load,
    build_rawcast,
    flat,
    in_turn,
    losses,
    measure_hub,
    measure_reference,
    message_bytes,
    prepare,
)
from measuring import Bar, Spread, judge, keep, ratios, table

# Of rawcast's, whose last subscriber also waits for all the sends before.
RATIOS_MOST = {"p50": 1.3, "p99": 2.0}
# At the ends of the window a message may stand on either side; a server that does not keep the pace is further off.
PACE_LEAST = 0.97


def latency(options: argparse.Namespace) -> None:
    prepare(options.as_built)
    rawcast = build_rawcast()
    load = Load(options.subscribers, options.secs, rate=options.rate)
    records: list[dict] = []
    rows: list[list[str]] = []
    bars: list[Bar] = []
    troubles: list[str] = []
    for channel in options.channel:
        what = f"{channel}, {options.subscribers} subscribers, {options.rate:g} messages a second"
        size = message_bytes(measure_hub(Load(options.subscribers, 0.5), channel))
        results = in_turn(
            what,
            options.rounds,
            {
                "hub": partial(measure_hub, load, channel),
                "rawcast": partial(measure_reference, load, "rawcast", [rawcast, "0", "send"], size),
            },
        )
        records += flat(results)
        for part, most in RATIOS_MOST.items():
            hub, raw = ([result["lat_us"][part] for result in results[name]] for name in ("hub", "rawcast"))
            of_both = ratios(hub, raw)
            rows.append([f"{channel}, {part}", f"{size}", str(Spread.of(hub)), str(Spread.of(raw)), str(of_both)])
            bars.append(Bar(f"{what}, {part} of hub / rawcast", of_both, most))
        troubles += losses(what, results["hub"])
        for name in results:
            slowest = min(result["deliveries_s"] for result in results[name])
            if slowest < PACE_LEAST * options.rate * options.subscribers:
                troubles.append(f"{what}: {name} delivered only {slowest:.0f} a second")
    table(
        f"From when a trade was due to its receipt at {options.rate * options.subscribers:g} deliveries a second, µs, "
        "median [interquartile range / median]",
        ["latency", "bytes", "hub", "rawcast", "hub / rawcast"],
        rows,
    )
    keep("latency", records)
    judge(bars, troubles)
