import { Column, Mark, type RowDescription } from "../feed/board.js";
import type { Changes } from "../feed/messages.js";
import { change } from "../fmt/numbers.js";

/** The page's copy of the board: what the worker said last about every row. */
export class Quotes {
    private figures = new Float64Array(64 * Column.COUNT);
    private descriptions: (RowDescription | undefined)[] = [];
    /** By row: which {@link apply} changed it last. */
    private changedIn = new Uint32Array(64);
    private applied = 0;

    get rowCount(): number {
        return this.descriptions.length;
    }

    /** Returns whether instruments came, went or were renamed, so that the list must be made anew. */
    apply(changes: Pick<Changes, "figures" | "count" | "descriptions">): boolean {
        this.applied++;
        for (const description of changes.descriptions) {
            this.reserve(description.row + 1);
            this.descriptions[description.row] = description;
        }
        const width = Column.COUNT + 1;
        for (let index = 0, at = 0; index < changes.count; index++, at += width) {
            const row = changes.figures[at] ?? 0;
            this.reserve(row + 1);
            this.figures.set(changes.figures.subarray(at + 1, at + width), row * Column.COUNT);
            this.changedIn[row] = this.applied;
        }
        return changes.descriptions.length > 0;
    }

    description(row: number): RowDescription | undefined {
        return this.descriptions[row];
    }

    /** In units of the instrument; NaN when there is no value. */
    figure(row: number, column: Column): number {
        return this.figures[row * Column.COUNT + column] ?? NaN;
    }

    mark(row: number): Mark {
        return this.figures[row * Column.COUNT + Column.MARK] ?? Mark.LIVE;
    }

    /** Above the day's open, as a part of it. */
    change(row: number): number {
        return change(this.figure(row, Column.LAST), this.figure(row, Column.OPEN));
    }

    /** Whether the last {@link apply} changed the row. */
    isNew(row: number): boolean {
        return this.changedIn[row] === this.applied;
    }

    /** `BTC-USD@kraken`. */
    name(row: number): string {
        const description = this.descriptions[row];
        return description ? `${description.symbol}@${description.venue}` : "";
    }

    private reserve(rows: number): void {
        if (rows <= this.changedIn.length) return;
        const room = Math.max(rows, this.changedIn.length * 2);
        const figures = new Float64Array(room * Column.COUNT);
        figures.set(this.figures);
        this.figures = figures;
        const changedIn = new Uint32Array(room);
        changedIn.set(this.changedIn);
        this.changedIn = changedIn;
    }
}
