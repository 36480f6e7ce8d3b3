import { Reader, Writer, WireError } from "../wire/wire.js";
import {
    Channel,
    newClientFrame,
    newCommand,
    newConnect,
    newListInstruments,
    newPing,
    newResync,
    newSubscribe,
    newUnsubscribe,
    readServerFrame,
    writeClientFrame,
    type Command,
    type ErrorMessage,
    type Push,
    type Reply,
    type ServerFrame,
    type SubscribeResult,
} from "../wire/generated/market_hub.js";
import { BackOff } from "./backoff.js";
import type { Board } from "./board.js";
import { ClockOffset } from "./clock.js";
import { Health, type FeedState } from "./health.js";
import { Meter } from "./meter.js";
import { FLAG_HISTORIC, FLAG_STALE, Topics } from "./topics.js";

/** What the link needs from the world; it has neither clock, chance nor socket of its own. */
export interface Port {
    /** UTC in milliseconds, with a fraction. */
    nowMs(): number;
    /** From 0 up to 1. */
    random(): number;
    /** Begins to open a socket, which answers by {@link Link.opened} or {@link Link.closed}. */
    open(): void;
    send(bytes: Uint8Array): void;
    /** Ends the socket; the link does not hear of it again. */
    close(reason: string): void;
}

/** The link's state in figures, for the badge and the status bar. */
export interface Vitals {
    state: FeedState;
    /** Whether there was ever a connection. */
    wasConnected: boolean;
    /** Why the last connection ended; empty when it did not. */
    reason: string;
    /** Milliseconds until the next attempt; NaN when none is planned. */
    retryInMs: number;
    /** The hub's clock now, as far as it is known. */
    hubNowMs: number;
    latencyMs: number;
    latencyWorstMs: number;
    roundTripMs: number;
    clockOffsetMs: number;
    framesPerSecond: number;
    pushesPerSecond: number;
    gaps: number;
    reconnects: number;
    hubVersion: string;
}

type State =
    | { kind: "waiting"; untilMs: number }
    | { kind: "opening"; sinceMs: number }
    | { kind: "open"; sinceMs: number }
    /** The hub said that coming back is of no use; only the person's return to the page tries again. */
    | { kind: "refused" };

/** What an answer belongs to. */
type Question =
    | { kind: "connect" | "list" | "ping" | "subscribe" | "unsubscribe" }
    /** `topics`: those that we lost track of. */
    | { kind: "resync"; topics: number[] };

/** A question, and when it was asked for as long as nothing answered it. */
interface Asked {
    question: Question;
    waitsSinceMs: number | undefined;
}

/** The channels that the page listens to, for all instruments, later ones too. */
const CHANNELS = [Channel.TICKER, Channel.STATUS];

/** One conversation with the hub after another: says who we are, subscribes, checks, comes back when it breaks. */
export class Link {
    static readonly CLIENT = "market-hub web page 1";
    static readonly PASS_MS = 25;
    static readonly OPEN_MOST_MS = 10_000;
    /** Pings are answered, so a socket silent for longer is dead. */
    static readonly SILENCE_MOST_MS = 12_000;
    /** After a wake-up the socket must prove within this time that it survived the sleep. */
    static readonly PROBE_MOST_MS = 3_000;
    static readonly PING_EVERY_MS = 5_000;
    /** The first pings come quickly, so that the clock offset is good at once. */
    static readonly FIRST_PINGS = 4;
    static readonly FIRST_PING_EVERY_MS = 500;
    static readonly RESYNC_EVERY_MS = 1_000;
    /** The error of a hub that knows none of the topics asked for (ERRORS.md). */
    static readonly NOT_SUBSCRIBED = 109;
    static readonly RESUBSCRIBE_EVERY_MS = 5_000;
    /** A connection that lived so long was no accident: the back-off starts anew after it. */
    static readonly PROVEN_AFTER_MS = 5_000;
    /** Questions without an answer; past this the connection is of no use. */
    static readonly QUESTIONS_MOST = 1_000;
    /** Pongs alone show nobody a price: a hub that lost what else we asked will not find it again. */
    static readonly ANSWER_MOST_MS = 15_000;

    private state: State;
    private readonly backOff: BackOff;
    /** What the hub asked for before it ended. */
    private comeBackAfterMs = 0;
    private readonly clock = new ClockOffset();
    private readonly health: Health;
    private readonly meter: Meter;
    private readonly topics = new Topics();

    private nextID = 1;
    private questions = new Map<number, Asked>();
    private listed = new Set<number>();
    private symbolsMost = 100;
    private lastFrameMs = 0;
    private probeUntilMs = Infinity;
    private pingAtMs = Infinity;
    private pingCount = 0;
    private resyncAtMs = 0;
    private resubscribeAtMs = 0;

    private gaps = 0;
    private connections = 0;
    private reason = "";
    private hubVersion = "";

    constructor(
        private readonly port: Port,
        private readonly board: Board,
    ) {
        const nowMs = port.nowMs();
        this.state = { kind: "waiting", untilMs: nowMs };
        this.backOff = new BackOff(() => port.random());
        this.health = new Health(nowMs);
        this.meter = new Meter(nowMs);
    }

    // ---- what happens -----------------------------------------------------------------------------------------

    /** To be called a few times a second. */
    tick(): void {
        const nowMs = this.port.nowMs();
        this.meter.tick(nowMs);
        switch (this.state.kind) {
            case "waiting":
                if (nowMs >= this.state.untilMs) this.open(nowMs);
                break;
            case "opening":
                if (nowMs - this.state.sinceMs >= Link.OPEN_MOST_MS) this.drop("the hub does not answer");
                break;
            case "open":
                if (nowMs - this.lastFrameMs >= Link.SILENCE_MOST_MS) return this.drop("the hub fell silent");
                if (nowMs >= this.probeUntilMs) return this.drop("the connection did not survive the sleep");
                if (this.waitsTooLong(nowMs)) return this.drop("the hub does not answer");
                if (nowMs - this.state.sinceMs >= Link.PROVEN_AFTER_MS) this.backOff.reset();
                if (nowMs >= this.pingAtMs) this.send([this.ping(nowMs)]);
                this.resync(nowMs);
                break;
            case "refused":
                break;
        }
    }

    opened(): void {
        const nowMs = this.port.nowMs();
        this.state = { kind: "open", sinceMs: nowMs };
        this.connections++;
        this.lastFrameMs = nowMs;
        this.probeUntilMs = Infinity;
        this.pingCount = 0;
        this.clock.reset();
        this.questions.clear();
        this.topics.clear();
        this.board.forgetMarks();
        this.health.opened(nowMs);
        this.resubscribeAtMs = nowMs + Link.RESUBSCRIBE_EVERY_MS;
        this.listed.clear();
        const connect = newConnect({ client: Link.CLIENT, passMs: Link.PASS_MS });
        this.send([
            this.ask({ kind: "connect" }, { connect }),
            this.ping(nowMs),
            this.list(0),
            ...CHANNELS.map((channel) => this.subscribe(channel, ["*"])),
        ]);
    }

    closed(code: number, reason: string): void {
        const nowMs = this.port.nowMs();
        const guess = this.state.kind === "open" ? `the connection ended (${code})` : "the hub is out of reach";
        this.reason = reason || guess;
        this.health.closed(nowMs);
        const pauseMs = Math.max(this.backOff.nextMs(), this.comeBackAfterMs);
        this.comeBackAfterMs = 0;
        // 3500 to 3999: do not come back by yourself (PROTOCOL.md).
        this.state =
            code >= 3500 && code < 4000
                ? { kind: "refused" }
                : { kind: "waiting", untilMs: nowMs + pauseMs };
    }

    /** The network is back, or the person is: no reason to wait any longer, and every reason to distrust the socket. */
    wake(): void {
        const nowMs = this.port.nowMs();
        switch (this.state.kind) {
            case "waiting":
            case "refused":
                this.backOff.reset();
                this.open(nowMs);
                break;
            case "open":
                if (this.probeUntilMs !== Infinity) break;
                this.probeUntilMs = nowMs + Link.PROBE_MOST_MS;
                // Our clock may have stood still while the machine slept.
                this.clock.reset();
                this.send([this.ping(nowMs)]);
                break;
            case "opening":
                break;
        }
    }

    network(isThere: boolean): void {
        this.health.network(isThere);
        if (isThere) this.wake();
    }

    frame(bytes: Uint8Array): void {
        if (this.state.kind !== "open") return;
        let frame: ServerFrame;
        try {
            const reader = new Reader(bytes);
            frame = readServerFrame(reader, reader.end);
        } catch (error) {
            if (!(error instanceof WireError)) throw error;
            return this.drop(`the hub sent what cannot be read: ${error.message}`);
        }
        const nowMs = this.port.nowMs();
        this.lastFrameMs = nowMs;
        this.probeUntilMs = Infinity;
        this.meter.frame(frame.pushes.length);
        // The hub ends; not all pages are to come back at once.
        this.comeBackAfterMs = frame.disconnect?.reconnectAfterMs ?? 0;
        for (const reply of frame.replies) {
            this.answered(reply, nowMs);
            if (this.state.kind !== "open") return;
        }
        for (const push of frame.pushes) this.pushed(push, nowMs);
        for (const { topic, sequence } of frame.heartbeat?.topics ?? []) {
            if (this.topics.missed(topic, sequence)) this.lost(topic);
        }
        this.resync(nowMs);
    }

    vitals(): Vitals {
        const nowMs = this.port.nowMs();
        return {
            state: this.state.kind === "refused" ? "offline" : this.health.state(nowMs),
            wasConnected: this.connections > 0,
            reason: this.state.kind === "open" ? "" : this.reason,
            retryInMs: this.state.kind === "waiting" ? Math.max(0, this.state.untilMs - nowMs) : NaN,
            hubNowMs: nowMs + this.clock.offsetMs,
            latencyMs: this.meter.latencyMs,
            latencyWorstMs: this.meter.latencyWorstMs,
            roundTripMs: this.clock.roundTripMs,
            clockOffsetMs: this.clock.offsetMs,
            framesPerSecond: this.meter.framesPerSecond,
            pushesPerSecond: this.meter.pushesPerSecond,
            gaps: this.gaps,
            reconnects: Math.max(0, this.connections - 1),
            hubVersion: this.hubVersion,
        };
    }

    // ---- pushes -----------------------------------------------------------------------------------------------

    private pushed(push: Push, nowMs: number): void {
        const verdict = this.topics.judge(push);
        const topic = this.topics.get(push.topic);
        if (topic === undefined) return this.resubscribe(nowMs);
        if (verdict === "old") return;
        if (verdict === "gap") this.lost(push.topic);
        if (verdict === "snapshot") this.board.resyncing(topic.row, false);
        if (push.status) this.board.status(topic.row, push.status);
        if (!push.ticker) return;
        // A ticker is a whole value: after a gap it is shown, but marked.
        const isHistoric = (push.flags & FLAG_HISTORIC) !== 0;
        const hubNowMs = nowMs + this.clock.offsetMs;
        const receivedMs = isHistoric ? hubNowMs : push.receivedUs / 1000;
        this.board.ticker(topic.row, push.ticker, receivedMs, (push.flags & FLAG_STALE) !== 0);
        let latencyMs = NaN;
        // Snapshots are as old as the topic's last push; without a pong the clocks cannot be compared.
        if (verdict !== "snapshot" && !isHistoric && Number.isFinite(this.clock.roundTripMs)) {
            latencyMs = Math.max(0, hubNowMs - receivedMs);
            this.meter.latency(latencyMs);
        }
        this.health.data(nowMs, latencyMs);
    }

    private lost(id: number): void {
        this.gaps++;
        const topic = this.topics.get(id);
        if (topic) this.board.resyncing(topic.row, true);
    }

    /** Asks for broken topics anew, all of them at once, at most once per {@link RESYNC_EVERY_MS}. */
    private resync(nowMs: number): void {
        const topics = this.topics.brokenIDs.slice(0, this.symbolsMost);
        if (topics.length === 0 || nowMs < this.resyncAtMs) return;
        this.resyncAtMs = nowMs + Link.RESYNC_EVERY_MS;
        this.send([this.ask({ kind: "resync", topics }, { resync: newResync({ topics }) })]);
    }

    /** A topic that we do not know: an instrument joined. Ending and repeating the wildcard names all topics. */
    private resubscribe(nowMs: number): void {
        if (nowMs < this.resubscribeAtMs) return;
        this.resubscribeAtMs = nowMs + Link.RESUBSCRIBE_EVERY_MS;
        this.listed.clear();
        const commands = CHANNELS.flatMap((channel) => [
            this.ask({ kind: "unsubscribe" }, { unsubscribe: newUnsubscribe({ channel, symbols: ["*"] }) }),
            this.subscribe(channel, ["*"]),
        ]);
        this.send([this.list(0), ...commands]);
    }

    // ---- answers ----------------------------------------------------------------------------------------------

    private answered(reply: Reply, nowMs: number): void {
        const asked = this.questions.get(reply.id);
        if (!asked) return;
        const { question } = asked;
        asked.waitsSinceMs = undefined;
        // A wildcard's answer may be repeated when an instrument joins.
        if (question.kind !== "subscribe") this.questions.delete(reply.id);
        if (question.kind === "resync") return this.resynced(question.topics, reply);
        if (reply.error) return this.refused(question, reply.error);
        if (reply.pong) this.clock.answer(reply.pong.clientUs / 1000, reply.pong.serverUs / 1000, nowMs);
        if (reply.connect) {
            this.hubVersion = reply.connect.version;
            this.symbolsMost = reply.connect.limits?.symbolsPerRequestMost || this.symbolsMost;
        }
        if (reply.list) {
            for (const instrument of reply.list.instruments) {
                const row = this.board.row(instrument);
                if (row !== undefined) this.listed.add(row);
            }
            if (reply.list.next > 0) this.send([this.list(reply.list.next)]);
            else this.board.keepOnly(this.listed);
        }
        if (reply.subscribe) this.subscribed(reply.subscribe);
    }

    private subscribed(result: SubscribeResult): void {
        for (const { topic } of result.results) {
            if (!topic?.instrument) continue;
            const row = this.board.row(topic.instrument);
            if (row === undefined) continue;
            this.listed.add(row);
            this.topics.begin(topic, row);
            this.board.resyncing(row, false);
        }
    }

    /** The state of each topic that the hub names follows; the others are no more. Refused otherwise, it is asked again. */
    private resynced(asked: number[], reply: Reply): void {
        if (reply.error && reply.error.code !== Link.NOT_SUBSCRIBED) return;
        const told = new Map(reply.resync?.topics.map(({ topic, sequence }) => [topic, sequence]));
        for (const id of asked) {
            const [topic, sequence] = [this.topics.get(id), told.get(id)];
            if (!topic?.isBroken) continue;
            if (sequence === undefined) this.topics.end(id);
            else this.topics.mend(id, sequence);
            this.board.resyncing(topic.row, false);
        }
    }

    /** Without these answers there is nothing to show: the next connection asks again, after the back-off. */
    private refused(question: Question, error: ErrorMessage): void {
        if (question.kind === "unsubscribe" || question.kind === "ping") return;
        this.drop(`the hub refused: ${error.message || error.reason} (${error.code})`);
    }

    // ---- questions --------------------------------------------------------------------------------------------

    private ask(question: Question, command: Partial<Command>): Command {
        const id = this.nextID;
        this.nextID = id === 0xffff_ffff ? 1 : id + 1;
        this.questions.set(id, { question, waitsSinceMs: this.port.nowMs() });
        return newCommand({ ...command, id });
    }

    /** A late pong is the meter's affair. */
    private waitsTooLong(nowMs: number): boolean {
        for (const { question, waitsSinceMs } of this.questions.values()) {
            if (question.kind === "ping" || waitsSinceMs === undefined) continue;
            if (nowMs - waitsSinceMs >= Link.ANSWER_MOST_MS) return true;
        }
        return false;
    }

    private ping(nowMs: number): Command {
        const isFirst = ++this.pingCount < Link.FIRST_PINGS;
        this.pingAtMs = nowMs + (isFirst ? Link.FIRST_PING_EVERY_MS : Link.PING_EVERY_MS);
        return this.ask({ kind: "ping" }, { ping: newPing({ clientUs: nowMs * 1000 }) });
    }

    private list(from: number): Command {
        return this.ask({ kind: "list" }, { list: newListInstruments({ from }) });
    }

    private subscribe(channel: Channel, symbols: string[]): Command {
        return this.ask({ kind: "subscribe" }, { subscribe: newSubscribe({ channel, symbols }) });
    }

    private send(commands: Command[]): void {
        if (this.questions.size > Link.QUESTIONS_MOST) return this.drop("the hub does not answer");
        const writer = new Writer();
        writeClientFrame(writer, newClientFrame({ commands }));
        this.port.send(writer.finish());
    }

    private open(nowMs: number): void {
        this.state = { kind: "opening", sinceMs: nowMs };
        this.port.open();
    }

    private drop(reason: string): void {
        this.port.close(reason);
        this.closed(1000, reason);
    }
}
