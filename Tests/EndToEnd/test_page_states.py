"""The web page before a stand-in for the hub, which shows it what the real one rarely does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from chromium import badge, browser, number, open_page, picture, row, rows, until, wait  # noqa: F401
from fake_hub import TICKER, FakeHub, Market, default_markets

OpenPage = Callable[..., Page]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
STALE, HALTED, LIVE = 5, 6, 3


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


def live_page(open_page: OpenPage, hub: FakeHub, **options: object) -> Page:
    page = open_page(hub.page_url, **options)
    badge(page, "Live")
    wait(page, "document.title.includes('USD') || document.title.includes('EUR')")
    return page


# ---- connection -------------------------------------------------------------------------------------------------


def test_silence_is_delayed_then_stale_then_a_new_connection(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake, color_scheme="light")
    fake.is_paused = fake.is_deaf = True
    badge(page, "Delayed", 5)
    badge(page, "Stale", 9)
    assert page.title().startswith("Stale \u00b7 ")
    assert "what you see is old" in page.inner_text("#notice")
    picture(page, "stale")
    # Not even pings are answered: the socket is dead, whatever it says.
    badge(page, "Reconnecting", 5)
    fake.is_paused = fake.is_deaf = False
    # Its first attempt may have met the deaf hub: then it waits for its answers and tries again.
    badge(page, "Live", 30)
    assert fake.connects >= 2
    assert page.inner_text("#notice") == ""


def test_pongs_without_prices_are_stale_but_no_reason_to_reconnect(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    fake.is_paused = True
    badge(page, "Stale", 13)
    page.wait_for_timeout(3_000)
    assert fake.connects == 1
    fake.is_paused = False
    badge(page, "Live", 3)


def test_a_cut_connection_comes_back_and_keeps_the_view(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    page.fill("#search", "kraken")
    page.get_by_role("button", name="Change").click()
    page.locator(".row:not([hidden])").nth(1).click()
    chosen = [row["symbol"] for row in rows(page) if row["selected"] == "true"]
    fake.cut()
    until(lambda: fake.connects == 2, 5, "the page connects again")
    badge(page, "Live")
    assert {row["venue"] for row in rows(page)} == {"kraken"}
    assert [row["symbol"] for row in rows(page) if row["selected"] == "true"] == chosen


def test_the_networks_return_ends_the_wait(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    fake.refuses = True
    fake.cut()
    badge(page, "Reconnecting")
    wait(page, "document.getElementById('notice').textContent.includes('next attempt in')")
    # Let the waits grow, so that the return alone can explain a quick connection.
    page.wait_for_timeout(4_000)
    page.context.set_offline(True)
    badge(page, "Offline")
    picture(page, "offline")
    fake.refuses = False
    begun = time.monotonic()
    page.context.set_offline(False)
    badge(page, "Live", 3)
    assert time.monotonic() - begun < 2


def test_a_final_close_is_not_answered_by_coming_back(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    fake.close_all(3500, "This page is too old")
    badge(page, "Offline")
    assert page.inner_text("#notice") == "This page is too old"
    page.wait_for_timeout(1_500)
    assert fake.connects == 1


# ---- data -------------------------------------------------------------------------------------------------------


def test_a_gap_is_counted_and_its_topic_subscribed_anew(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    assert page.inner_text("#gaps") == "0"
    fake.lose_push("SOL-USD")
    wait(page, "document.getElementById('gaps').textContent === '1'")
    topic = next(market.id for market in fake.markets if market.symbol == "SOL-USD") * 10 + TICKER
    until(lambda: [topic] in fake.resynced, 3, "the topic alone is asked for")
    page.wait_for_timeout(1_500)
    assert page.inner_text("#gaps") == "1"
    assert row(page, "SOL-USD")["mark"] == ""
    assert fake.connects == 1


def test_a_later_instrument_joins_and_ticks(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    page.wait_for_timeout(5_000)
    fake.join(Market(len(fake.markets), "NEW-USD", "kraken", 2, 5_000))
    wait(page, "document.querySelector('.body').textContent.includes('NEW-USD')")
    first = row(page, "NEW-USD")
    until(lambda: row(page, "NEW-USD")["volume"] != first["volume"], 5, "the new instrument ticks")


def test_the_venues_state_marks_the_row(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    for state, word in [(STALE, "stale"), (HALTED, "halted"), (4, "resync"), (1, "no feed"), (LIVE, "")]:
        fake.status("SOL-USD", state)
        until(lambda: row(page, "SOL-USD")["mark"] == word, 3, word)
        assert page.locator(".row:has-text('SOL-USD') .tag").inner_text() == word
    assert {row["mark"] for row in rows(page)} == {""}


def test_figures_are_those_of_the_hub(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    fake.is_paused = True
    page.wait_for_timeout(300)
    for market in fake.markets:
        shown = next(r for r in rows(page) if (r["symbol"], r["venue"]) == (market.symbol, market.venue))
        unit = 10**market.price_scale
        ticker = market.ticker()
        for cell, units in [
            ("bid", ticker.bid_price), ("ask", ticker.ask_price), ("last", market.price), ("high", market.high),
            ("low", market.low),
        ]:
            assert shown[cell].replace(",", "") == f"{units / unit:.{market.price_scale}f}", (market.symbol, cell)
        change = (market.price - market.open) / market.open * 100
        assert number(shown["change"]) == pytest.approx(change, abs=0.0051)
        arrow = "\u25b2" if change >= 0.005 else "\u25bc" if change < -0.005 else "0"
        assert shown["change"].startswith(arrow), shown


def test_a_hub_with_another_clock_looks_no_slower(fake: FakeHub, open_page: OpenPage) -> None:
    fake.clock_ahead_ns = 3_600 * 10**9
    page = live_page(open_page, fake)
    wait(page, "document.getElementById('latency').textContent.endsWith(' ms')")
    page.wait_for_timeout(2_500)
    assert number(page.inner_text("#latency")) < 500
    assert all(shown["age"] in ("<1s", "1s", "2s") for shown in rows(page))
    badge(page, "Live")


# ---- table ------------------------------------------------------------------------------------------------------


def test_only_rows_on_the_screen_are_in_the_document(open_page: OpenPage) -> None:
    with FakeHub(default_markets(2_000), rate=2_000) as hub:
        page = live_page(open_page, hub)
        wait(page, "document.querySelector('[role=grid]').ariaRowCount === '2001'")
        assert page.locator(".row").count() < 40
        page.focus("#table")
        page.keyboard.press("End")
        wait(page, "document.querySelector('.row[aria-selected=true]')?.ariaRowIndex === '2001'")
        last = next(row for row in rows(page) if row["selected"] == "true")
        assert last["symbol"] == "XRP-USD"
        indices = page.evaluate("[...document.querySelectorAll('.row:not([hidden])')].map(row => +row.ariaRowIndex)")
        assert len(set(indices)) == len(indices) and max(indices) == 2001
        page.keyboard.press("Home")
        assert rows(page)[0]["symbol"] == "ADA-EUR"


def test_search_and_keys(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    page.keyboard.press("/")
    page.keyboard.type("btc kra")
    assert [(row["symbol"], row["venue"]) for row in rows(page)] == [("BTC-USD", "kraken")]
    assert page.get_attribute("#table", "aria-rowcount") == "2"
    page.keyboard.press("Enter")
    wait(page, "document.title.endsWith('BTC-USD')")
    page.keyboard.press("/")
    page.keyboard.type("?nothing")
    assert rows(page) == []
    assert "Nothing fits" in page.inner_text(".empty")
    page.keyboard.press("Escape")
    assert len(rows(page)) == 12
    page.keyboard.press("ArrowDown")
    active = page.get_attribute("#table", "aria-activedescendant")
    assert page.get_attribute(f"#{active}", "aria-selected") == "true"
    page.keyboard.press("?")
    assert page.locator("#sheet").is_visible()
    picture(page, "sheet")
    page.keyboard.press("Escape")
    assert not page.locator("#sheet").is_visible()


@pytest.mark.parametrize("heading, cell", [("Bid", "bid"), ("Change", "change")])
def test_sorting_by_a_column_and_back(fake: FakeHub, open_page: OpenPage, heading: str, cell: str) -> None:
    page = live_page(open_page, fake)
    fake.is_paused = True
    page.wait_for_timeout(200)
    page.get_by_role("button", name=heading, exact=True).click()
    assert page.get_by_role("columnheader", name=heading, exact=True).get_attribute("aria-sort") == "descending"
    values = [number(row[cell]) for row in rows(page)]
    assert values == sorted(values, reverse=True)
    page.get_by_role("button", name=heading, exact=True).click()
    values = [number(row[cell]) for row in rows(page)]
    assert values == sorted(values)
    page.reload()
    wait(page, "document.querySelector('.row:not([hidden])')")
    assert page.locator(f".headings .{cell}").get_attribute("aria-sort") == "ascending", "the order is remembered"


RECORD_FLASHES = """() => {
    window.flashes = [];
    for (const cell of document.querySelectorAll('.row .last')) {
        const record = () => { if (cell.dataset.flash) window.flashes.push([cell.parentNode.id, performance.now()]); };
        new MutationObserver(record).observe(cell, { attributeFilter: ['data-flash'] });
    }
}"""


def test_the_last_price_flashes_at_most_twice_a_second(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    page.evaluate(RECORD_FLASHES)
    page.wait_for_timeout(3_000)
    by_row: dict[str, list[float]] = {}
    for id, at in page.evaluate("window.flashes"):
        by_row.setdefault(id, []).append(at)
    assert len(by_row) >= 8, "most instruments ticked"
    for times in by_row.values():
        # Frames come a little early or late.
        assert all(later - earlier > 480 for earlier, later in zip(times, times[1:])), times


def test_nothing_flashes_for_those_who_want_stillness(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake, reduced_motion="reduce")
    page.evaluate(RECORD_FLASHES)
    before = rows(page)
    page.wait_for_timeout(1_500)
    assert rows(page) != before
    assert page.evaluate("window.flashes") == []


def test_a_hidden_page_keeps_its_title_true(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    page.evaluate(
        """() => {
            Object.defineProperty(document, 'hidden', { get: () => true });
            window.requestAnimationFrame = () => 0;
            document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )
    title = page.title()
    wait(page, "title => document.title !== title", title, 4)


# ---- looks ------------------------------------------------------------------------------------------------------


def test_the_theme_follows_the_system_until_it_is_chosen(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    picture(page, "dark")
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    assert dark != light
    picture(page, "light")
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(ground) == dark
    page.reload()
    assert page.evaluate(ground) == dark, "the choice is remembered"
    page.get_by_role("button", name="Theme: dark").click()
    assert page.evaluate(ground) == light


# Every text against what lies behind it, WCAG 2.2, 1.4.3.
POOR_CONTRASTS = """() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = color => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = color => rgba(color).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const ground = element => {
        for (let at = element; at; at = at.parentElement) {
            const color = getComputedStyle(at).backgroundColor;
            if (rgba(color)[3] === 255) return color;
        }
        return 'white';
    };
    const poor = [];
    for (const element of document.querySelectorAll('body *')) {
        const text = [...element.childNodes].filter(node => node.nodeType === 3 && node.data.trim()).length;
        if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
        const [one, other] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < 4.5) poor.push(`${element.className || element.id || element.tagName} ${ratio.toFixed(2)}`);
    }
    return poor;
}"""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_text_can_be_read(fake: FakeHub, open_page: OpenPage, scheme: str) -> None:
    page = live_page(open_page, fake, color_scheme=scheme)
    fake.status("SOL-USD", STALE)
    until(lambda: row(page, "SOL-USD")["mark"] == "stale", 3, "stale")
    # Flashing cells come and go: look several times.
    for _ in range(8):
        assert page.evaluate(POOR_CONTRASTS) == []
        page.wait_for_timeout(60)
    page.keyboard.press("?")
    assert page.evaluate(POOR_CONTRASTS) == []
    page.keyboard.press("Escape")
    fake.refuses = True
    fake.cut()
    badge(page, "Reconnecting")
    assert page.evaluate(POOR_CONTRASTS) == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_phone_has_all_it_needs_within_its_width(fake: FakeHub, open_page: OpenPage, scheme: str) -> None:
    page = live_page(open_page, fake, color_scheme=scheme, **PHONE)
    picture(page, f"phone-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    shown = page.locator(".row:not([hidden])").first
    for cell in ["symbol", "venue", "bid", "ask", "last", "change"]:
        box = shown.locator(f".{cell}").bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390, cell
    for target in page.locator("button:visible, input:visible, .row:not([hidden])").all():
        box = target.bounding_box()
        assert box and box["height"] >= 44, target
    page.locator(".row:not([hidden])").nth(2).tap()
    assert rows(page)[2]["selected"] == "true"


def test_the_grid_tells_what_it_is(fake: FakeHub, open_page: OpenPage) -> None:
    page = live_page(open_page, fake)
    grid = page.get_by_role("grid", name="Live prices")
    assert grid.get_attribute("aria-rowcount") == "13"
    assert grid.get_attribute("aria-colcount") == "10"
    assert page.get_by_role("columnheader").count() == 10
    assert grid.get_by_role("row").nth(1).get_attribute("aria-rowindex") == "2"
    assert page.get_by_role("status").inner_text().strip() == "Live"


def test_the_policy_forbids_what_the_page_does_not_need(fake: FakeHub, open_page: OpenPage) -> None:
    page = open_page(fake.page_url, expecting="Content Security Policy")
    violated = page.evaluate(
        """() => new Promise(done => {
            document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
            document.body.setAttribute('onclick', '1');
            setTimeout(() => done('nothing'), 2000);
        })"""
    )
    assert violated == "script-src-attr"
    policy = page.evaluate("fetch('/').then(answer => answer.headers.get('Content-Security-Policy'))")
    assert "unsafe" not in policy and "script-src 'self'" in policy
