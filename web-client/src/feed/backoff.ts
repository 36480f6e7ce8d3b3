/** How long to wait before the next attempt to connect; it never gives up. */
export class BackOff {
    static readonly LEAST_MS = 250;
    static readonly MOST_MS = 15_000;

    private attempts = 0;

    /** `random` gives 0 up to 1. */
    constructor(private readonly random: () => number) {}

    /** The bound doubles with each attempt; half of it is jitter, so that pages do not return all at once. */
    nextMs(): number {
        const bound = Math.min(BackOff.MOST_MS, BackOff.LEAST_MS * 2 ** Math.min(this.attempts, 16));
        this.attempts++;
        return bound / 2 + (this.random() * bound) / 2;
    }

    reset(): void {
        this.attempts = 0;
    }
}
