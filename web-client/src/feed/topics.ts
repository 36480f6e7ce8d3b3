import { Channel, type Push, type Topic } from "../wire/generated/market_hub.js";

/** Bits of a push's flags that the page looks at. */
export const FLAG_SNAPSHOT = 1;
export const FLAG_STALE = 16;
export const FLAG_HISTORIC = 64;

/** What to do with a push. */
export type Verdict =
    /** It follows what we have. */
    | "next"
    /** It follows nothing: state as of the topic's last push, for us who joined. */
    | "snapshot"
    /** We have it, or something newer, already. */
    | "old"
    /** Something between our last push and this one never came. */
    | "gap"
    /** Its topic is none of ours. */
    | "unknown";

export interface Listening {
    channel: Channel;
    row: number;
    sequence: number;
    /** A gap was found and the topic is not told anew yet. */
    isBroken: boolean;
}

/** The topics of one connection, and whether their pushes are without gaps. */
export class Topics {
    private byID = new Map<number, Listening>();
    private broken = new Set<number>();

    get size(): number {
        return this.byID.size;
    }

    get brokenIDs(): number[] {
        return [...this.broken];
    }

    get(id: number): Listening | undefined {
        return this.byID.get(id);
    }

    /** Takes up a topic, or takes it up anew, from the sequence that the hub named. */
    begin(topic: Topic, row: number): Listening {
        const listening = { channel: topic.channel, row, sequence: topic.sequence, isBroken: false };
        this.byID.set(topic.id, listening);
        this.broken.delete(topic.id);
        return listening;
    }

    /** What comes from here on follows `sequence`, or is the whole value. */
    mend(id: number, sequence: number): void {
        const topic = this.byID.get(id);
        if (!topic) return;
        topic.sequence = Math.max(topic.sequence, sequence);
        topic.isBroken = false;
        this.broken.delete(id);
    }

    end(id: number): void {
        this.byID.delete(id);
        this.broken.delete(id);
    }

    clear(): void {
        this.byID.clear();
        this.broken.clear();
    }

    /** Every push must name our last one as its `previous`; never is +1 expected. */
    judge(push: Push): Verdict {
        const topic = this.byID.get(push.topic);
        if (!topic) return "unknown";
        if ((push.flags & FLAG_SNAPSHOT) !== 0) {
            topic.sequence = push.sequence;
            topic.isBroken = false;
            this.broken.delete(push.topic);
            return "snapshot";
        }
        if (push.sequence <= topic.sequence) return "old";
        const follows = push.previous === topic.sequence;
        topic.sequence = push.sequence;
        if (follows || topic.isBroken) return "next";
        this.markBroken(push.topic, topic);
        return "gap";
    }

    /** A heartbeat's claim about the topic's newest push; true when that push never came. */
    missed(id: number, sequence: number): boolean {
        const topic = this.byID.get(id);
        if (!topic || topic.isBroken || sequence <= topic.sequence) return false;
        this.markBroken(id, topic);
        return true;
    }

    private markBroken(id: number, topic: Listening): void {
        topic.isBroken = true;
        this.broken.add(id);
    }
}
