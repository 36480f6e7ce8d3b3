import assert from "node:assert/strict";
import { test } from "node:test";
import { BackOff } from "../../src/feed/backoff.js";
import { Board, Column, Mark } from "../../src/feed/board.js";
import { ClockOffset } from "../../src/feed/clock.js";
import { Health } from "../../src/feed/health.js";
import { Meter } from "../../src/feed/meter.js";
import { FLAG_SNAPSHOT, Topics } from "../../src/feed/topics.js";
import {
    Channel,
    MarketState,
    newInstrument,
    newPush,
    newStatus,
    newTicker,
    newTopic,
    StatusReason,
} from "../../src/wire/generated/market_hub.js";

// ---- back-off -------------------------------------------------------------------------------------------------

test("the back-off doubles up to its bound and never ends", () => {
    const least = new BackOff(() => 0);
    const most = new BackOff(() => 1);
    const waits = Array.from({ length: 10 }, () => [least.nextMs(), most.nextMs()]);
    assert.deepEqual(waits.slice(0, 3), [[125, 250], [250, 500], [500, 1000]]);
    assert.deepEqual(waits[9], [BackOff.MOST_MS / 2, BackOff.MOST_MS]);
    for (let attempt = 0; attempt < 10_000; attempt++) assert.ok(most.nextMs() <= BackOff.MOST_MS);
    most.reset();
    assert.equal(most.nextMs(), 250);
});

// ---- clock offset ---------------------------------------------------------------------------------------------

test("the clock offset is that of the quickest round trip", () => {
    const clock = new ClockOffset();
    clock.answer(1000, 6100, 1200);
    assert.equal(clock.offsetMs, 5000);
    clock.answer(2000, 7005, 2010);
    assert.equal(clock.offsetMs, 5000);
    clock.answer(3000, 8900, 3800);
    assert.equal(clock.offsetMs, 5000);
    assert.equal(clock.roundTripMs, 800);
    for (let sample = 0; sample < ClockOffset.SAMPLES_MOST; sample++) clock.answer(4000, 4000 + 25, 4050);
    assert.equal(clock.offsetMs, 0, "old samples are forgotten");
});

test("an answer from the future or to no ping is no sample", () => {
    const clock = new ClockOffset();
    clock.answer(2000, 9000, 1000);
    clock.answer(0, 9000, 1e12);
    clock.answer(NaN, 9000, 10);
    assert.equal(clock.offsetMs, 0);
    assert.ok(Number.isNaN(clock.roundTripMs));
});

// ---- the badge ------------------------------------------------------------------------------------------------

test("the badge follows the last data message, not the socket", () => {
    const health = new Health(0);
    assert.equal(health.state(0), "reconnecting");
    health.opened(100);
    assert.equal(health.state(200), "reconnecting", "open, but nothing known yet");
    health.data(1_000, 5);
    assert.equal(health.state(1_000), "live");
    assert.equal(health.state(1_000 + Health.DELAYED_AFTER_MS - 1), "live");
    assert.equal(health.state(1_000 + Health.DELAYED_AFTER_MS), "delayed");
    assert.equal(health.state(1_000 + Health.STALE_AFTER_MS - 1), "delayed");
    assert.equal(health.state(1_000 + Health.STALE_AFTER_MS), "stale");
    health.data(20_000, 5);
    assert.equal(health.state(20_000), "live");
});

test("data that comes late is delayed, and live again when it is quick", () => {
    const health = new Health(0);
    health.opened(0);
    health.data(10, Health.LATE_MS);
    assert.equal(health.state(10), "delayed");
    health.data(20, NaN);
    assert.equal(health.state(20), "delayed", "a message without a latency says nothing about it");
    health.data(30, Health.LATE_MS - 1);
    assert.equal(health.state(30), "live");
});

test("a connection that never brings data becomes stale", () => {
    const health = new Health(0);
    health.opened(0);
    assert.equal(health.state(Health.STALE_AFTER_MS - 1), "reconnecting");
    assert.equal(health.state(Health.STALE_AFTER_MS), "stale");
});

test("without a connection it is reconnecting, then offline; without a network offline at once", () => {
    const health = new Health(0);
    health.opened(0);
    health.data(10, 1);
    health.closed(1_000);
    assert.equal(health.state(1_000), "reconnecting");
    health.closed(20_000);
    assert.equal(health.state(1_000 + Health.OFFLINE_AFTER_MS - 1), "reconnecting", "attempts do not start it anew");
    assert.equal(health.state(1_000 + Health.OFFLINE_AFTER_MS), "offline");
    health.opened(40_000);
    health.data(40_000, 1);
    health.network(false);
    assert.equal(health.state(40_001), "live", "a hub on this machine needs no network");
    health.closed(40_002);
    assert.equal(health.state(40_002), "offline");
    health.network(true);
    assert.equal(health.state(40_003), "reconnecting");
});

// ---- sequences ------------------------------------------------------------------------------------------------

function topics(): Topics {
    const topics = new Topics();
    topics.begin(newTopic({ id: 4, channel: Channel.TICKER, sequence: 10 }), 0);
    return topics;
}

test("a push follows when its previous is our last, however far it jumps", () => {
    const ours = topics();
    assert.equal(ours.judge(newPush({ topic: 4, previous: 10, sequence: 11 })), "next");
    assert.equal(ours.judge(newPush({ topic: 4, previous: 11, sequence: 90, skipped: 78 })), "next");
    assert.deepEqual(ours.brokenIDs, []);
});

test("a push with another previous is a gap, counted once until the topic is subscribed anew", () => {
    const ours = topics();
    assert.equal(ours.judge(newPush({ topic: 4, previous: 11, sequence: 12 })), "gap");
    assert.deepEqual(ours.brokenIDs, [4]);
    assert.equal(ours.judge(newPush({ topic: 4, previous: 12, sequence: 13 })), "next");
    assert.equal(ours.judge(newPush({ topic: 4, previous: 15, sequence: 16 })), "next");
    assert.deepEqual(ours.brokenIDs, [4]);
    ours.begin(newTopic({ id: 4, sequence: 20 }), 0);
    assert.deepEqual(ours.brokenIDs, []);
    assert.equal(ours.judge(newPush({ topic: 4, previous: 20, sequence: 21 })), "next");
    assert.equal(ours.judge(newPush({ topic: 4, previous: 22, sequence: 23 })), "gap");
});

test("what we have already is old, and no gap", () => {
    const ours = topics();
    assert.equal(ours.judge(newPush({ topic: 4, previous: 8, sequence: 9 })), "old");
    assert.equal(ours.judge(newPush({ topic: 4, previous: 9, sequence: 10 })), "old");
    assert.equal(ours.judge(newPush({ topic: 4, previous: 10, sequence: 11 })), "next");
});

test("a snapshot follows nothing and heals a gap", () => {
    const ours = topics();
    ours.judge(newPush({ topic: 4, previous: 11, sequence: 12 }));
    assert.equal(ours.judge(newPush({ topic: 4, previous: 0, sequence: 30, flags: FLAG_SNAPSHOT | 256 })), "snapshot");
    assert.deepEqual(ours.brokenIDs, []);
    assert.equal(ours.judge(newPush({ topic: 4, previous: 30, sequence: 31 })), "next");
});

test("a heartbeat tells of a push that never came", () => {
    const ours = topics();
    assert.equal(ours.missed(4, 10), false);
    assert.equal(ours.missed(4, 11), true);
    assert.equal(ours.missed(4, 12), false, "once is enough until it is subscribed anew");
    assert.equal(ours.missed(9, 12), false, "none of ours");
    assert.deepEqual(ours.brokenIDs, [4]);
});

test("a topic that is none of ours is unknown", () => {
    const ours = topics();
    assert.equal(ours.judge(newPush({ topic: 5, previous: 10, sequence: 11 })), "unknown");
    ours.end(4);
    assert.equal(ours.judge(newPush({ topic: 4, previous: 10, sequence: 11 })), "unknown");
});

// ---- the board ------------------------------------------------------------------------------------------------

const btc = newInstrument({ id: 1, symbol: "BTC-USD", venue: "kraken", priceScale: 2, quantityScale: 8 });
const sizes = { bidQuantity: 1, askQuantity: 1, lastQuantity: 1 };
const tick = newTicker({ bidPrice: 99, askPrice: 101, lastPrice: 100, ...sizes });

function taken(board: Board): Map<number, number[]> {
    const { figures, count } = board.takeChanges();
    const width = Column.COUNT + 1;
    const rows = Array.from({ length: count }, (_, index) => [...figures.subarray(index * width, (index + 1) * width)]);
    return new Map(rows.map(([row, ...columns]) => [row ?? -1, columns]));
}

test("the board gives each changed row once, with its newest figures", () => {
    const board = new Board();
    const row = board.row(btc) ?? -1;
    assert.equal(board.row(btc), row, "the same instrument keeps its row");
    board.ticker(row, tick, 1, false);
    board.ticker(row, { ...tick, lastPrice: 102 }, 2, false);
    assert.equal(taken(board).get(row)?.[Column.LAST], 102);
    assert.equal(taken(board).size, 0);
});

test("a side or a day that is not there has no figure", () => {
    const board = new Board();
    const row = board.row(btc) ?? -1;
    board.ticker(row, { ...tick, askQuantity: 0, lastQuantity: 0 }, 1, false);
    const figures = taken(board).get(row);
    assert.equal(figures?.[Column.BID], 99);
    for (const column of [Column.ASK, Column.LAST, Column.OPEN, Column.HIGH, Column.LOW, Column.VOLUME]) {
        assert.ok(Number.isNaN(figures?.[column]), `column ${column}`);
    }
});

test("the worse of the venue's state and our own holds, until both are well", () => {
    const board = new Board();
    const row = board.row(btc) ?? -1;
    const mark = () => taken(board).get(row)?.[Column.MARK];
    board.status(row, newStatus({ state: MarketState.STALE }));
    assert.equal(mark(), Mark.STALE);
    board.resyncing(row, true);
    board.ticker(row, tick, 1, false);
    assert.equal(mark(), Mark.STALE);
    board.status(row, newStatus({ state: MarketState.LIVE }));
    assert.equal(mark(), Mark.RESYNCING, "a tick does not end our resync");
    board.resyncing(row, false);
    assert.equal(mark(), Mark.LIVE);
    board.ticker(row, tick, 2, true);
    assert.equal(mark(), Mark.STALE, "by the push's own flag");
    board.ticker(row, tick, 3, false);
    assert.equal(mark(), Mark.LIVE);
});

test("other units take the old figures off the board", () => {
    const board = new Board();
    const row = board.row(btc) ?? -1;
    board.ticker(row, tick, 1, false);
    board.takeChanges();
    board.takeDescriptions();
    const finer = { ...btc, priceScale: 4 };
    board.status(row, newStatus({ state: MarketState.LIVE, reason: StatusReason.UNITS_CHANGED, instrument: finer }));
    assert.ok(Number.isNaN(taken(board).get(row)?.[Column.LAST]));
    assert.deepEqual(board.takeDescriptions().map(({ priceScale }) => priceScale), [4]);
});

test("instruments off the hub's list leave ours, and come back to their row", () => {
    const board = new Board();
    const row = board.row(btc) ?? -1;
    const other = board.row(newInstrument({ symbol: "BTC-USD", venue: "coinbase" })) ?? -1;
    assert.ok(other !== row, "one symbol on two venues is two rows");
    board.takeDescriptions();
    board.keepOnly(new Set([other]));
    assert.deepEqual(board.takeDescriptions().map(({ row, isListed }) => [row, isListed]), [[row, false]]);
    assert.equal(board.row(btc), row);
    assert.deepEqual(board.takeDescriptions().map(({ isListed }) => isListed), [true]);
});

test("the board grows, reuses a large enough buffer, and has a bound", () => {
    const board = new Board();
    for (let id = 0; id < Board.ROWS_MOST; id++) board.row(newInstrument({ symbol: `S${id}`, venue: "v" }));
    assert.equal(board.row(btc), undefined);
    assert.equal(board.rowCount, Board.ROWS_MOST);
    const { figures, count } = board.takeChanges();
    assert.equal(count, Board.ROWS_MOST);
    assert.equal(figures[(count - 1) * (Column.COUNT + 1)], Board.ROWS_MOST - 1);
    board.ticker(3, tick, 1, false);
    assert.equal(board.takeChanges(figures.buffer as ArrayBuffer).figures.buffer, figures.buffer);
});

// ---- rates ----------------------------------------------------------------------------------------------------

test("the meter counts by whole seconds", () => {
    const meter = new Meter(0);
    for (let frame = 0; frame < 40; frame++) meter.frame(25);
    meter.latency(2);
    meter.latency(6);
    meter.tick(999);
    assert.equal(meter.pushesPerSecond, 0);
    meter.tick(1000);
    assert.deepEqual([meter.framesPerSecond, meter.pushesPerSecond], [40, 1000]);
    assert.deepEqual([meter.latencyMs, meter.latencyWorstMs], [4, 6]);
    meter.tick(3000);
    assert.deepEqual([meter.framesPerSecond, meter.latencyMs], [0, 4]);
});
