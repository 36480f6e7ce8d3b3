import assert from "node:assert/strict";
import { test } from "node:test";
import { BackOff } from "../../src/feed/backoff.js";
import { Board, Column, Mark } from "../../src/feed/board.js";
import { Health } from "../../src/feed/health.js";
import { Link, type Port } from "../../src/feed/link.js";
import { FLAG_SNAPSHOT } from "../../src/feed/topics.js";
import { Reader, Writer } from "../../src/wire/wire.js";
import {
    Channel,
    newConnectResult,
    newErrorMessage,
    newHeartbeat,
    newInstrument,
    newLimits,
    newListResult,
    newPong,
    newPush,
    newDisconnect,
    newReply,
    newResyncResult,
    newServerFrame,
    newSubscribeResult,
    newSymbolResult,
    newTicker,
    newTopic,
    newTopicSequence,
    readClientFrame,
    writeServerFrame,
    type Command,
    type Push,
    type Reply,
    type ServerFrame,
} from "../../src/wire/generated/market_hub.js";

const btc = newInstrument({ id: 1, symbol: "BTC-USD", venue: "kraken", priceScale: 2 });
const eth = newInstrument({ id: 2, symbol: "ETH-USD", venue: "kraken", priceScale: 2 });
const BTC_TOPIC = 40;
const ETH_TOPIC = 41;

/** The world as the link sees it: a clock that we turn, and a hub that says what the test wants. */
class World implements Port {
    now = 1_000_000;
    chance = 1;
    opens = 0;
    closes: string[] = [];
    sent: Command[] = [];
    readonly board = new Board();
    readonly link: Link;

    constructor() {
        this.link = new Link(this, this.board);
    }

    nowMs(): number {
        return this.now;
    }
    random(): number {
        return this.chance;
    }
    open(): void {
        this.opens++;
    }
    send(bytes: Uint8Array): void {
        const reader = new Reader(bytes);
        this.sent.push(...readClientFrame(reader, reader.end).commands);
    }
    close(reason: string): void {
        this.closes.push(reason);
    }

    /** Lets time pass in steps of the worker's timer. */
    pass(ms: number): void {
        for (const end = this.now + ms; this.now < end; ) {
            this.now = Math.min(end, this.now + 100);
            this.link.tick();
        }
    }

    hear(frame: Partial<ServerFrame>): void {
        const writer = new Writer();
        writeServerFrame(writer, newServerFrame(frame));
        this.link.frame(writer.finish());
    }

    /** Takes what was sent since the last call. */
    said(): Command[] {
        return this.sent.splice(0);
    }

    tick(topic: number, previous: number, sequence: number, more: Partial<Push> = {}): void {
        const ticker = newTicker({ lastPrice: sequence, lastQuantity: 1 });
        this.hear({ pushes: [newPush({ topic, previous, sequence, receivedUs: this.now * 1000, ticker, ...more })] });
    }

    mark(): number | undefined {
        const { figures, count } = this.board.takeChanges();
        for (let at = 0; at < count * (Column.COUNT + 1); at += Column.COUNT + 1) {
            if (figures[at] === 0) return figures[at + 1 + Column.MARK];
        }
        return undefined;
    }
}

function reply(id: number | undefined, fields: Partial<Reply>): Partial<ServerFrame> {
    return { replies: [newReply({ ...fields, id: id ?? 0 })] };
}

function resynced(topic: number, sequence: number): Partial<Reply> {
    return { resync: newResyncResult({ topics: [newTopicSequence({ topic, sequence })] }) };
}

function topicResult(id: number, sequence: number, instrument = btc, channel = Channel.TICKER) {
    return newSymbolResult({ symbol: "*", topic: newTopic({ id, sequence, channel, instrument }) });
}

/** What a hub with BTC-USD and ETH-USD answers to the first frame. */
function answers(commands: Command[]): Reply[] {
    return commands.flatMap(({ id, connect, list, ping, subscribe }) => {
        if (connect) {
            const limits = newLimits({ symbolsPerRequestMost: 50 });
            return [newReply({ id, connect: newConnectResult({ version: "0.1.0", epoch: 1, limits }) })];
        }
        if (list) return [newReply({ id, list: newListResult({ instruments: [btc, eth] }) })];
        if (ping) return [newReply({ id, pong: newPong({ clientUs: ping.clientUs, serverUs: ping.clientUs }) })];
        if (!subscribe) return [];
        const isTicker = subscribe.channel === Channel.TICKER;
        const results = isTicker ? [topicResult(BTC_TOPIC, 10), topicResult(ETH_TOPIC, 5, eth)] : [];
        return [newReply({ id, subscribe: newSubscribeResult({ results }) })];
    });
}

function live(): World {
    const world = new World();
    world.link.tick();
    world.link.opened();
    world.hear({ replies: answers(world.said()) });
    world.tick(BTC_TOPIC, 10, 11);
    assert.equal(world.link.vitals().state, "live");
    return world;
}

/** Answers pings as a living hub does, and ticks once a second. */
function passAlive(world: World, ms: number, from: number): number {
    let sequence = from;
    for (const end = world.now + ms; world.now < end; ) {
        world.pass(1000);
        world.hear({ replies: answers(world.said()) });
        world.tick(BTC_TOPIC, sequence, sequence + 1);
        sequence++;
    }
    return sequence;
}

test("introduces itself, lists, and subscribes all instruments in its first frame", () => {
    const world = new World();
    world.link.tick();
    assert.equal(world.opens, 1);
    world.link.opened();
    const commands = world.said();
    assert.equal(commands[0]?.connect?.passMs, 25);
    assert.equal(commands.filter(({ list }) => list).length, 1);
    const asked = commands.flatMap(({ subscribe }) => (subscribe ? [[subscribe.channel, ...subscribe.symbols]] : []));
    assert.deepEqual(asked, [[Channel.TICKER, "*"], [Channel.STATUS, "*"]]);
    assert.equal(new Set(commands.map(({ id }) => id)).size, commands.length, "every id is its own");
});

test("asks for page after page of the list, and takes off what no page named", () => {
    const world = live();
    world.board.takeDescriptions();
    world.link.closed(1006, "");
    world.pass(1000);
    world.link.opened();
    const list = world.said().find((command) => command.list);
    world.hear(reply(list?.id, { list: newListResult({ instruments: [eth], next: 7 }) }));
    const next = world.said().find((command) => command.list);
    assert.equal(next?.list?.from, 7);
    assert.deepEqual(world.board.takeDescriptions(), [], "not before the last page");
    world.hear(reply(next?.id, { list: newListResult() }));
    const changed = world.board.takeDescriptions();
    assert.deepEqual(changed.map(({ symbol, isListed }) => [symbol, isListed]), [["BTC-USD", false]]);
});

test("a gap is counted, marked, and the topic alone asked for anew", () => {
    const world = live();
    world.said();
    world.tick(BTC_TOPIC, 12, 13);
    assert.equal(world.link.vitals().gaps, 1);
    assert.equal(world.mark(), Mark.RESYNCING);
    const asked = world.said();
    assert.deepEqual(asked.map(({ resync }) => resync?.topics), [[BTC_TOPIC]]);
    world.tick(BTC_TOPIC, 13, 14);
    assert.equal(world.link.vitals().gaps, 1, "while it waits, no other is counted");
    assert.equal(world.mark(), Mark.RESYNCING);
    world.hear(reply(asked[0]?.id, resynced(BTC_TOPIC, 14)));
    assert.equal(world.mark(), Mark.LIVE);
    world.tick(BTC_TOPIC, 0, 14, { flags: FLAG_SNAPSHOT });
    world.tick(BTC_TOPIC, 14, 15);
    assert.equal(world.link.vitals().gaps, 1);
    assert.equal(world.closes.length, 0);
});

test("gaps in many topics are mended together, and not more often than once a second", () => {
    const world = live();
    world.said();
    const push = (topic: number) => newPush({ topic, previous: 90, sequence: 91, ticker: newTicker() });
    world.hear({ pushes: [push(BTC_TOPIC), push(ETH_TOPIC)] });
    const isResync = ({ resync }: Command) => resync !== undefined;
    assert.deepEqual(world.said().map(({ resync }) => resync?.topics), [[BTC_TOPIC, ETH_TOPIC]]);
    // No answer, or that it asked too often: asked again, but only after a while.
    world.pass(900);
    assert.deepEqual(world.said().filter(isResync), []);
    world.pass(200);
    const again = world.said().filter(isResync);
    assert.equal(again.length, 1);
    world.hear(reply(again[0]?.id, { error: newErrorMessage({ code: 107, temporary: true }) }));
    world.pass(1100);
    assert.equal(world.said().filter(isResync).length, 1);
    assert.equal(world.closes.length, 0);
});

test("topics that the hub does not know any more are asked for no longer", () => {
    for (const answer of [resynced(ETH_TOPIC, 91), { error: newErrorMessage({ code: Link.NOT_SUBSCRIBED }) }]) {
        const world = live();
        world.said();
        world.tick(BTC_TOPIC, 12, 13);
        world.hear(reply(world.said()[0]?.id, answer));
        world.pass(2000);
        assert.deepEqual(world.said().filter(({ resync }) => resync), []);
        assert.equal(world.link.vitals().gaps, 1);
    }
});

test("a heartbeat that names a newer push finds the loss of a topic's last push", () => {
    const world = live();
    world.said();
    world.hear({ heartbeat: newHeartbeat({ topics: [newTopicSequence({ topic: BTC_TOPIC, sequence: 11 })] }) });
    assert.deepEqual(world.said(), []);
    world.hear({ heartbeat: newHeartbeat({ topics: [newTopicSequence({ topic: BTC_TOPIC, sequence: 12 })] }) });
    assert.equal(world.link.vitals().gaps, 1);
    assert.deepEqual(world.said()[0]?.resync?.topics, [BTC_TOPIC]);
});

test("a topic that it does not know means a later instrument: the wildcard is asked for anew", () => {
    const world = live();
    world.said();
    passAlive(world, 5000, 11);
    world.said();
    world.tick(99, 1, 2);
    const asked = world.said();
    assert.deepEqual(asked.flatMap(({ unsubscribe }) => unsubscribe?.symbols ?? []), ["*", "*"]);
    assert.deepEqual(asked.flatMap(({ subscribe }) => subscribe?.symbols ?? []), ["*", "*"]);
    world.tick(99, 2, 3);
    assert.deepEqual(world.said(), [], "once is enough until it is answered");
});

test("a wildcard's answer may come again, with the later instrument", () => {
    const world = new World();
    world.link.tick();
    world.link.opened();
    const commands = world.said();
    world.hear({ replies: answers(commands) });
    const id = commands.find(({ subscribe }) => subscribe?.channel === Channel.TICKER)?.id ?? 0;
    const sol = newInstrument({ id: 3, symbol: "SOL-USD", venue: "kraken" });
    world.hear({ replies: [newReply({ id, subscribe: newSubscribeResult({ results: [topicResult(50, 1, sol)] }) })] });
    assert.ok(world.board.takeDescriptions().some(({ symbol }) => symbol === "SOL-USD"));
    world.tick(50, 1, 2);
    assert.equal(world.link.vitals().gaps, 0);
});

test("comes back with growing waits, for as long as it takes", () => {
    const world = new World();
    world.link.tick();
    for (let attempt = 1; attempt <= 40; attempt++) {
        assert.equal(world.opens, attempt);
        world.link.closed(1006, "");
        const wait = Math.min(BackOff.MOST_MS, 250 * 2 ** (attempt - 1));
        assert.equal(Math.round(world.link.vitals().retryInMs), wait);
        world.pass(wait + 100);
    }
    assert.equal(world.link.vitals().state, "offline");
    world.link.opened();
    world.hear({ replies: answers(world.said()) });
    world.tick(BTC_TOPIC, 10, 11);
    assert.equal(world.link.vitals().state, "live");
});

test("waits as long as the hub asks before it ends", () => {
    const world = live();
    world.hear({ disconnect: newDisconnect({ code: 3001, reconnectAfterMs: 4_000 }) });
    world.link.closed(3001, "");
    assert.equal(world.link.vitals().retryInMs, 4_000);
    world.pass(4_100);
    assert.equal(world.opens, 2);
    world.link.closed(1006, "");
    assert.equal(world.link.vitals().retryInMs, 500, "only once");
});

test("the waits start anew only after a connection that lasted", () => {
    const world = live();
    world.link.closed(1006, "");
    world.pass(300);
    world.link.opened();
    world.pass(1000);
    world.link.closed(1006, "");
    assert.equal(world.link.vitals().retryInMs, 500, "a hub that takes and drops us at once is no success");
    world.pass(600);
    world.link.opened();
    world.hear({ replies: answers(world.said()) });
    passAlive(world, 6000, 10);
    world.link.closed(1006, "");
    assert.equal(world.link.vitals().retryInMs, 250);
});

test("the return of the network or of the person ends the wait", () => {
    const world = live();
    for (let attempt = 0; attempt < 8; attempt++) {
        world.link.closed(1006, "");
        world.pass(20_000);
    }
    world.link.closed(1006, "");
    const opens = world.opens;
    world.link.network(false);
    assert.equal(world.link.vitals().state, "offline");
    assert.equal(world.opens, opens);
    world.link.network(true);
    assert.equal(world.opens, opens + 1);
    world.link.closed(1006, "");
    world.link.wake();
    assert.equal(world.opens, opens + 2);
});

test("after a wake-up the connection must answer within its time, or is replaced", () => {
    const world = live();
    world.said();
    world.link.wake();
    const [ping] = world.said();
    assert.ok(ping?.ping);
    world.hear({ replies: answers([ping]) });
    world.pass(Link.PROBE_MOST_MS + 100);
    assert.deepEqual(world.closes, [], "it answered");
    world.link.wake();
    world.pass(Link.PROBE_MOST_MS + 100);
    assert.equal(world.closes.length, 1);
    world.pass(500);
    assert.equal(world.opens, 2);
});

test("silence ends the connection, and shows before that", () => {
    const world = live();
    world.pass(Health.DELAYED_AFTER_MS);
    assert.equal(world.link.vitals().state, "delayed");
    world.pass(Health.STALE_AFTER_MS - Health.DELAYED_AFTER_MS);
    assert.equal(world.link.vitals().state, "stale");
    world.pass(Link.SILENCE_MOST_MS - Health.STALE_AFTER_MS);
    assert.equal(world.link.vitals().state, "reconnecting");
    assert.equal(world.closes.length, 1);
});

test("pongs alone keep the connection, but not the badge", () => {
    const world = live();
    for (let second = 0; second < 30; second++) {
        world.pass(1000);
        world.hear({ replies: answers(world.said()) });
    }
    assert.equal(world.closes.length, 0);
    assert.equal(world.link.vitals().state, "stale");
});

test("a hub that answers pings alone is left for the next attempt", () => {
    const world = new World();
    world.link.tick();
    world.link.opened();
    // What introduced us and asked for everything was lost; what follows is answered.
    world.said();
    for (let second = 1; second < Link.ANSWER_MOST_MS / 1000; second++) {
        world.pass(1000);
        world.hear({ replies: answers(world.said()) });
    }
    assert.deepEqual(world.closes, []);
    world.pass(1000);
    assert.deepEqual(world.closes, ["the hub does not answer"]);
    world.pass(500);
    assert.equal(world.opens, 2);
});

test("a hub that never opens is given up for the next attempt", () => {
    const world = new World();
    world.link.tick();
    world.pass(Link.OPEN_MOST_MS + 400);
    assert.equal(world.closes.length, 1);
    assert.equal(world.opens, 2);
});

test("a close code that says so is not answered by coming back, until the person does", () => {
    const world = live();
    world.link.closed(3500, "go away");
    assert.equal(world.link.vitals().state, "offline", "at once, for nothing is tried");
    world.pass(120_000);
    assert.equal(world.opens, 1);
    assert.equal(world.link.vitals().state, "offline");
    assert.equal(world.link.vitals().reason, "go away");
    world.link.wake();
    assert.equal(world.opens, 2);
});

test("bytes that cannot be read end the connection, and nothing else", () => {
    const world = live();
    world.link.frame(new Uint8Array([0x12, 50, 1]));
    assert.equal(world.closes.length, 1);
    assert.equal(world.link.vitals().state, "reconnecting");
    world.tick(BTC_TOPIC, 11, 12);
    world.pass(300);
    assert.equal(world.opens, 2);
});

test("a refused subscription is told, and tried again with the next connection", () => {
    const world = new World();
    world.link.tick();
    world.link.opened();
    const id = world.said().find(({ subscribe }) => subscribe)?.id ?? 0;
    world.hear({ replies: [newReply({ id, error: newErrorMessage({ code: 107, message: "Too many requests" }) })] });
    assert.ok(world.link.vitals().reason.includes("Too many requests (107)"));
    world.pass(300);
    assert.equal(world.opens, 2);
});

test("a new connection knows nothing of the old one's topics and marks", () => {
    const world = live();
    world.tick(BTC_TOPIC, 90, 91);
    assert.equal(world.mark(), Mark.RESYNCING);
    world.link.closed(1006, "");
    world.pass(500);
    world.link.opened();
    assert.equal(world.mark(), Mark.LIVE);
    world.hear({ replies: answers(world.said()) });
    world.tick(BTC_TOPIC, 10, 11);
    assert.equal(world.link.vitals().gaps, 1);
    assert.equal(world.link.vitals().reconnects, 1);
});

test("latency is measured against the hub's clock, and not by snapshots", () => {
    const world = new World();
    world.link.tick();
    world.link.opened();
    const commands = world.said();
    const ping = commands.find((command) => command.ping);
    // The hub's clock is an hour ahead; the round trip takes 4 ms.
    world.now += 4;
    const pong = newPong({ clientUs: ping?.ping?.clientUs ?? 0, serverUs: (world.now - 2 + 3_600_000) * 1000 });
    const replies = answers(commands.filter((command) => command !== ping));
    world.hear({ replies: [...replies, newReply({ id: ping?.id ?? 0, pong })] });
    assert.equal(Math.round(world.link.vitals().clockOffsetMs), 3_600_000);
    const received = (ago: number) => ({ receivedUs: (world.now + 3_600_000 - ago) * 1000 });
    world.tick(ETH_TOPIC, 0, 5, { ...received(50_000), flags: FLAG_SNAPSHOT });
    world.tick(BTC_TOPIC, 10, 11, received(7));
    world.tick(BTC_TOPIC, 11, 12, received(9));
    world.now += 1000;
    world.link.tick();
    const { latencyMs, latencyWorstMs, state } = world.link.vitals();
    assert.equal(state, "live");
    assert.ok(Math.abs(latencyMs - 8) < 0.1 && Math.abs(latencyWorstMs - 9) < 0.1, `${latencyMs} ${latencyWorstMs}`);
});
