/** Counts and times what arrives, by whole seconds, so that the figures can be read. */
export class Meter {
    private startedMs: number;
    private frames = 0;
    private pushes = 0;
    private latencySumMs = 0;
    private latencyMostMs = 0;
    private latencyCount = 0;

    /** Of the last whole second. */
    framesPerSecond = 0;
    pushesPerSecond = 0;
    /** Mean and most of the last second that had a measurable push; NaN before. */
    latencyMs = NaN;
    latencyWorstMs = NaN;

    constructor(nowMs: number) {
        this.startedMs = nowMs;
    }

    frame(pushCount: number): void {
        this.frames++;
        this.pushes += pushCount;
    }

    latency(ms: number): void {
        this.latencySumMs += ms;
        this.latencyMostMs = Math.max(this.latencyMostMs, ms);
        this.latencyCount++;
    }

    tick(nowMs: number): void {
        const elapsedMs = nowMs - this.startedMs;
        if (elapsedMs < 1000) return;
        this.framesPerSecond = (this.frames * 1000) / elapsedMs;
        this.pushesPerSecond = (this.pushes * 1000) / elapsedMs;
        if (this.latencyCount > 0) {
            this.latencyMs = this.latencySumMs / this.latencyCount;
            this.latencyWorstMs = this.latencyMostMs;
        }
        this.startedMs = nowMs;
        this.frames = this.pushes = this.latencySumMs = this.latencyMostMs = this.latencyCount = 0;
    }
}
