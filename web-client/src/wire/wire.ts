/** Protobuf's bytes: what the generated readers and writers are made of. */

export type WireFault =
    /** The bytes end, or the message that holds the field ends, before the field does. */
    | "truncated"
    /** Not protobuf: a field number of 0, a wire type we never use, a varint of more than ten bytes. */
    | "malformed"
    /** A whole number that a JavaScript number cannot hold exactly. */
    | "range"
    /** A string that is not UTF-8. */
    | "utf8";

/** Why bytes could not be read; the receiver drops the connection, for what follows cannot be trusted. */
export class WireError extends Error {
    constructor(
        readonly fault: WireFault,
        readonly position: number,
    ) {
        super(`${fault} at byte ${position}`);
        this.name = "WireError";
    }
}

export const NO_BYTES = new Uint8Array(0);

/** Without state, and dear to make. */
const UTF8_DECODER = new TextDecoder("utf-8", { fatal: true });
const UTF8_ENCODER = new TextEncoder();

const TWO_32 = 0x1_0000_0000;
/** The upper half of the largest exact whole number, 2^53 - 1. */
const HIGH_MOST = 0x1f_ffff;

/** Walks over one message. Every method moves ahead or throws {@link WireError}; none reads past the bytes. */
export class Reader {
    position = 0;
    private readonly view: DataView;
    /** The halves of the varint read last, as signed 32-bit numbers: those need no memory of their own. */
    private low = 0;
    private high = 0;

    constructor(private readonly source: Uint8Array) {
        this.view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    }

    get end(): number {
        return this.source.length;
    }

    tag(): number {
        const tag = this.uint32();
        if (tag >>> 3 === 0) throw this.error("malformed");
        return tag;
    }

    /** The end of the message that begins here, which may not reach beyond `end`. */
    message(end: number): number {
        const length = this.uint32();
        const last = this.position + length;
        if (last > end) throw this.error("truncated");
        return last;
    }

    /** A field that reached over its message's end means that the message was cut. */
    expectEnd(end: number): void {
        if (this.position !== end) throw this.error("truncated");
    }

    uint32(): number {
        // One byte is by far the most frequent.
        const first = this.source[this.position];
        if (first !== undefined && first < 0x80) {
            this.position++;
            return first;
        }
        this.varint();
        return this.low >>> 0;
    }

    int32(): number {
        this.varint();
        return this.low;
    }

    sint32(): number {
        this.varint();
        return (this.low >>> 1) ^ -(this.low & 1);
    }

    uint64(): number {
        this.varint();
        return this.high === 0 ? this.low >>> 0 : this.exact(this.low, this.high);
    }

    int64(): number {
        this.varint();
        if (this.high >= 0) return this.exact(this.low, this.high);
        // Two's complement: -(~x + 1).
        return -this.exact(~this.low, ~this.high) - 1;
    }

    sint64(): number {
        this.varint();
        const { low, high } = this;
        if (high === 0) return (low >>> 1) ^ -(low & 1);
        const magnitude = this.exact((low >>> 1) | (high << 31), high >>> 1);
        return (low & 1) === 1 ? -magnitude - 1 : magnitude;
    }

    bool(): boolean {
        this.varint();
        return this.low !== 0 || this.high !== 0;
    }

    fixed32(): number {
        return this.view.getUint32(this.advance(4), true);
    }

    fixed64(): number {
        const at = this.advance(8);
        return this.exact(this.view.getUint32(at, true), this.view.getUint32(at + 4, true));
    }

    /** A fixed64 of nanoseconds as whole microseconds, cut; exact for every year before 2255. */
    nanosecondsAsMicroseconds(): number {
        const at = this.advance(8);
        const low = this.view.getUint32(at, true);
        const high = this.view.getUint32(at + 4, true);
        // Long division by 1,000, the halves as digits: no step leaves the exact range.
        const quotient = Math.floor(high / 1000);
        const rest = high - quotient * 1000;
        return quotient * TWO_32 + Math.floor((rest * TWO_32 + low) / 1000);
    }

    double(): number {
        return this.view.getFloat64(this.advance(8), true);
    }

    string(): string {
        const start = this.position;
        try {
            return UTF8_DECODER.decode(this.stretch());
        } catch (error) {
            if (error instanceof WireError) throw error;
            throw new WireError("utf8", start);
        }
    }

    /** A copy, so that a small field does not keep a whole frame alive. */
    bytes(): Uint8Array {
        const stretch = this.stretch();
        return stretch.length === 0 ? NO_BYTES : stretch.slice();
    }

    /** Passes over a field of a number or wire type that the proto file did not know. */
    skip(tag: number): void {
        switch (tag & 7) {
            case 0:
                this.varint();
                break;
            case 1:
                this.advance(8);
                break;
            case 2:
                this.stretch();
                break;
            case 5:
                this.advance(4);
                break;
            default:
                throw this.error("malformed");
        }
    }

    private stretch(): Uint8Array {
        const end = this.message(this.end);
        const stretch = this.source.subarray(this.position, end);
        this.position = end;
        return stretch;
    }

    private advance(count: number): number {
        const at = this.position;
        if (at + count > this.source.length) throw this.error("truncated");
        this.position = at + count;
        return at;
    }

    /** Reads a varint into `low` and `high`; bits above the 64th are dropped, as everywhere in protobuf. */
    private varint(): void {
        const { source } = this;
        let at = this.position;
        // Where ten bytes are left, no byte needs a check of its own; this is more than twice as fast.
        if (at + 10 > source.length) return this.varintNearTheEnd();
        let byte = source[at++] as number;
        let low = byte & 0x7f;
        let high = 0;
        if (byte >= 0x80) {
            byte = source[at++] as number;
            low |= (byte & 0x7f) << 7;
            if (byte >= 0x80) {
                byte = source[at++] as number;
                low |= (byte & 0x7f) << 14;
                if (byte >= 0x80) {
                    byte = source[at++] as number;
                    low |= (byte & 0x7f) << 21;
                    if (byte >= 0x80) {
                        byte = source[at++] as number;
                        low |= byte << 28;
                        high = (byte & 0x7f) >>> 4;
                        for (let shift = 3; byte >= 0x80; shift += 7) {
                            if (shift > 31) throw this.error("malformed");
                            byte = source[at++] as number;
                            high |= (byte & 0x7f) << shift;
                        }
                    }
                }
            }
        }
        this.position = at;
        this.low = low;
        this.high = high;
    }

    private varintNearTheEnd(): void {
        let low = 0;
        let high = 0;
        for (let shift = 0; shift < 70; shift += 7) {
            const byte = this.source[this.position];
            if (byte === undefined) throw this.error("truncated");
            this.position++;
            const bits = byte & 0x7f;
            if (shift < 32) low |= bits << shift;
            if (shift === 28) high = bits >>> 4;
            else if (shift > 28) high |= bits << (shift - 32);
            if (byte < 0x80) {
                this.low = low;
                this.high = high;
                return;
            }
        }
        throw this.error("malformed");
    }

    private exact(low: number, high: number): number {
        if (high >>> 0 > HIGH_MOST) throw this.error("range");
        return high * TWO_32 + (low >>> 0);
    }

    private error(fault: WireFault): WireError {
        return new WireError(fault, this.position);
    }
}

/** Gathers one message. The numbers are our own, so a wrong one is a RangeError, not a {@link WireError}. */
export class Writer {
    private target = new Uint8Array(256);
    private length = 0;

    /** A copy of what was written. */
    finish(): Uint8Array {
        return this.target.slice(0, this.length);
    }

    tag(tag: number): void {
        this.varint(tag);
    }

    /** Begins a message whose length is not known yet; give the result to {@link end}. */
    begin(): number {
        return this.length;
    }

    end(start: number): void {
        const size = this.length - start;
        let lengthBytes = 1;
        for (let rest = size; rest >= 0x80; rest = Math.floor(rest / 0x80)) lengthBytes++;
        this.reserve(lengthBytes);
        this.target.copyWithin(start + lengthBytes, start, this.length);
        this.length = start;
        this.varint(size);
        this.length += size;
    }

    uint32(value: number): void {
        this.varint(value);
    }

    uint64(value: number): void {
        this.varint(value);
    }

    int32(value: number): void {
        this.int64(value);
    }

    int64(value: number): void {
        this.check(value, -Number.MAX_SAFE_INTEGER);
        if (value >= 0) return this.varint(value);
        // Ten bytes of two's complement.
        const magnitude = -value - 1;
        this.halves(~(magnitude % TWO_32) >>> 0, ~Math.floor(magnitude / TWO_32) >>> 0);
    }

    sint32(value: number): void {
        this.sint64(value);
    }

    sint64(value: number): void {
        this.check(value, -Number.MAX_SAFE_INTEGER);
        const magnitude = value < 0 ? -value - 1 : value;
        const low = magnitude % TWO_32;
        const high = Math.floor(magnitude / TWO_32);
        this.halves(((low << 1) | (value < 0 ? 1 : 0)) >>> 0, ((high << 1) | (low >>> 31)) >>> 0);
    }

    bool(value: boolean): void {
        this.varint(value ? 1 : 0);
    }

    fixed32(value: number): void {
        this.reserve(4);
        this.fixedHalf(value);
    }

    fixed64(value: number): void {
        this.check(value, 0);
        this.reserve(8);
        this.fixedHalf(value % TWO_32);
        this.fixedHalf(Math.floor(value / TWO_32));
    }

    /** Microseconds, whole or cut to whole, as a fixed64 of nanoseconds. */
    nanosecondsAsMicroseconds(microseconds: number): void {
        const whole = Math.floor(microseconds);
        this.check(whole, 0);
        const lower = (whole % TWO_32) * 1000;
        this.reserve(8);
        this.fixedHalf(lower % TWO_32);
        this.fixedHalf(Math.floor(whole / TWO_32) * 1000 + Math.floor(lower / TWO_32));
    }

    double(value: number): void {
        this.reserve(8);
        new DataView(this.target.buffer).setFloat64(this.length, value, true);
        this.length += 8;
    }

    string(value: string): void {
        this.bytes(UTF8_ENCODER.encode(value));
    }

    bytes(value: Uint8Array): void {
        this.varint(value.length);
        this.reserve(value.length);
        this.target.set(value, this.length);
        this.length += value.length;
    }

    private varint(value: number): void {
        this.check(value, 0);
        this.reserve(10);
        let rest = value;
        while (rest >= 0x80) {
            this.target[this.length++] = (rest % 0x80) | 0x80;
            rest = Math.floor(rest / 0x80);
        }
        this.target[this.length++] = rest;
    }

    private halves(low: number, high: number): void {
        this.reserve(10);
        while (high > 0 || low >= 0x80) {
            this.target[this.length++] = (low & 0x7f) | 0x80;
            low = ((low >>> 7) | (high << 25)) >>> 0;
            high >>>= 7;
        }
        this.target[this.length++] = low;
    }

    private fixedHalf(half: number): void {
        for (let shift = 0; shift < 32; shift += 8) this.target[this.length++] = half >>> shift;
    }

    private check(value: number, least: number): void {
        if (Number.isSafeInteger(value) && value >= least) return;
        throw new RangeError(`${value} is not a whole number from ${least} to ${Number.MAX_SAFE_INTEGER}`);
    }

    private reserve(count: number): void {
        if (this.length + count <= this.target.length) return;
        const larger = new Uint8Array(Math.max(this.length + count, this.target.length * 2));
        larger.set(this.target.subarray(0, this.length));
        this.target = larger;
    }
}
