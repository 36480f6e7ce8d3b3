"""The Grafana dashboard shows what the hub tells, under the names it tells it by."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "Deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))


def expressions(node: Any) -> Iterator[str]:
    """Every query below `node`."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "definition"):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def documented() -> set[str]:
    page = (ROOT / "Docs" / "METRICS.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))


def asked_for() -> set[str]:
    found = re.findall(r"\b(?:market_hub|process)_\w+", " ".join(expressions(DASHBOARD)))
    return {re.sub(r"_bucket$", "", name) for name in found}


def test_asks_for_nothing_that_is_not_there_and_leaves_nothing_out() -> None:
    assert documented(), "Docs/METRICS.md has no table of names"
    assert asked_for() == documented()


def test_every_panel_has_its_own_id_and_place() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
