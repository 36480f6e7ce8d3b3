import type { RowDescription } from "./board.js";
import type { Vitals } from "./link.js";

/** What the page says to the worker. */
export type ToWorker =
    | { kind: "start"; url: string }
    /** The page has painted and wants what changed; the buffer of the last {@link Changes} comes back for reuse. */
    | { kind: "pull"; buffer?: ArrayBuffer }
    /** The page became visible. */
    | { kind: "wake" }
    | { kind: "network"; isThere: boolean };

/** The worker's answer to a pull. */
export interface Changes {
    /** For each changed row its number, then its columns. */
    figures: Float64Array;
    count: number;
    /** Instruments that are new or other than before. */
    descriptions: RowDescription[];
    vitals: Vitals;
}
