import { MarketState, StatusReason, type Instrument, type Status, type Ticker } from "../wire/generated/market_hub.js";

/** Where a figure stands in a row of the board, and in the rows that the page pulls. NaN says that there is none. */
export const enum Column {
    BID,
    ASK,
    LAST,
    OPEN,
    HIGH,
    LOW,
    VOLUME,
    /** The hub's clock, milliseconds since 1970. */
    RECEIVED_MS,
    /** A {@link Mark}. */
    MARK,
    COUNT,
}

/** How far the row's figures can be trusted; worse is greater. */
export const enum Mark {
    LIVE,
    HALTED,
    RESYNCING,
    STALE,
    DISCONNECTED,
}

/** What the page must know of a row to show its figures. */
export interface RowDescription {
    row: number;
    symbol: string;
    venue: string;
    priceScale: number;
    quantityScale: number;
    /** False when the hub lists it no more. */
    isListed: boolean;
}

/** The newest figures of every instrument, in columns, with a note of what changed since the page looked. */
export class Board {
    /** A hub with more instruments than this shows only the first. */
    static readonly ROWS_MOST = 20_000;

    private figures = new Float64Array(64 * Column.COUNT);
    private isChanged = new Uint8Array(64);
    private changed: number[] = [];
    private descriptions: RowDescription[] = [];
    private byName = new Map<string, number>();
    private newDescriptions = new Set<number>();
    /** By row: the venue's state, a gap that we found, a flag in the last push. */
    private venueMarks: Mark[] = [];
    private ownMarks: Mark[] = [];

    get rowCount(): number {
        return this.descriptions.length;
    }

    get changedCount(): number {
        return this.changed.length;
    }

    /** The row of an instrument, made when it is new; undefined past {@link ROWS_MOST}. */
    row(instrument: Instrument): number | undefined {
        const name = `${instrument.symbol}@${instrument.venue}`;
        const { symbol, venue, priceScale, quantityScale } = instrument;
        let row = this.byName.get(name);
        if (row === undefined) {
            if (this.rowCount >= Board.ROWS_MOST) return undefined;
            row = this.rowCount;
            this.byName.set(name, row);
            this.grow(row + 1);
            this.figures.fill(NaN, row * Column.COUNT, (row + 1) * Column.COUNT);
            this.figures[row * Column.COUNT + Column.MARK] = Mark.LIVE;
            this.venueMarks.push(Mark.LIVE);
            this.ownMarks.push(Mark.LIVE);
        } else {
            const known = this.descriptions[row];
            if (known?.isListed && known.priceScale === priceScale && known.quantityScale === quantityScale) return row;
            // Other units make the old figures wrong, not only old.
            if (known && (known.priceScale !== priceScale || known.quantityScale !== quantityScale)) this.blank(row);
        }
        this.descriptions[row] = { row, symbol, venue, priceScale, quantityScale, isListed: true };
        this.newDescriptions.add(row);
        this.note(row);
        return row;
    }

    ticker(row: number, ticker: Ticker, receivedMs: number, isStale: boolean): void {
        const at = row * Column.COUNT;
        const hasDay = ticker.dayVolume > 0;
        this.figures[at + Column.BID] = ticker.bidQuantity > 0 ? ticker.bidPrice : NaN;
        this.figures[at + Column.ASK] = ticker.askQuantity > 0 ? ticker.askPrice : NaN;
        this.figures[at + Column.LAST] = ticker.lastQuantity > 0 ? ticker.lastPrice : NaN;
        this.figures[at + Column.OPEN] = hasDay ? ticker.dayOpen : NaN;
        this.figures[at + Column.HIGH] = hasDay ? ticker.dayHigh : NaN;
        this.figures[at + Column.LOW] = hasDay ? ticker.dayLow : NaN;
        this.figures[at + Column.VOLUME] = hasDay ? ticker.dayVolume : NaN;
        this.figures[at + Column.RECEIVED_MS] = receivedMs;
        // A resync that we wait for stays marked until it is there.
        if (this.ownMarks[row] !== Mark.RESYNCING) this.ownMarks[row] = isStale ? Mark.STALE : Mark.LIVE;
        this.showMark(row);
        this.note(row);
    }

    status(row: number, status: Status): void {
        if (status.reason === StatusReason.UNITS_CHANGED && status.instrument) this.row(status.instrument);
        this.venueMarks[row] = venueMark(status.state);
        this.showMark(row);
    }

    /** We lost a push of this row, or have it all again. */
    resyncing(row: number, isResyncing: boolean): void {
        this.ownMarks[row] = isResyncing ? Mark.RESYNCING : Mark.LIVE;
        this.showMark(row);
    }

    /** Nothing of the last connection's states holds on a new one. */
    forgetMarks(): void {
        for (let row = 0; row < this.rowCount; row++) {
            this.venueMarks[row] = this.ownMarks[row] = Mark.LIVE;
            this.showMark(row);
        }
    }

    /** Takes off the list what the hub's whole list did not name. */
    keepOnly(listed: ReadonlySet<number>): void {
        for (const known of this.descriptions) {
            if (known.isListed && !listed.has(known.row)) {
                this.descriptions[known.row] = { ...known, isListed: false };
                this.newDescriptions.add(known.row);
            }
        }
    }

    /** Descriptions made or changed since the last call. */
    takeDescriptions(): RowDescription[] {
        const taken = [...this.newDescriptions].map((row) => this.descriptions[row]);
        this.newDescriptions.clear();
        return taken.filter((description): description is RowDescription => description !== undefined);
    }

    /**
     * The rows that changed since the last call: for each its number, then its columns.
     *
     * `into` is used when it is large enough. The length is in `count` rows; the rest of the buffer is old.
     */
    takeChanges(into?: ArrayBuffer): { figures: Float64Array; count: number } {
        const width = Column.COUNT + 1;
        const count = this.changed.length;
        const isEnough = into !== undefined && into.byteLength >= count * width * 8;
        const figures = isEnough ? new Float64Array(into) : new Float64Array(Math.max(16, count * 2) * width);
        let at = 0;
        for (const row of this.changed) {
            figures[at] = row;
            const start = row * Column.COUNT;
            for (let column = 0; column < Column.COUNT; column++) {
                figures[at + 1 + column] = this.figures[start + column] ?? NaN;
            }
            at += width;
            this.isChanged[row] = 0;
        }
        this.changed.length = 0;
        return { figures, count };
    }

    private blank(row: number): void {
        this.figures.fill(NaN, row * Column.COUNT, row * Column.COUNT + Column.MARK);
    }

    private showMark(row: number): void {
        const mark = Math.max(this.venueMarks[row] ?? 0, this.ownMarks[row] ?? 0);
        const at = row * Column.COUNT + Column.MARK;
        if (this.figures[at] === mark) return;
        this.figures[at] = mark;
        this.note(row);
    }

    private note(row: number): void {
        if (this.isChanged[row]) return;
        this.isChanged[row] = 1;
        this.changed.push(row);
    }

    private grow(rows: number): void {
        if (rows <= this.isChanged.length) return;
        const larger = new Float64Array(this.figures.length * 2);
        larger.set(this.figures);
        this.figures = larger;
        const largerNotes = new Uint8Array(this.isChanged.length * 2);
        largerNotes.set(this.isChanged);
        this.isChanged = largerNotes;
    }
}

function venueMark(state: MarketState): Mark {
    switch (state) {
        case MarketState.DISCONNECTED:
            return Mark.DISCONNECTED;
        case MarketState.CONNECTED:
        case MarketState.RESYNCING:
            return Mark.RESYNCING;
        case MarketState.STALE:
            return Mark.STALE;
        case MarketState.HALTED:
            return Mark.HALTED;
        default:
            return Mark.LIVE;
    }
}
