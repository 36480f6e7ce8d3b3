import type { Sorting, SortKey } from "./order.js";

/** What the page remembers between visits. */
export interface Settings {
    /** `BTC-USD@kraken`; empty means the first. */
    selected: string;
    sorting: Sorting;
}

const KEY = "market-hub.table";
const SORT_KEYS = new Set<string>(["symbol", "venue", "bid", "ask", "last", "change", "high", "low", "volume", "age"]);

function isSortKey(value: unknown): value is SortKey {
    return typeof value === "string" && SORT_KEYS.has(value);
}

/** The stored text may be of another version, or anything: what does not fit is left out. */
function readSettings(text: string | null): Settings {
    const settings: Settings = { selected: "", sorting: { key: "symbol", isDescending: false } };
    try {
        const stored: unknown = JSON.parse(text ?? "null");
        if (typeof stored !== "object" || stored === null) return settings;
        const { selected, key, isDescending } = stored as Record<string, unknown>;
        if (typeof selected === "string") settings.selected = selected;
        if (isSortKey(key)) settings.sorting = { key, isDescending: isDescending === true };
    } catch {
        // Not JSON.
    }
    return settings;
}

function settingsText({ selected, sorting }: Settings): string {
    return JSON.stringify({ selected, ...sorting });
}

/** What of the browser's localStorage is used. */
export interface TextStore {
    getItem(key: string): string | null;
    setItem(key: string, text: string): void;
}

export function loadSettings(store: () => TextStore): Settings {
    try {
        return readSettings(store().getItem(KEY));
    } catch {
        return readSettings(null);
    }
}

export function storeSettings(store: () => TextStore, settings: Settings): void {
    try {
        store().setItem(KEY, settingsText(settings));
    } catch {
        // Storage is switched off or full: the settings hold until the page is left.
    }
}
