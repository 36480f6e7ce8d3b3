/** The state of the whole feed, as the badge shows it. */
export type FeedState = "live" | "delayed" | "stale" | "reconnecting" | "offline";

/** Judges the feed by its last **data** message: a socket that only answers pings is not alive. */
export class Health {
    /** No data for so long: something is slow. */
    static readonly DELAYED_AFTER_MS = 3_000;
    /** No data for so long: the prices on the screen are old. */
    static readonly STALE_AFTER_MS = 10_000;
    /** Data that takes so long from the hub to here is late, though it comes. */
    static readonly LATE_MS = 1_000;
    /** Without a connection for so long, the badge no longer promises a quick return; attempts go on. */
    static readonly OFFLINE_AFTER_MS = 30_000;

    private openSinceMs: number | undefined;
    private closedSinceMs: number;
    private lastDataMs: number | undefined;
    private hasNetwork = true;
    private latencyMs = 0;

    constructor(nowMs: number) {
        this.closedSinceMs = nowMs;
    }

    opened(nowMs: number): void {
        this.openSinceMs = nowMs;
        this.lastDataMs = undefined;
        this.latencyMs = 0;
    }

    closed(nowMs: number): void {
        if (this.openSinceMs !== undefined) this.closedSinceMs = nowMs;
        this.openSinceMs = undefined;
    }

    /** A message with at least one push in it; NaN when it says nothing about latency. */
    data(nowMs: number, latencyMs: number): void {
        this.lastDataMs = nowMs;
        if (Number.isFinite(latencyMs)) this.latencyMs = latencyMs;
    }

    network(isThere: boolean): void {
        this.hasNetwork = isThere;
    }

    state(nowMs: number): FeedState {
        if (this.openSinceMs === undefined) {
            const isLongGone = nowMs - this.closedSinceMs >= Health.OFFLINE_AFTER_MS;
            return isLongGone || !this.hasNetwork ? "offline" : "reconnecting";
        }
        const silenceMs = nowMs - (this.lastDataMs ?? this.openSinceMs);
        if (silenceMs >= Health.STALE_AFTER_MS) return "stale";
        // Open, but nothing is known yet.
        if (this.lastDataMs === undefined) return "reconnecting";
        if (silenceMs >= Health.DELAYED_AFTER_MS || this.latencyMs >= Health.LATE_MS) return "delayed";
        return "live";
    }
}
