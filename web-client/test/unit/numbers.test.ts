import assert from "node:assert/strict";
import { test } from "node:test";
import { age, change, compact, decimal, direction, latency, percent } from "../../src/fmt/numbers.js";

const NO = "\u2013";
const M = "\u2212";

test("shows a price at the instrument's decimals, without rounding", () => {
    const table: [number, number, string][] = [
        [0, 0, "0"],
        [0, 2, "0.00"],
        [-0, 2, "0.00"],
        [5, 2, "0.05"],
        [50, 2, "0.50"],
        [-5, 2, `${M}0.05`],
        [-123456, 2, `${M}1,234.56`],
        [9741235, 2, "97,412.35"],
        [100000, 2, "1,000.00"],
        [99999, 2, "999.99"],
        [1, 9, "0.000000001"],
        [1, 18, "0.000000000000000001"],
        [1234567890, 9, "1.234567890"],
        [1234567890, 0, "1,234,567,890"],
        [-1000, 0, `${M}1,000`],
        [2 ** 53 - 1, 0, "9,007,199,254,740,991"],
        [2 ** 53 - 1, 9, "9,007,199.254740991"],
        [-(2 ** 53 - 1), 8, `${M}90,071,992.54740991`],
        [NaN, 2, NO],
        [Infinity, 2, NO],
    ];
    for (const [units, scale, text] of table) assert.equal(decimal(units, scale), text, `${units} at ${scale}`);
});

test("shows every scale from 0 to 9", () => {
    const texts = Array.from({ length: 10 }, (_, scale) => decimal(-1234567891, scale));
    assert.deepEqual(texts, [
        `${M}1,234,567,891`,
        `${M}123,456,789.1`,
        `${M}12,345,678.91`,
        `${M}1,234,567.891`,
        `${M}123,456.7891`,
        `${M}12,345.67891`,
        `${M}1,234.567891`,
        `${M}123.4567891`,
        `${M}12.34567891`,
        `${M}1.234567891`,
    ]);
});

test("shows volumes in about four digits", () => {
    const table: [number, number, string][] = [
        [0, 8, "0.0000"],
        [0, 0, "0"],
        [312, 4, "0.0312"],
        [125000, 4, "12.50"],
        [9994, 1, "999.4"],
        [9999, 1, "999.9"],
        [99996, 2, "1.000K"],
        [1204, 0, "1.204K"],
        [38123456, 0, "38.12M"],
        [999949999, 0, "999.9M"],
        [999960000, 0, "1.000B"],
        [2 ** 53 - 1, 0, "9007T"],
        [7, 0, "7"],
        [1, 8, `1.0e${M}8`],
        [-1500, 0, `${M}1.500K`],
        [NaN, 4, NO],
    ];
    for (const [units, scale, text] of table) assert.equal(compact(units, scale), text, `${units} at ${scale}`);
});

test("shows a change with arrow and sign, and neither for what rounds to zero", () => {
    assert.equal(percent(change(10123, 10000)), "\u25b2 +1.23%");
    assert.equal(percent(change(9955, 10000)), `\u25bc ${M}0.45%`);
    assert.equal(percent(change(100000, 100001)), "0.00%");
    assert.equal(direction(change(100000, 100001)), "");
    assert.equal(percent(0.00005), "\u25b2 +0.01%");
    assert.equal(direction(0.00005), "up");
    assert.equal(direction(-0.00006), "down");
    assert.equal(percent(NaN), NO);
    assert.equal(direction(NaN), "");
});

test("measures a change from a negative open in the right direction, and from none not at all", () => {
    assert.ok(change(-30, -37) > 0);
    assert.ok(Number.isNaN(change(5, 0)));
    assert.ok(Number.isNaN(change(NaN, 5)));
});

test("shows ages in the largest whole unit", () => {
    const table: [number, string][] = [
        [-5, "<1s"],
        [999, "<1s"],
        [1000, "1s"],
        [59_999, "59s"],
        [60_000, "1m"],
        [3_599_999, "59m"],
        [3_600_000, "1h"],
        [86_399_999, "23h"],
        [86_400_000, "1d"],
        [NaN, NO],
    ];
    for (const [ms, text] of table) assert.equal(age(ms), text);
});

test("shows latencies without false digits", () => {
    assert.deepEqual([0.84, 9.94, 9.96, 999.4, 999.6, 1449, NaN].map(latency), [
        "0.8 ms",
        "9.9 ms",
        "10 ms",
        "999 ms",
        "1.0 s",
        "1.4 s",
        NO,
    ]);
});
