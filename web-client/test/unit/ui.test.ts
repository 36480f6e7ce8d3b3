import assert from "node:assert/strict";
import { test } from "node:test";
import { Board } from "../../src/feed/board.js";
import { spread } from "../../src/fmt/numbers.js";
import { badgeText, explanation } from "../../src/ui/badge.js";
import { arranged, fits, startsDescending, type SortKey } from "../../src/ui/order.js";
import { Quotes } from "../../src/ui/quotes.js";
import { loadSettings, storeSettings } from "../../src/ui/settings.js";
import { newInstrument, newTicker, type Ticker } from "../../src/wire/generated/market_hub.js";

/** Symbol, venue, scale, and what of the ticker is not empty. */
const ROWS: [string, string, number, Partial<Ticker>, number][] = [
    ["ETH-USD", "kraken", 2, { lastPrice: 345_000, lastQuantity: 1, dayOpen: 340_000, dayVolume: 5 }, 3_000],
    ["BTC-USD", "kraken", 1, { lastPrice: 970_000, lastQuantity: 1, dayOpen: 980_000, dayVolume: 2 }, 1_000],
    ["BTC-USD", "coinbase", 2, { lastPrice: 9_700_100, lastQuantity: 1 }, 2_000],
    ["SYM10", "synthetic", 0, {}, 500],
    ["SYM9", "synthetic", 0, { lastPrice: -5, lastQuantity: 1, dayOpen: -4, dayVolume: 9 }, 4_000],
];

function quotes(): Quotes {
    const board = new Board();
    for (const [symbol, venue, priceScale, ticker, receivedMs] of ROWS) {
        const row = board.row(newInstrument({ symbol, venue, priceScale, quantityScale: 0 })) ?? -1;
        board.ticker(row, newTicker(ticker), receivedMs, false);
    }
    const quotes = new Quotes();
    quotes.apply({ ...board.takeChanges(), descriptions: board.takeDescriptions() });
    return quotes;
}

function names(key: SortKey, isDescending: boolean, query = ""): string[] {
    const all = quotes();
    return arranged(all, { key, isDescending }, query).map((row) => all.name(row));
}

const [ETH, BTC, BTC2] = ["ETH-USD@kraken", "BTC-USD@kraken", "BTC-USD@coinbase"];
const [SYM10, SYM9] = ["SYM10@synthetic", "SYM9@synthetic"];

test("sorts names as people do, numbers in them by value", () => {
    assert.deepEqual(names("symbol", false), [BTC2, BTC, ETH, SYM9, SYM10]);
    assert.deepEqual(names("symbol", true), [SYM10, SYM9, ETH, BTC, BTC2]);
    assert.deepEqual(names("venue", false), [BTC2, BTC, ETH, SYM9, SYM10]);
});

test("sorts prices by value, whatever their scales, and leaves what has none at the end", () => {
    assert.deepEqual(names("last", true), [BTC2, BTC, ETH, SYM9, SYM10]);
    assert.deepEqual(names("last", false), [SYM9, ETH, BTC, BTC2, SYM10]);
});

test("sorts changes by part of the open", () => {
    assert.deepEqual(names("change", true), [ETH, BTC, SYM9, BTC2, SYM10]);
    assert.deepEqual(names("change", false), [SYM9, BTC, ETH, BTC2, SYM10]);
});

test("sorts volume, and age from the newest", () => {
    assert.deepEqual(names("volume", true), [SYM9, ETH, BTC, BTC2, SYM10]);
    assert.deepEqual(names("age", startsDescending("age")), [SYM9, ETH, BTC2, BTC, SYM10]);
});

test("equal rows stand by name", () => {
    assert.deepEqual(names("high", true).slice(-2), [BTC2, SYM10]);
    assert.deepEqual(names("bid", false), [BTC2, BTC, ETH, SYM9, SYM10]);
});

test("finds rows by every word of the query, in symbol and venue", () => {
    assert.deepEqual(names("symbol", false, "btc"), [BTC2, BTC]);
    assert.deepEqual(names("symbol", false, "kraken  usd"), [BTC, ETH]);
    assert.deepEqual(names("symbol", false, "BTC-USD@kr"), [BTC]);
    assert.deepEqual(names("symbol", false, "nothing"), []);
    assert.ok(fits("anything", ""));
    assert.ok(fits("a.b(c", "b("), "no pattern language");
});

test("leaves out what the hub lists no more", () => {
    const all = quotes();
    const gone = all.description(0);
    assert.ok(gone);
    all.apply({ figures: new Float64Array(0), count: 0, descriptions: [{ ...gone, isListed: false }] });
    assert.equal(arranged(all, { key: "symbol", isDescending: false }, "").length, 4);
});

test("knows which rows the last changes touched", () => {
    const all = quotes();
    assert.ok(all.isNew(2));
    const changes = new Float64Array([2, ...new Array<number>(9).fill(7)]);
    assert.equal(all.apply({ figures: changes, count: 1, descriptions: [] }), false);
    assert.deepEqual([all.isNew(1), all.isNew(2)], [false, true]);
});

test("the badge has a word for every state, and the first attempt is no return", () => {
    assert.equal(badgeText({ state: "reconnecting", wasConnected: false }), "Connecting");
    assert.equal(badgeText({ state: "reconnecting", wasConnected: true }), "Reconnecting");
    assert.equal(badgeText({ state: "offline", wasConnected: false }), "Offline");
    assert.equal(badgeText({ state: "live", wasConnected: true }), "Live");
});

test("the badge is explained where there is something to explain", () => {
    assert.equal(explanation({ state: "live", reason: "", retryInMs: NaN }), "");
    const text = explanation({ state: "reconnecting", reason: "the hub is out of reach", retryInMs: 2100 });
    assert.equal(text, "The hub is out of reach; next attempt in 3 s");
    assert.equal(explanation({ state: "offline", reason: "go away", retryInMs: NaN }), "Go away");
});

test("shows a spread in price and in hundredths of a percent", () => {
    assert.equal(spread(9999, 10001, 2), "0.02 \u00b7 2.0 bp");
    assert.equal(spread(-2, 2, 0), "4");
    assert.equal(spread(NaN, 2, 0), "\u2013");
});

test("settings survive a visit, and a stored text of another version does no harm", () => {
    let stored: string | null = null;
    const store = () => ({ getItem: () => stored, setItem: (_: string, text: string) => void (stored = text) });
    const fresh = loadSettings(store);
    assert.deepEqual(fresh, { selected: "", sorting: { key: "symbol", isDescending: false } });
    const chosen = { selected: "BTC-USD@kraken", sorting: { key: "change" as const, isDescending: true } };
    storeSettings(store, chosen);
    assert.deepEqual(loadSettings(store), chosen);
    for (const other of ["", "{", "null", "[]", "7", '{"selected":5,"key":"x","isDescending":1}']) {
        stored = other;
        assert.deepEqual(loadSettings(store), fresh, other);
    }
    const broken = () => {
        throw new Error("storage is off");
    };
    assert.deepEqual(loadSettings(broken), fresh);
    storeSettings(broken, chosen);
});
