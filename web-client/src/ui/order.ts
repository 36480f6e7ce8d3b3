import { Column } from "../feed/board.js";
import type { Quotes } from "./quotes.js";

export type SortKey = "symbol" | "venue" | "bid" | "ask" | "last" | "change" | "high" | "low" | "volume" | "age";

export interface Sorting {
    key: SortKey;
    isDescending: boolean;
}

/** Whether the order can change with every tick. */
export function isLive(key: SortKey): boolean {
    return key !== "symbol" && key !== "venue";
}

/** The direction of a first click: names from A, numbers from the greatest, ages from the newest. */
export function startsDescending(key: SortKey): boolean {
    return isLive(key) && key !== "age";
}

const PRICES: Partial<Record<SortKey, Column>> = {
    bid: Column.BID,
    ask: Column.ASK,
    last: Column.LAST,
    high: Column.HIGH,
    low: Column.LOW,
};

/** The number that a row is sorted by, comparable between instruments of different scales. */
function sortValue(quotes: Quotes, row: number, key: SortKey): number {
    const description = quotes.description(row);
    const column = PRICES[key];
    if (column !== undefined) return quotes.figure(row, column) / 10 ** (description?.priceScale ?? 0);
    if (key === "volume") return quotes.figure(row, Column.VOLUME) / 10 ** (description?.quantityScale ?? 0);
    if (key === "change") return quotes.change(row);
    return -quotes.figure(row, Column.RECEIVED_MS);
}

/** Whether every word of the query stands somewhere in the name; an empty query fits all. */
export function fits(name: string, query: string): boolean {
    const lower = name.toLowerCase();
    return query
        .toLowerCase()
        .split(/\s+/)
        .every((word) => lower.includes(word));
}

const collator = new Intl.Collator("en", { numeric: true });

/**
 * The rows to show, in order.
 *
 * Rows without a value come last in both directions; equal rows stand by name, so that the order never wavers.
 */
export function arranged(quotes: Quotes, sorting: Sorting, query: string): number[] {
    const rows: number[] = [];
    for (let row = 0; row < quotes.rowCount; row++) {
        if (quotes.description(row)?.isListed && fits(quotes.name(row), query)) rows.push(row);
    }
    const names = new Map(rows.map((row) => [row, quotes.name(row)]));
    const byName = (left: number, right: number) => collator.compare(names.get(left) ?? "", names.get(right) ?? "");
    const sign = sorting.isDescending ? -1 : 1;
    const { key } = sorting;
    if (key === "symbol") return rows.sort((left, right) => sign * byName(left, right));
    if (key === "venue") {
        const venue = (row: number) => quotes.description(row)?.venue ?? "";
        return rows.sort((left, right) => sign * collator.compare(venue(left), venue(right)) || byName(left, right));
    }
    const values = new Map(rows.map((row) => [row, sortValue(quotes, row, key)]));
    return rows.sort((left, right) => {
        const [leftValue, rightValue] = [values.get(left) ?? NaN, values.get(right) ?? NaN];
        if (Number.isNaN(leftValue) || Number.isNaN(rightValue)) {
            return Number(Number.isNaN(leftValue)) - Number(Number.isNaN(rightValue)) || byName(left, right);
        }
        return sign * (leftValue - rightValue) || byName(left, right);
    });
}
