/** The few names of node that the tests use: Debian has no package of node's types for this compiler. */
declare module "node:test" {
    export function test(name: string, body: () => void | Promise<void>): void;
}
declare module "node:assert/strict" {
    interface Assert {
        (value: unknown, message?: string): asserts value;
        equal(actual: unknown, expected: unknown, message?: string): void;
        deepEqual(actual: unknown, expected: unknown, message?: string): void;
        ok(value: unknown, message?: string): asserts value;
        throws(body: () => unknown, error: (error: unknown) => boolean): void;
    }
    const assert: Assert;
    export default assert;
}
declare module "node:fs" {
    export function readFileSync(path: string): Uint8Array;
    export function readFileSync(path: string, encoding: "utf8"): string;
}
declare class TextEncoder {
    encode(text: string): Uint8Array;
}
declare class TextDecoder {
    constructor(label: string, options: { fatal: boolean });
    decode(bytes: Uint8Array): string;
}
