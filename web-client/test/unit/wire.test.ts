import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { NO_BYTES, Reader, WireError, Writer } from "../../src/wire/wire.js";
import {
    Channel,
    newBook,
    newClientFrame,
    newCommand,
    newConnect,
    newListInstruments,
    newPing,
    newPush,
    newReply,
    newServerFrame,
    newStatus,
    newSubscribe,
    newTicker,
    newUnsubscribe,
    readClientFrame,
    readPush,
    readServerFrame,
    writeClientFrame,
    writePush,
    writeServerFrame,
    type ServerFrame,
} from "../../src/wire/generated/market_hub.js";

/** The folder of the golden bytes, put in by the build: the tests run anywhere. */
declare const VECTORS: string;
const expected = JSON.parse(readFileSync(`${VECTORS}/expected.json`, "utf8")) as Record<string, unknown>;

/** Node's own kind of bytes makes views where a Uint8Array copies. */
function golden(name: string): Uint8Array {
    return Uint8Array.from(readFileSync(`${VECTORS}/${name}.bin`));
}

function read(bytes: Uint8Array): ServerFrame {
    const reader = new Reader(bytes);
    return readServerFrame(reader, reader.end);
}

function written(write: (writer: Writer) => void): Uint8Array {
    const writer = new Writer();
    write(writer);
    return writer.finish();
}

function fault(name: string): (error: unknown) => boolean {
    return (error) => error instanceof WireError && error.fault === name;
}

/** Whether `actual` says everything that `wanted` says; what `wanted` leaves out must be empty. */
function means(actual: unknown, wanted: unknown, path: string): void {
    if (actual instanceof Uint8Array) return assert.deepEqual([...actual], wanted, path);
    if (typeof actual !== "object" || actual === null) return assert.equal(actual, wanted, path);
    if (Array.isArray(actual)) {
        const list = (wanted ?? []) as unknown[];
        assert.equal(actual.length, list.length, `${path}.length`);
        return actual.forEach((item, index) => means(item, list[index], `${path}[${index}]`));
    }
    assert.ok(typeof wanted === "object" && wanted !== null, `${path} is there but was not sent`);
    const told = wanted as Record<string, unknown>;
    for (const [key, value] of Object.entries(actual)) {
        const empty = typeof value === "string" ? "" : typeof value === "boolean" ? false : 0;
        const isEmptyBytes = value instanceof Uint8Array && value.length === 0;
        if (value === undefined) assert.equal(told[key], undefined, `${path}.${key}`);
        else if (!(isEmptyBytes && !(key in told))) {
            means(value, typeof value === "object" ? told[key] : told[key] ?? empty, `${path}.${key}`);
        }
    }
    for (const key of Object.keys(told)) assert.ok(key in actual, `${path}.${key} is not read`);
}

for (const name of Object.keys(expected)) {
    test(`reads the golden bytes of "${name}"`, () => {
        means(read(golden(name)), expected[name], name);
    });
    test(`writes what it read of "${name}" so that it reads the same`, () => {
        const frame = read(golden(name));
        assert.deepEqual(read(written((writer) => writeServerFrame(writer, frame))), frame);
    });
}

test("writes commands byte for byte as Google's protobuf does", () => {
    const frame = newClientFrame({
        commands: [
            newCommand({ id: 1, connect: newConnect({ client: "test", passMs: 25 }) }),
            newCommand({
                id: 2,
                subscribe: newSubscribe({ channel: Channel.TICKER, symbols: ["*", "BTC-USD@kraken"] }),
            }),
            newCommand({ id: 3, unsubscribe: newUnsubscribe({ topics: [1, 300] }) }),
            newCommand({ id: 4, list: newListInstruments({ from: 1000 }) }),
            newCommand({ id: 5, ping: newPing({ clientUs: 1_795_168_800_123_456.7 }) }),
        ],
    });
    assert.deepEqual(
        [...written((writer) => writeClientFrame(writer, frame))],
        [...golden("commands")],
    );
});

const EDGES = [7, 14, 21, 28, 31, 32, 35, 42, 49, 53].flatMap((bits) => [2 ** bits - 1, 2 ** bits]);
const INTEGERS = [0, 1, 63, 64, ...EDGES.filter(Number.isSafeInteger)];

test("takes 64-bit numbers through both ways, at the edges of their halves", () => {
    for (const value of INTEGERS) {
        assert.equal(new Reader(written((writer) => writer.uint64(value))).uint64(), value);
        assert.equal(new Reader(written((writer) => writer.fixed64(value))).fixed64(), value);
        for (const signed of [value, 0 - value]) {
            assert.equal(new Reader(written((writer) => writer.sint64(signed))).sint64(), signed, `sint64 ${signed}`);
            assert.equal(new Reader(written((writer) => writer.int64(signed))).int64(), signed, `int64 ${signed}`);
        }
    }
});

test("takes 32-bit numbers through both ways", () => {
    for (const value of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) {
        assert.equal(new Reader(written((writer) => writer.int32(value))).int32(), value);
        assert.equal(new Reader(written((writer) => writer.sint32(value))).sint32(), value);
    }
    for (const value of [0, 2 ** 31, 2 ** 32 - 1]) {
        assert.equal(new Reader(written((writer) => writer.fixed32(value))).fixed32(), value);
    }
});

test("makes microseconds of nanoseconds exactly, over the whole range", () => {
    const most = 9_007_199_254_740_991_999n;
    for (const nanoseconds of [0n, 999n, 1000n, 4_294_967_295_999n, 1_795_168_800_123_456_789n, most]) {
        const bytes = new Uint8Array(8);
        new DataView(bytes.buffer).setBigUint64(0, nanoseconds, true);
        const microseconds = new Reader(bytes).nanosecondsAsMicroseconds();
        assert.equal(microseconds, Number(nanoseconds / 1000n));
        const back = written((writer) => writer.nanosecondsAsMicroseconds(microseconds));
        assert.equal(new DataView(back.buffer).getBigUint64(0, true), (nanoseconds / 1000n) * 1000n);
    }
});

test("refuses numbers that are not exact", () => {
    const tooLarge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    assert.throws(() => new Reader(new Uint8Array(tooLarge)).uint64(), fault("range"));
    assert.throws(() => new Reader(new Uint8Array(8).fill(0xff)).fixed64(), fault("range"));
    assert.throws(() => new Reader(new Uint8Array([...new Array(9).fill(0xff), 1])).sint64(), fault("range"));
    for (const wrong of [-1, 0.5, NaN, 2 ** 53]) {
        assert.throws(() => new Writer().uint64(wrong), (error) => error instanceof RangeError);
    }
});

test("throws a typed error at every place where bytes can be cut", () => {
    for (const name of ["ticker", "replies", "book", "trade"]) {
        const bytes = golden(name);
        let whole = 0;
        for (let length = 0; length < bytes.length; length++) {
            try {
                read(bytes.subarray(0, length));
                whole++;
            } catch (error) {
                assert.ok(error instanceof WireError, `${name} cut at ${length}: ${String(error)}`);
            }
        }
        // Cut between two fields of the frame the rest is a whole frame.
        assert.ok(whole <= 4, `${name}: ${whole} cuts went unnoticed`);
    }
});

test("ends on any bytes, with a frame or a typed error", () => {
    // xorshift, so that a failure can be repeated.
    let seed = 0x2545f491;
    const next = () => {
        seed ^= seed << 13;
        seed ^= seed >>> 17;
        seed ^= seed << 5;
        return seed >>> 0;
    };
    const replies = golden("replies");
    let refused = 0;
    for (let round = 0; round < 20_000; round++) {
        const bytes = Uint8Array.from(replies);
        for (let change = next() % 8; change >= 0; change--) bytes[next() % bytes.length] = next();
        try {
            read(bytes);
        } catch (error) {
            if (!(error instanceof WireError)) throw error;
            refused++;
        }
    }
    assert.ok(refused > 1_000, `only ${refused} were refused`);
});

test("refuses a message that reaches over the end of the one around it", () => {
    // pushes { topic: 1, ticker { length 5 } } where the push has 2 bytes left for it.
    assert.throws(() => read(new Uint8Array([0x12, 6, 8, 1, 0x42, 5, 8, 2, 0, 0, 0])), fault("truncated"));
    // A number that ends behind its message.
    assert.throws(() => read(new Uint8Array([0x12, 2, 8, 0x80, 1])), fault("truncated"));
});

test("refuses what is not protobuf", () => {
    assert.throws(() => read(new Uint8Array([0x00])), fault("malformed"));
    assert.throws(() => read(new Uint8Array([0x0b])), fault("malformed"));
    assert.throws(() => new Reader(new Uint8Array(11).fill(0x80)).uint32(), fault("malformed"));
    assert.throws(() => new Reader(new Uint8Array([2, 0xc3, 0x28])).string(), fault("utf8"));
});

test("skips fields that the contract does not know, of every wire type", () => {
    const push = newPush({ topic: 3, status: newStatus({ state: 5 }) });
    const [varint, fixed64] = [[0xa0, 0x06, 0x80, 0x01], [0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]];
    const [text, fixed32] = [[0xa2, 0x06, 2, 9, 9], [0xa5, 0x06, 1, 2, 3, 4]];
    const unknown = [varint, fixed64, text, fixed32].flat();
    const bytes = new Uint8Array([...unknown, ...written((writer) => writePush(writer, push)), ...unknown]);
    assert.deepEqual(readPush(new Reader(bytes), bytes.length), push);
});

test("keeps the last member of a oneof that came", () => {
    const status = written((writer) => writePush(writer, newPush({ status: newStatus() })));
    const ticker = written((writer) => writePush(writer, newPush({ ticker: newTicker() })));
    const push = readPush(new Reader(new Uint8Array([...status, ...ticker])), status.length + ticker.length);
    assert.equal(push.status, undefined);
    assert.ok(push.ticker);
});

test("reads repeated numbers packed and one by one", () => {
    // Reply is field 1 of a frame, its unsubscribe field 5, the topics field 1.
    const topics = (body: number[]) =>
        read(new Uint8Array([0x0a, body.length + 2, 0x2a, body.length, ...body])).replies[0]?.unsubscribe?.topics;
    assert.deepEqual(topics([0x0a, 3, 1, 0x80, 0x01]), [1, 128]);
    assert.deepEqual(topics([0x08, 1, 0x08, 2]), [1, 2]);
    assert.throws(() => topics([0x0a, 1, 0x80]), fault("truncated"));
});

test("grows for long messages", () => {
    const symbols = Array.from({ length: 500 }, (_, index) => `SYMBOL-${index}`);
    const bytes = written((writer) =>
        writeClientFrame(writer, newClientFrame({ commands: [newCommand({ subscribe: newSubscribe({ symbols }) })] })),
    );
    assert.ok(bytes.length > 5_000);
    const reader = new Reader(bytes);
    assert.deepEqual(readClientFrame(reader, reader.end).commands[0]?.subscribe?.symbols, symbols);
});

test("copies bytes out of the frame", () => {
    const source = new Uint8Array([2, 1, 2, 0]);
    const reader = new Reader(source);
    const copy = reader.bytes();
    source[1] = 9;
    assert.deepEqual([...copy], [1, 2]);
    assert.equal(reader.bytes(), NO_BYTES);
});

test("makes messages with every field at its default", () => {
    assert.deepEqual(newServerFrame({ replies: [newReply({ id: 1 })] }).replies[0]?.error, undefined);
    assert.deepEqual(newBook().bids, []);
});
