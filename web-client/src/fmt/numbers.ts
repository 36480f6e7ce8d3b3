/** Numbers as a price list shows them. Prices come as whole numbers of units; none is rounded on the way to text. */

export const MINUS = "\u2212";
/** Stands where there is no value. */
export const NONE = "\u2013";

function grouped(digits: string): string {
    let text = digits.slice(0, digits.length % 3);
    for (let at = text.length; at < digits.length; at += 3) text += (text ? "," : "") + digits.slice(at, at + 3);
    return text;
}

/** `units` x 10^-`scale` with exactly `scale` decimals, thousands grouped; {@link NONE} for NaN. */
export function decimal(units: number, scale: number): string {
    if (!Number.isFinite(units)) return NONE;
    // Whole numbers below 1e21 have no exponent in their text, and ours are below 2^53.
    const digits = String(Math.abs(units)).padStart(scale + 1, "0");
    const sign = units < 0 ? MINUS : "";
    const point = digits.length - scale;
    const whole = grouped(digits.slice(0, point));
    return scale === 0 ? sign + whole : `${sign}${whole}.${digits.slice(point)}`;
}

const MAGNITUDES = ["", "K", "M", "B", "T"];

/** A quantity in about four digits: `0.0312`, `12.50`, `1.204K`, `38.12M`; never more decimals than the scale has. */
export function compact(units: number, scale: number): string {
    if (!Number.isFinite(units)) return NONE;
    let value = Math.abs(units) / 10 ** scale;
    let magnitude = 0;
    // From where four digits would round to 1,000.
    while (value >= 999.95 && magnitude < MAGNITUDES.length - 1) {
        value /= 1000;
        magnitude++;
    }
    let decimals = value >= 999.95 ? 0 : value >= 99.995 ? 1 : value >= 9.9995 ? 2 : value >= 0.99995 ? 3 : 4;
    if (magnitude === 0) decimals = Math.min(decimals, scale);
    const isTiny = value > 0 && value < 0.00005;
    const text = isTiny ? value.toExponential(1).replace("-", MINUS) : value.toFixed(decimals);
    return (units < 0 ? MINUS : "") + text + MAGNITUDES[magnitude];
}

/** The part by which `last` stands above `open`: 0.0123 for 1.23 %; NaN when either is missing or open is 0. */
export function change(last: number, open: number): number {
    return open === 0 ? NaN : (last - open) / Math.abs(open);
}

/** `0.02 · 1.3 bp`: the difference in price and in hundredths of a percent of the middle. */
export function spread(bid: number, ask: number, scale: number): string {
    const difference = ask - bid;
    if (!Number.isFinite(difference)) return NONE;
    const middle = (ask + bid) / 2;
    const points = middle > 0 ? ` \u00b7 ${((difference / middle) * 10_000).toFixed(1)} bp` : "";
    return decimal(difference, scale) + points;
}

/** A part as percent with arrow and sign, so that it reads without colour: `▲ +1.23%`. */
export function percent(part: number): string {
    if (!Number.isFinite(part)) return NONE;
    const text = Math.abs(part * 100).toFixed(2);
    if (direction(part) === "") return "0.00%";
    return part > 0 ? `\u25b2 +${text}%` : `\u25bc ${MINUS}${text}%`;
}

/** The direction that {@link percent} shows: none for what it rounds to zero. */
export function direction(part: number): "up" | "down" | "" {
    if (!(Math.abs(part) >= 0.00005)) return "";
    return part > 0 ? "up" : "down";
}

/** How long ago, in the largest whole unit: `<1s`, `12s`, `3m`, `2h`, `5d`. */
export function age(ms: number): string {
    if (!Number.isFinite(ms)) return NONE;
    if (ms < 1000) return "<1s";
    const seconds = Math.floor(ms / 1000);
    if (seconds < 60) return `${seconds}s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
    return seconds < 86_400 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

/** A latency: `0.8 ms`, `12 ms`, `1.4 s`. */
export function latency(ms: number): string {
    if (!Number.isFinite(ms)) return NONE;
    if (ms < 9.95) return `${ms.toFixed(1)} ms`;
    return ms < 999.5 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
