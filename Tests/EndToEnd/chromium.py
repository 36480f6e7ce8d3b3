"""Debian's Chromium, driven by Playwright, for the tests of the web page: import `browser` and `open_page`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hub import ROOT
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

PROGRAM = "/usr/bin/chromium"
# Set to a folder to get pictures of the page as the tests see it.
PICTURES = os.environ.get("PAGE_PICTURES")

# The browser itself complains of sockets that do not come to be; there is no way for a page to prevent it.
SOCKET_COMPLAINT = re.compile(r"WebSocket connection to .* failed|ERR_INTERNET_DISCONNECTED")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not (ROOT / "web-client" / "dist" / "assets.json").exists():
        pytest.fail("the page is not built: Scripts/build-web")
    with sync_playwright() as playwright:
        # As root, as in most containers, Chromium's sandbox cannot start.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, each in a profile of its own: `open_page(url, color_scheme="light")`.

    At the end no page may have complained, neither of an error nor of its content security policy, but for what holds
    the text `expecting`.
    """
    contexts = []
    complaints: list[str] = []
    expected: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not SOCKET_COMPLAINT.search(message.text):
            complaints.append(message.text)

    def open(url: str, expecting: str = "", **options: Any) -> Page:
        if expecting:
            expected.append(expecting)
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 560}, "color_scheme": "dark", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield open
    for context in contexts:
        context.close()
    assert [complaint for complaint in complaints if not any(text in complaint for text in expected)] == []


def wait(page: Page, expression: str, arg: object = None, seconds: float = 10) -> None:
    """Waits until the expression, or the function of `arg`, is true.

    Playwright's own wait_for_function evaluates text in the page, which the page's policy forbids.
    """
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < deadline, f"not within {seconds} s: {expression} {arg or ''}"
        page.wait_for_timeout(20)


def badge(page: Page, word: str, seconds: float = 10) -> None:
    """Waits until the badge says the word."""
    wait(page, "word => document.getElementById('badge-label').textContent === word", word, seconds)


def rows(page: Page) -> list[dict[str, str]]:
    """What the shown rows say, from the top: class of the cell to its text, and the mark."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.row:not([hidden])')]
            .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
            .map(row => ({ mark: row.dataset.mark ?? '', selected: row.ariaSelected,
                ...Object.fromEntries([...row.children].map(cell => [cell.className, cell.firstChild.data])) }))"""
    )


def row(page: Page, symbol: str) -> dict[str, str]:
    return next(row for row in rows(page) if row["symbol"] == symbol)


def number(text: str) -> float:
    """The value of a shown number; NaN where none is shown."""
    digits = re.sub("[^0-9.-]", "", text.replace("\u2212", "-"))
    return float(digits) if digits else float("nan")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png")


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits for what is not in the page."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
