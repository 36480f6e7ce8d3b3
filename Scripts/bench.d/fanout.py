"""Scripts/bench fanout: what a delivery costs, against rawcast and lwsdirect."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from delivering import (
    BURST_RATIO_MOST,
    SINGLE_RATIO_MOST,
    Load,
    build_rawcast,
    cpu,
    flat,
    in_turn,
    losses,
    lost,
    measure_hub,
    measure_reference,
    message_bytes,
    prepare,
)
from measuring import Bar, Spread, build, judge, keep, ratios, table

# JSON may cost so much more than protobuf.
LEGACY_TO_ENHANCED_MOST = 1.3


def fanout(options: argparse.Namespace) -> None:
    prepare(options.as_built)
    rawcast = build_rawcast()
    lwsdirect = build("lwsdirect", ["fanload/lwsdirect.c"], ["-lwebsockets", "-luv", "-lssl", "-lcrypto"])
    records: list[dict] = []
    rows: list[list[str]] = []
    memory: list[list[str]] = []
    channel_rows: list[list[str]] = []
    bars: list[Bar] = []
    troubles: list[str] = []
    for subscribers in options.subscribers:
        for window in options.window:
            load = Load(subscribers, options.secs, window, is_whole=options.whole)
            raw_mode, most = ("send", SINGLE_RATIO_MOST) if window == 1 else ("coalesce", BURST_RATIO_MOST)
            what = f"{subscribers} subscribers, {'bursts of' if options.whole else 'window'} {window}"
            contestants: dict[str, Callable[[], dict]] = {}
            bytes_of: dict[str, int] = {}
            for channel in options.channel:
                # One unmeasured round tells how long the hub's messages are.
                size = bytes_of[channel] = message_bytes(measure_hub(Load(subscribers, 0.5, window), channel))
                contestants[f"{channel} hub"] = partial(measure_hub, load, channel)
                for name, command in {"rawcast": [rawcast, "0", raw_mode], "lwsdirect": [lwsdirect, "0", "uv"]}.items():
                    contestants[f"{channel} {name}"] = partial(measure_reference, load, name, command, size)
            results = in_turn(what, options.rounds, contestants)
            records += flat(results)
            for channel in options.channel:
                hub, raw, lws = (results[f"{channel} {name}"] for name in ("hub", "rawcast", "lwsdirect"))
                to_raw, to_lws = ratios(cpu(hub), cpu(raw)), ratios(cpu(hub), cpu(lws))
                figures = [Spread.of(cpu(hub)), Spread.of(cpu(raw)), Spread.of(cpu(lws)), to_raw, to_lws, lost(hub)]
                rows.append([f"{channel}, {what}", f"{bytes_of[channel]}", *map(str, figures)])
                rss = [[result["server"]["rss_per_conn_kb"] for result in one] for one in (hub, raw, lws)]
                memory.append([f"{channel}, {what}", *(f"{Spread.of(one).median:.1f}" for one in rss)])
                bars.append(Bar(f"{channel}, {what}, hub / rawcast {raw_mode}", to_raw, most))
                troubles += losses(f"{channel}, {what}", hub)
            if {"legacy", "enhanced"} <= set(options.channel):
                of_channels = ratios(cpu(results["legacy hub"]), cpu(results["enhanced hub"]))
                channel_rows.append([what, str(of_channels)])
                bars.append(Bar(f"{what}, legacy / enhanced", of_channels, LEGACY_TO_ENHANCED_MOST))
    table(
        "Processor time per delivery, µs, median [interquartile range / median]",
        ["load", "bytes", "hub", "rawcast", "lwsdirect", "hub / rawcast", "hub / lwsdirect", "lost"],
        rows,
    )
    if channel_rows:
        table("Processor time of the hub per delivery, JSON to protobuf", ["load", "legacy / enhanced"], channel_rows)
    table("Memory per connection while delivering, KB", ["load", "hub", "rawcast", "lwsdirect"], memory)
    keep("fanout", records)
    judge(bars, troubles)
