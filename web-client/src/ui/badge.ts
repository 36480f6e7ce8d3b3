/** The words for the feed's state. */

import type { FeedState } from "../feed/health.js";
import type { Vitals } from "../feed/link.js";

export const STATE_WORDS: Record<FeedState, string> = {
    live: "Live",
    delayed: "Delayed",
    stale: "Stale",
    reconnecting: "Reconnecting",
    offline: "Offline",
};

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
