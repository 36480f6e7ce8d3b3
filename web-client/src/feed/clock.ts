interface Sample {
    roundTripMs: number;
    offsetMs: number;
}

/** How far the hub's clock is ahead of ours, learned from pings. */
export class ClockOffset {
    /** So many round trips count; the quickest of them is the least wrong. */
    static readonly SAMPLES_MOST = 8;

    private samples: Sample[] = [];

    /** Zero until the first answer. */
    offsetMs = 0;
    /** Of the newest answer; NaN until there is one. */
    roundTripMs = NaN;

    /** An answer that came at `nowMs` to a ping of `sentMs`, given `serverMs` in between. */
    answer(sentMs: number, serverMs: number, nowMs: number): void {
        const roundTripMs = nowMs - sentMs;
        // Our clock was set meanwhile, or the answer is to no ping of ours.
        if (!(roundTripMs >= 0 && roundTripMs < 60_000)) return;
        this.roundTripMs = roundTripMs;
        this.samples.push({ roundTripMs, offsetMs: serverMs + roundTripMs / 2 - nowMs });
        if (this.samples.length > ClockOffset.SAMPLES_MOST) this.samples.shift();
        const quickest = this.samples.reduce((best, next) => (next.roundTripMs < best.roundTripMs ? next : best));
        this.offsetMs = quickest.offsetMs;
    }

    /** Another connection may lead to another hub. */
    reset(): void {
        this.samples = [];
        this.offsetMs = 0;
        this.roundTripMs = NaN;
    }
}
