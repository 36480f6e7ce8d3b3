"""Scripts/bench deflate: what deflating costs where it is done once for all who get it."""

from __future__ import annotations

import argparse
from functools import partial

from delivering import Load, cpu, flat, in_turn, losses, measure_hub, prepare
from measuring import Bar, Spread, judge, keep, ratios, table

RATIO_MOST = 1.5


def deflate(options: argparse.Namespace) -> None:
    """Both ask for one array a pass: a trade alone is shorter than transport.deflateBytesLeast and goes as it is.

    Only who is to get deflated frames offers permessage-deflate, so both hubs have the same settings, their defaults.
    """
    prepare(options.as_built)
    load = Load(options.subscribers, options.secs, options.window, is_whole=True)
    what = f"legacy, {options.subscribers} subscribers, bursts of {options.window}"
    results = in_turn(
        what,
        options.rounds,
        {
            "deflated": partial(measure_hub, load, "legacy", is_batch=True, arguments=["--pmd", "--inflate"]),
            "plain": partial(measure_hub, load, "legacy", is_batch=True),
        },
    )
    rows: list[list[str]] = []
    troubles = losses(what, results["deflated"] + results["plain"])
    for name, measured in results.items():
        wire = [result["wire_MB_s"] * 1e6 / result["deliveries_s"] for result in measured]
        frames = [result["frames_s"] * result["secs"] for result in measured]
        deflated = [result["compressed_frames"] / number for result, number in zip(measured, frames)]
        together = [result["deliveries_s"] / result["frames_s"] for result in measured]
        figures = [Spread.of(cpu(measured)), Spread.of(wire)]
        share = Spread.of(deflated).median
        rows.append([name, *map(str, figures), f"{Spread.of(together).median:.2f}", f"{100 * share:.1f} %"])
        # A burst that is read in two parts leaves a short frame now and then.
        if (share < 0.9) if name == "deflated" else (share > 0):
            troubles.append(f"{100 * share:.1f} % of the frames of the {name} hub came deflated")
    table(
        f"{what}: processor time and bytes on the wire per delivery, median [interquartile range / median]",
        ["hub", "µs", "bytes", "deliveries a frame", "frames deflated"],
        rows,
    )
    keep("deflate", flat(results))
    of_both = ratios(cpu(results["deflated"]), cpu(results["plain"]))
    judge([Bar(f"{what}, deflated / plain", of_both, RATIO_MOST)], troubles)
