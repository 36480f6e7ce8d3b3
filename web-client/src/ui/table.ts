import { Column, Mark } from "../feed/board.js";
import { age, compact, decimal, direction, percent } from "../fmt/numbers.js";
import { setData } from "./elements.js";
import { arranged, isLive, startsDescending, type SortKey, type Sorting } from "./order.js";
import type { Quotes } from "./quotes.js";

interface ColumnHeading {
    key: SortKey;
    label: string;
    /** Read out, and shown on hovering. */
    meaning: string;
}

const HEADINGS: readonly ColumnHeading[] = [
    { key: "symbol", label: "Symbol", meaning: "Symbol" },
    { key: "venue", label: "Venue", meaning: "Venue" },
    { key: "bid", label: "Bid", meaning: "Best bid" },
    { key: "ask", label: "Ask", meaning: "Best ask" },
    { key: "last", label: "Last", meaning: "Last trade's price" },
    { key: "change", label: "Change", meaning: "Last against the first price of the last 24 hours" },
    { key: "high", label: "High", meaning: "Highest price of the last 24 hours" },
    { key: "low", label: "Low", meaning: "Lowest price of the last 24 hours" },
    { key: "volume", label: "Volume", meaning: "Volume of the last 24 hours" },
    { key: "age", label: "Age", meaning: "Since the hub last heard of it" },
];
const SYMBOL = 0;
const LAST = 4;
const CHANGE = 5;

/** Words for the marks, so that they do not rest on colour alone. */
export const MARK_WORDS: Record<Mark, string> = {
    [Mark.LIVE]: "",
    [Mark.HALTED]: "halted",
    [Mark.RESYNCING]: "resync",
    [Mark.STALE]: "stale",
    [Mark.DISCONNECTED]: "no feed",
};

/** A DOM row, used for one instrument after another while the table scrolls. */
interface PooledRow {
    element: HTMLElement;
    cells: HTMLElement[];
    texts: string[];
    nodes: Text[];
    tag: Text;
    tagText: string;
    /** The place in the order and the instrument shown; -1 when hidden. */
    index: number;
    row: number;
    lastPrice: number;
    flashedMs: number;
    isFlashing: boolean;
}

/** The tick table: sorted and searched rows, of which only those on the screen are in the DOM. */
export class Table {
    /** A live order is made anew so often; faster would make rows jump away under the pointer. */
    static readonly REORDER_EVERY_MS = 1_000;
    /** The last price flashes at most so often, */
    static readonly FLASH_EVERY_MS = 500;
    /** and so long. */
    static readonly FLASH_MS = 240;

    sorting: Sorting;
    private query = "";
    private order: number[] = [];
    private orderedMs = 0;
    private agedMs = 0;
    private selectedRow = -1;
    private rowHeight = 26;
    private pool: PooledRow[] = [];
    private readonly headings: HTMLElement[] = [];
    private readonly body: HTMLElement;
    private readonly head: HTMLElement;
    private readonly empty: HTMLElement;
    private readonly prefersStillness = matchMedia("(prefers-reduced-motion: reduce)");

    constructor(
        private readonly grid: HTMLElement,
        private readonly quotes: Quotes,
        sorting: Sorting,
        private readonly onSelect: (row: number) => void,
        private readonly onSort: (sorting: Sorting) => void,
    ) {
        this.sorting = sorting;
        grid.setAttribute("aria-colcount", String(HEADINGS.length));
        const headings = made("div", "headings", "row");
        headings.setAttribute("aria-rowindex", "1");
        for (const { key, label, meaning } of HEADINGS) headings.append(this.heading(key, label, meaning));
        this.head = made("div", "head", "rowgroup");
        this.head.append(headings);
        this.body = made("div", "body", "rowgroup");
        this.empty = made("p", "empty", "presentation");
        grid.append(this.head, this.body, this.empty);
        this.showSorting();

        grid.addEventListener("scroll", () => this.place(), { passive: true });
        new ResizeObserver(() => this.resize()).observe(grid);
        this.body.addEventListener("click", (event) => {
            const { target } = event;
            const clicked = this.pool.find(({ element }) => target instanceof Node && element.contains(target));
            if (clicked && clicked.row >= 0) this.select(clicked.row);
        });
        grid.addEventListener("keydown", (event) => this.pressed(event));
        this.resize();
    }

    get shownCount(): number {
        return this.order.length;
    }

    get selected(): number {
        return this.selectedRow;
    }

    search(query: string): void {
        this.query = query.trim();
        this.grid.scrollTop = 0;
        this.arrange();
    }

    /** The row at the top of the order; -1 when there is none. */
    get first(): number {
        return this.order[0] ?? -1;
    }

    /** Selects a row that the person did not choose. */
    show(row: number): void {
        this.selectedRow = row;
        for (const pooled of this.pool) this.showSelection(pooled);
    }

    select(row: number): void {
        this.show(row);
        const index = this.order.indexOf(row);
        if (index >= 0) this.scrollTo(index);
        this.onSelect(row);
    }

    /** Moves the selection by so many places of the order. */
    move(by: number): void {
        if (this.order.length === 0) return;
        const index = this.order.indexOf(this.selectedRow);
        const next = Math.min(this.order.length - 1, Math.max(0, index < 0 ? 0 : index + by));
        const row = this.order[next];
        if (row !== undefined) this.select(row);
    }

    /** Makes the order anew, from the present figures. */
    arrange(): void {
        this.order = arranged(this.quotes, this.sorting, this.query);
        this.orderedMs = performance.now();
        this.body.style.height = `${this.order.length * this.rowHeight}px`;
        this.grid.setAttribute("aria-rowcount", String(this.order.length + 1));
        const why = this.query ? `Nothing fits \u201c${this.query}\u201d` : "Waiting for instruments";
        this.empty.textContent = this.order.length > 0 ? "" : why;
        this.place();
    }

    /** Paints what the last {@link Quotes.apply} changed. */
    paint(nowMs: number, hubNowMs: number, hasNewInstruments: boolean): void {
        if (hasNewInstruments || (isLive(this.sorting.key) && nowMs - this.orderedMs >= Table.REORDER_EVERY_MS)) {
            this.arrange();
        }
        const isAgeDue = nowMs - this.agedMs >= 1000;
        if (isAgeDue) this.agedMs = nowMs;
        for (const pooled of this.pool) {
            if (pooled.row < 0) continue;
            const isNew = this.quotes.isNew(pooled.row);
            if (isNew) this.fill(pooled);
            if (isNew) this.flash(pooled, nowMs);
            if (pooled.isFlashing && nowMs - pooled.flashedMs >= Table.FLASH_MS) this.calm(pooled);
            if (isNew || isAgeDue) this.showAge(pooled, hubNowMs);
        }
    }

    // ---- rows -------------------------------------------------------------------------------------------------

    /** The height in which rows can be seen: the headings stay above them. */
    private get bodyHeight(): number {
        return Math.max(0, this.grid.clientHeight - this.head.offsetHeight);
    }

    private resize(): void {
        const height = getComputedStyle(this.grid).getPropertyValue("--row-height");
        this.rowHeight = parseFloat(height) || 26;
        const wanted = Math.ceil(this.bodyHeight / this.rowHeight) + 2;
        while (this.pool.length < wanted) this.pool.push(this.makeRow());
        for (const surplus of this.pool.splice(wanted)) surplus.element.remove();
        for (const pooled of this.pool) pooled.index = -1;
        this.body.style.height = `${this.order.length * this.rowHeight}px`;
        this.place();
    }

    /** Gives the pooled rows to the places on the screen. A row keeps its place while it stays on the screen. */
    private place(): void {
        const first = Math.floor(this.grid.scrollTop / this.rowHeight);
        for (let offset = 0; offset < this.pool.length; offset++) {
            const index = first + offset;
            const pooled = this.pool[index % this.pool.length];
            if (!pooled) continue;
            const row = this.order[index] ?? -1;
            if (pooled.index !== index) {
                pooled.index = index;
                pooled.element.style.transform = `translateY(${index * this.rowHeight}px)`;
                pooled.element.setAttribute("aria-rowindex", String(index + 2));
                pooled.element.classList.toggle("odd", index % 2 === 1);
            }
            if (pooled.row === row) continue;
            pooled.row = row;
            pooled.element.hidden = row < 0;
            if (row < 0) continue;
            this.calm(pooled);
            pooled.lastPrice = this.quotes.figure(row, Column.LAST);
            pooled.flashedMs = 0;
            this.fill(pooled);
            this.agedMs = 0;
            this.showSelection(pooled);
        }
    }

    private fill(pooled: PooledRow): void {
        const { quotes } = this;
        const description = quotes.description(pooled.row);
        if (!description) return;
        const { priceScale, quantityScale } = description;
        const price = (column: Column) => decimal(quotes.figure(pooled.row, column), priceScale);
        const change = quotes.change(pooled.row);
        const texts = [
            description.symbol,
            description.venue,
            price(Column.BID),
            price(Column.ASK),
            price(Column.LAST),
            percent(change),
            price(Column.HIGH),
            price(Column.LOW),
            compact(quotes.figure(pooled.row, Column.VOLUME), quantityScale),
        ];
        for (let index = 0; index < texts.length; index++) write(pooled, index, texts[index] ?? "");
        const changeCell = pooled.cells[CHANGE];
        if (changeCell) setData(changeCell, "sign", direction(change));
        const mark = MARK_WORDS[quotes.mark(pooled.row)];
        if (pooled.tagText !== mark) {
            pooled.tagText = mark;
            pooled.tag.data = mark;
            setData(pooled.element, "mark", mark);
        }
    }

    private showAge(pooled: PooledRow, hubNowMs: number): void {
        const ms = hubNowMs - this.quotes.figure(pooled.row, Column.RECEIVED_MS);
        write(pooled, HEADINGS.length - 1, age(ms));
    }

    private flash(pooled: PooledRow, nowMs: number): void {
        const last = this.quotes.figure(pooled.row, Column.LAST);
        const rise = last - pooled.lastPrice;
        pooled.lastPrice = last;
        const cell = pooled.cells[LAST];
        if (!rise || !cell || this.prefersStillness.matches) return;
        if (nowMs - pooled.flashedMs < Table.FLASH_EVERY_MS) return;
        pooled.flashedMs = nowMs;
        pooled.isFlashing = true;
        setData(cell, "flash", rise > 0 ? "up" : "down");
    }

    private calm(pooled: PooledRow): void {
        const cell = pooled.cells[LAST];
        if (pooled.isFlashing && cell) setData(cell, "flash", "");
        pooled.isFlashing = false;
    }

    private showSelection(pooled: PooledRow): void {
        const isSelected = pooled.row >= 0 && pooled.row === this.selectedRow;
        pooled.element.setAttribute("aria-selected", String(isSelected));
        if (isSelected) this.grid.setAttribute("aria-activedescendant", pooled.element.id);
    }

    private makeRow(): PooledRow {
        const element = made("div", "row", "row");
        element.id = `row-${this.pool.length}`;
        element.hidden = true;
        const cells: HTMLElement[] = [];
        const nodes: Text[] = [];
        HEADINGS.forEach(({ key }, index) => {
            const cell = made("div", key, index === SYMBOL ? "rowheader" : "gridcell");
            cell.setAttribute("aria-colindex", String(index + 1));
            const node = document.createTextNode("");
            cell.append(node);
            cells.push(cell);
            nodes.push(node);
        });
        const tag = document.createTextNode("");
        const tagElement = document.createElement("span");
        tagElement.className = "tag";
        tagElement.append(tag);
        cells[SYMBOL]?.append(tagElement);
        element.append(...cells);
        this.body.append(element);
        return {
            element,
            cells,
            texts: HEADINGS.map(() => ""),
            nodes,
            tag,
            tagText: "",
            index: -1,
            row: -1,
            lastPrice: NaN,
            flashedMs: 0,
            isFlashing: false,
        };
    }

    // ---- headings and keys ------------------------------------------------------------------------------------

    private heading(key: SortKey, label: string, meaning: string): HTMLElement {
        const cell = made("div", key, "columnheader");
        cell.setAttribute("aria-colindex", String(this.headings.length + 1));
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = label;
        button.title = meaning;
        button.addEventListener("click", () => {
            const isSame = this.sorting.key === key;
            this.sorting = { key, isDescending: isSame ? !this.sorting.isDescending : startsDescending(key) };
            this.showSorting();
            this.arrange();
            this.onSort(this.sorting);
        });
        cell.append(button);
        this.headings.push(cell);
        return cell;
    }

    private showSorting(): void {
        HEADINGS.forEach(({ key }, index) => {
            const heading = this.headings[index];
            if (key !== this.sorting.key) heading?.removeAttribute("aria-sort");
            else heading?.setAttribute("aria-sort", this.sorting.isDescending ? "descending" : "ascending");
        });
    }

    private scrollTo(index: number): void {
        const top = index * this.rowHeight;
        const { bodyHeight } = this;
        const { scrollTop } = this.grid;
        if (top < scrollTop) this.grid.scrollTop = top;
        else if (top + this.rowHeight > scrollTop + bodyHeight) this.grid.scrollTop = top + this.rowHeight - bodyHeight;
        // The scroll event comes a frame later.
        this.place();
    }

    private pressed(event: KeyboardEvent): void {
        if (event.target !== this.grid || event.ctrlKey || event.metaKey || event.altKey) return;
        const page = Math.max(1, Math.floor(this.bodyHeight / this.rowHeight) - 1);
        const steps: Record<string, number> = {
            ArrowDown: 1,
            ArrowUp: -1,
            PageDown: page,
            PageUp: -page,
            End: this.order.length,
            Home: -this.order.length,
        };
        const by = steps[event.key];
        if (by === undefined) return;
        event.preventDefault();
        this.move(by);
    }
}

function made(tag: string, className: string, role: string): HTMLElement {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.setAttribute("role", role);
    return element;
}

function write(pooled: PooledRow, index: number, text: string): void {
    const node = pooled.nodes[index];
    if (!node || pooled.texts[index] === text) return;
    pooled.texts[index] = text;
    node.data = text;
}
