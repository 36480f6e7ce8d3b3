import { Column } from "../feed/board.js";
import { compact, decimal, direction, percent, spread } from "../fmt/numbers.js";
import { element, setData, setText } from "./elements.js";
import type { Quotes } from "./quotes.js";
import { MARK_WORDS } from "./table.js";

/** The strip above the table: the selected instrument in large, with spread and day range. */
export class Headline {
    private readonly strip = element("headline", HTMLElement);
    private readonly symbol = element("headline-symbol", HTMLElement);
    private readonly venue = element("headline-venue", HTMLElement);
    private readonly mark = element("headline-mark", HTMLElement);
    private readonly last = element("headline-last", HTMLElement);
    private readonly change = element("headline-change", HTMLElement);
    private readonly bid = element("headline-bid", HTMLElement);
    private readonly ask = element("headline-ask", HTMLElement);
    private readonly spread = element("headline-spread", HTMLElement);
    private readonly low = element("headline-low", HTMLElement);
    private readonly high = element("headline-high", HTMLElement);
    private readonly volume = element("headline-volume", HTMLElement);
    private readonly needle = element("headline-needle", HTMLElement);

    constructor(private readonly quotes: Quotes) {}

    /** `row` is negative when nothing is selected. */
    paint(row: number): void {
        const { quotes } = this;
        const description = quotes.description(row);
        setData(this.strip, "empty", description ? "" : "true");
        if (!description) return;
        const { priceScale, quantityScale } = description;
        const price = (column: Column) => decimal(quotes.figure(row, column), priceScale);
        setText(this.symbol, description.symbol);
        setText(this.venue, description.venue);
        setText(this.mark, MARK_WORDS[quotes.mark(row)]);
        setText(this.last, price(Column.LAST));
        const change = quotes.change(row);
        setText(this.change, percent(change));
        setData(this.change, "sign", direction(change));
        setText(this.bid, price(Column.BID));
        setText(this.ask, price(Column.ASK));
        setText(this.spread, spread(quotes.figure(row, Column.BID), quotes.figure(row, Column.ASK), priceScale));
        setText(this.low, price(Column.LOW));
        setText(this.high, price(Column.HIGH));
        setText(this.volume, compact(quotes.figure(row, Column.VOLUME), quantityScale));
        const low = quotes.figure(row, Column.LOW);
        const part = (quotes.figure(row, Column.LAST) - low) / (quotes.figure(row, Column.HIGH) - low);
        this.needle.hidden = !Number.isFinite(part);
        if (Number.isFinite(part)) this.needle.style.left = `${Math.min(100, Math.max(0, part * 100)).toFixed(1)}%`;
    }

    /** For the window's title: `67,123.45 ▲ BTC-USD`. */
    title(row: number): string {
        const description = this.quotes.description(row);
        if (!description) return "";
        const arrow = { up: "\u25b2 ", down: "\u25bc ", "": "" }[direction(this.quotes.change(row))];
        return `${decimal(this.quotes.figure(row, Column.LAST), description.priceScale)} ${arrow}${description.symbol}`;
    }
}
