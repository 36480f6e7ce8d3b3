import type { FeedState } from "../feed/health.js";
import type { Vitals } from "../feed/link.js";
import { latency } from "../fmt/numbers.js";
import { element, setData, setText } from "./elements.js";

export const STATE_WORDS: Record<FeedState, string> = {
    live: "Live",
    delayed: "Delayed",
    stale: "Stale",
    reconnecting: "Reconnecting",
    offline: "Offline",
};

const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** What the badge says: a first attempt is no return. */
export function badgeText({ state, wasConnected }: Pick<Vitals, "state" | "wasConnected">): string {
    return state === "reconnecting" && !wasConnected ? "Connecting" : STATE_WORDS[state];
}

/** Why the badge says it, and what happens next. */
export function explanation({ state, reason, retryInMs }: Pick<Vitals, "state" | "reason" | "retryInMs">): string {
    switch (state) {
        case "live":
            return "";
        case "delayed":
            return "Prices arrive late";
        case "stale":
            return "No prices for more than 10 s: what you see is old";
        case "reconnecting":
        case "offline": {
            const next = Number.isFinite(retryInMs) ? `next attempt in ${Math.ceil(retryInMs / 1000)} s` : "";
            const text = [reason, next].filter(Boolean).join("; ");
            return text.charAt(0).toUpperCase() + text.slice(1);
        }
    }
}

/** The badge and the status bar. */
export class VitalsBar {
    private readonly badge = element("badge", HTMLElement);
    private readonly badgeLabel = element("badge-label", HTMLElement);
    private readonly notice = element("notice", HTMLElement);
    private readonly latency = element("latency", HTMLElement);
    private readonly rate = element("rate", HTMLElement);
    private readonly roundTrip = element("round-trip", HTMLElement);
    private readonly gaps = element("gaps", HTMLElement);
    private readonly instruments = element("instruments", HTMLElement);
    private readonly hub = element("hub", HTMLElement);

    paint(vitals: Vitals, shown: number): void {
        setData(document.body, "state", vitals.state);
        setText(this.badgeLabel, badgeText(vitals));
        const why = explanation(vitals);
        setText(this.notice, why);
        if (this.badge.title !== why) this.badge.title = why;
        setText(this.latency, latency(vitals.latencyMs));
        this.latency.title = `Slowest of the last second: ${latency(vitals.latencyWorstMs)}`;
        setText(this.rate, count.format(vitals.pushesPerSecond));
        this.rate.title = `In ${count.format(vitals.framesPerSecond)} messages a second`;
        setText(this.roundTrip, latency(vitals.roundTripMs));
        this.roundTrip.title = `The hub's clock is ${Math.round(vitals.clockOffsetMs)} ms ahead`;
        setText(this.gaps, count.format(vitals.gaps));
        setText(this.instruments, count.format(shown));
        setText(this.hub, vitals.hubVersion);
    }
}
