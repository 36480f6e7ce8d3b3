"""Scripts/bench topics: what a delivery costs where clients follow a few of many symbols, and with symbols nobody follows."""

from __future__ import annotations

import argparse
from functools import partial

from delivering import (
    SYMBOL,
    Load,
    build_rawcast,
    cpu,
    fanload,
    flat,
    in_turn,
    losses,
    measure_hub,
    message_bytes,
    prepare,
    serving,
    subscription,
)
from measuring import Bar, Spread, judge, keep, ratios, running, table

# The generator puts a topic's four digits there, in bytes that are counted before.
SYMBOL_PATTERN = "T{t4}-USD"
# With any number of symbols that nobody listens to, against none.
UNHEARD_RATIO_MOST = 1.05
# What is drawn is the same in each round and for all contestants.
SEED = 20


def topics(options: argparse.Namespace) -> None:
    prepare(options.as_built)
    records: list[dict] = []
    bars: list[Bar] = []
    troubles: list[str] = []
    for channel in options.channel:
        if options.symbols:
            followed(options, channel, records, troubles)
        if any(options.unheard):
            unheard(options, channel, records, bars, troubles)
    keep("topics", records)
    judge(bars, troubles)


def followed(options: argparse.Namespace, channel: str, records: list[dict], troubles: list[str]) -> None:
    """The references have as many deliveries a message: what a message costs by itself is shared by as many.

    rawcast sends to the same connections in the same order. The hub's one symbol has fewer connections, all of
    which hear each message: what it takes less is what many symbols and connections cost.
    """
    rawcast = build_rawcast()
    listeners = max(1, round(options.subscribers * options.each / options.symbols))
    load = Load(options.subscribers, options.secs, options.window)
    few = Load(listeners, options.secs, options.window)
    what = f"{channel}, {options.subscribers} clients on {options.each} of {options.symbols} symbols, window {options.window}"
    drawn = ["--topics", str(options.symbols), "--per", str(options.each), "--seed", str(SEED), "--settle", "2"]

    def measure_topics(load: Load) -> dict:
        with serving({"sources.tcp.instrumentsMost": max(1000, options.symbols)}) as hub:
            hub.introduce([SYMBOL_PATTERN.replace("{t4}", f"{number:04}") for number in range(options.symbols)])
            said = hub.subscribing(channel, subscription(channel, SYMBOL_PATTERN))
            return fanload(load, hub.pid, f"hub {channel}", [*drawn, *hub.publishing(SYMBOL_PATTERN), *said])

    size = message_bytes(measure_topics(Load(options.subscribers, 0.5, options.window)))

    def measure_rawcast() -> dict:
        with running([rawcast, "0", "topics"], "rawcast.log") as (pid, line):
            address = f"127.0.0.1:{int(line)}"
            message = ["--pub-pre", "{t4}", "--size", str(max(25, size - 4))]
            addresses = ["--pub-url", f"ws://{address}/pub", "--sub", "text:{t4}", f"ws://{address}/ws"]
            return fanload(load, pid, "rawcast", [*drawn, *message, *addresses])

    contestants = {
        "many symbols": partial(measure_topics, load),
        "rawcast": measure_rawcast,
        "one symbol": partial(measure_hub, few, channel),
    }
    results = in_turn(what, options.rounds, contestants)
    records += flat(results)
    many, raw, one = (cpu(results[name]) for name in contestants)
    table(
        f"{what}, {listeners} deliveries a message: processor time per delivery, µs, median [interquartile range / median]",
        ["hub, many symbols", "rawcast topics", f"hub, {listeners} on one symbol", "many / rawcast", "many / one"],
        [list(map(str, [Spread.of(many), Spread.of(raw), Spread.of(one), ratios(many, raw), ratios(many, one)]))],
    )
    troubles += losses(what, flat(results))


def unheard(
    options: argparse.Namespace, channel: str, records: list[dict], bars: list[Bar], troubles: list[str]
) -> None:
    """One symbol that all hear, beside so many that the hub knows and nobody asked for."""
    load = Load(options.subscribers, options.secs, options.window)
    what = f"{channel}, {options.subscribers} subscribers on one symbol, window {options.window}"
    # Also with none: the same room for instruments in all rounds.
    settings = {"sources.tcp.instrumentsMost": max(1000, *options.unheard) + 1}

    def measure(number: int) -> dict:
        with serving(settings) as hub:
            hub.introduce([*(f"U{index:05}-USD" for index in range(number)), SYMBOL])
            said = hub.subscribing(channel, subscription(channel))
            return fanload(load, hub.pid, f"hub {channel}", [*hub.publishing(), *said])

    numbers = [0, *(number for number in options.unheard if number)]
    results = in_turn(what, options.rounds, {f"{number} unheard": partial(measure, number) for number in numbers})
    records += flat(results)
    rows: list[list[str]] = []
    none = cpu(results["0 unheard"])
    for number in numbers:
        some = cpu(results[f"{number} unheard"])
        to_none = ratios(some, none)
        rows.append([f"{number}", str(Spread.of(some)), str(to_none)])
        if number:
            bars.append(Bar(f"{what}, {number} unheard / none", to_none, UNHEARD_RATIO_MOST))
    table(
        f"{what}: processor time per delivery, µs, median [interquartile range / median]",
        ["symbols that nobody hears", "hub", "to none"],
        rows,
    )
    troubles += losses(what, flat(results))
