"""The web page as the hub serves it, in Chromium."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from chromium import badge, browser, number, open_page, picture, rows, wait  # noqa: F401
from hub import ROOT, Hub

DEFAULT_INSTRUMENTS = 10
DIST = ROOT / "web-client" / "dist"

pytestmark = pytest.mark.settings({"web.root": DIST})

OpenPage = Callable[..., Page]


def get(url: str, **headers: str):
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5)


def test_all_default_instruments_tick(hub: Hub, open_page: OpenPage) -> None:
    page = open_page(hub.page_url)
    badge(page, "Live")
    wait(page, f"document.querySelectorAll('.row:not([hidden])').length === {DEFAULT_INSTRUMENTS}")
    before = {row["symbol"]: row for row in rows(page)}
    # Each trades at least once a second: every row's volume grows.
    wait(
        page,
        """before => [...document.querySelectorAll('.row:not([hidden])')].every(row => {
            const text = selector => row.querySelector(selector).firstChild.data;
            const old = before[text('.symbol')];
            return ['.bid', '.ask', '.last', '.volume'].some(cell => text(cell) !== old[cell.slice(1)]);
        })""",
        before,
    )
    for row in rows(page):
        assert number(row["bid"]) < number(row["ask"]), row
        assert number(row["low"]) <= number(row["last"]) <= number(row["high"]), row
        assert row["change"].endswith("%"), row
        assert row["age"] in ("<1s", "1s", "2s"), row
        assert row["mark"] == "", row
    picture(page, "hub")


def test_the_title_shows_the_selected_last_price(hub: Hub, open_page: OpenPage) -> None:
    page = open_page(hub.page_url)
    badge(page, "Live")
    wait(page, "document.querySelector('.row[aria-selected=true]')")
    page.locator(".row:not([hidden])").nth(3).click()
    chosen = rows(page)[3]["symbol"]
    wait(page, "symbol => document.title.endsWith(symbol)", chosen)
    wait(
        page,
        "() => document.title.startsWith(document.querySelector('.row[aria-selected=true] .last').firstChild.data)",
    )


def test_the_feed_is_quick_and_without_gaps(hub: Hub, open_page: OpenPage) -> None:
    page = open_page(hub.page_url)
    badge(page, "Live")
    wait(page, "parseFloat(document.getElementById('rate').textContent) >= 10")
    wait(page, "document.getElementById('latency').textContent.endsWith(' ms')")
    # Passes of 25 ms; the rest is room for a busy machine.
    assert number(page.inner_text("#latency")) < 250
    assert page.inner_text("#gaps") == "0"


def test_every_asset_is_served_as_the_build_says(hub: Hub) -> None:
    listing = json.loads((DIST / "assets.json").read_text())
    assert len(listing["assets"]) > 5
    for asset in listing["assets"]:
        with get(hub.page_url.rstrip("/") + asset["path"], Accept="text/html,*/*") as answer:
            assert answer.status == 200
            assert answer.read() == (DIST / asset["file"]).read_bytes()
            assert answer.headers["Content-Type"] == asset["type"]
            lasting = "immutable" in answer.headers["Cache-Control"]
            assert lasting == (asset["cache"] == "immutable"), asset["path"]
            if asset["type"].startswith("text/html"):
                for name, value in listing["documentHeaders"].items():
                    assert answer.headers[name] == value


def test_a_second_visit_asks_for_little(hub: Hub, open_page: OpenPage) -> None:
    page = open_page(hub.page_url)
    badge(page, "Live")
    page.reload()
    badge(page, "Live")
    cached = page.evaluate(
        """() => performance.getEntriesByType('resource').filter(entry => entry.name.includes('/assets/'))
            .map(entry => entry.transferSize)"""
    )
    assert cached and all(size == 0 for size in cached), cached
