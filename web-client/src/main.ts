/** The page: takes what changed from the worker once a frame and paints it. */

import type { Changes, ToWorker } from "./feed/messages.js";
import { STATE_WORDS } from "./ui/badge.js";
import { element } from "./ui/elements.js";
import { Headline } from "./ui/headline.js";
import { Quotes } from "./ui/quotes.js";
import { loadSettings, storeSettings } from "./ui/settings.js";
import { Table } from "./ui/table.js";
import { nextTheme, storedTheme } from "./ui/theme.js";
import { VitalsBar } from "./ui/vitals.js";

/** The hashed name of the worker's file, put in by the build. */
declare const WORKER_PATH: string;

/** A hidden page paints nothing, but its title stays true. */
const HIDDEN_PULL_MS = 1_000;

/** Asked for each time: where storage is switched off, the name itself throws. */
const store = () => localStorage;
const settings = loadSettings(store);
const quotes = new Quotes();
const headline = new Headline(quotes);
const vitalsBar = new VitalsBar();
const search = element("search", HTMLInputElement);
const sheet = element("sheet", HTMLDialogElement);
const themeButton = element("theme", HTMLButtonElement);
const grid = element("table", HTMLElement);
const table = new Table(
    grid,
    quotes,
    settings.sorting,
    (row) => {
        settings.selected = quotes.name(row);
        storeSettings(store, settings);
        headline.paint(row);
    },
    (sorting) => {
        settings.sorting = sorting;
        storeSettings(store, settings);
    },
);

// ---- the worker -----------------------------------------------------------------------------------------------

const worker = new Worker(WORKER_PATH, { name: "feed" });
let waiting: Changes | undefined;
let hiddenTimer: number | undefined;

function tell(message: ToWorker, transfer: Transferable[] = []): void {
    worker.postMessage(message, transfer);
}

worker.onmessage = (event: MessageEvent<Changes>) => {
    waiting = event.data;
    schedule();
};
worker.onerror = () => {
    document.body.dataset["state"] = "offline";
    element("badge-label", HTMLElement).textContent = "Offline";
    element("notice", HTMLElement).textContent = "The page has failed; load it again";
};

function schedule(): void {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(() => take(performance.now()), HIDDEN_PULL_MS);
    else requestAnimationFrame(take);
}

function take(nowMs: number): void {
    // A frame and a timer may both have been asked for while the page was hidden or shown.
    if (!waiting) return;
    const { figures, count, descriptions, vitals } = waiting;
    waiting = undefined;
    const hasNewInstruments = quotes.apply({ figures, count, descriptions });
    table.paint(nowMs, vitals.hubNowMs, hasNewInstruments);
    const isSettled = table.selected >= 0 && quotes.name(table.selected) === settings.selected;
    if (hasNewInstruments && !isSettled) selectRemembered();
    headline.paint(table.selected);
    vitalsBar.paint(vitals, table.shownCount);
    const price = headline.title(table.selected);
    const warning = vitals.state === "live" ? "" : `${STATE_WORDS[vitals.state]} \u00b7 `;
    const title = price ? `${warning}${price}` : `${warning}market-hub`;
    if (document.title !== title) document.title = title;
    const buffer = figures.buffer as ArrayBuffer;
    tell({ kind: "pull", buffer }, [buffer]);
}

/** The instrument of the last visit; the first of the list as long as that one is not there. */
function selectRemembered(): void {
    for (let row = 0; row < quotes.rowCount; row++) {
        if (quotes.name(row) === settings.selected) return table.show(row);
    }
    if (table.selected < 0) table.show(table.first);
}

// ---- the person -----------------------------------------------------------------------------------------------

function showTheme(): void {
    const label = `Theme: ${storedTheme()}`;
    themeButton.title = label;
    themeButton.setAttribute("aria-label", label);
}

function changeTheme(): void {
    nextTheme();
    showTheme();
}

showTheme();
themeButton.addEventListener("click", changeTheme);
element("help", HTMLButtonElement).addEventListener("click", () => sheet.showModal());
element("sheet-close", HTMLButtonElement).addEventListener("click", () => sheet.close());
search.addEventListener("input", () => table.search(search.value));
search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
        search.value = "";
        table.search("");
        grid.focus();
    } else if (event.key === "Enter" || event.key === "ArrowDown") {
        event.preventDefault();
        table.move(0);
        grid.focus();
    }
});
document.addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof HTMLInputElement;
    if (isTyping || sheet.open || event.ctrlKey || event.metaKey || event.altKey) return;
    switch (event.key) {
        case "/":
            event.preventDefault();
            search.focus();
            search.select();
            break;
        case "?":
            sheet.showModal();
            break;
        case "t":
            changeTheme();
            break;
    }
});
document.addEventListener("visibilitychange", () => {
    if (!document.hidden) tell({ kind: "wake" });
    if (waiting) schedule();
});
addEventListener("online", () => tell({ kind: "network", isThere: true }));
addEventListener("offline", () => tell({ kind: "network", isThere: false }));

const address = new URL("/ws/v2", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
tell({ kind: "start", url: address.href });
if (!navigator.onLine) tell({ kind: "network", isThere: false });
tell({ kind: "pull" });
