/** The worker: owns the socket and everything that must not wait for painting. */

import { Board } from "./board.js";
import { Link } from "./link.js";
import type { Changes, ToWorker } from "./messages.js";

declare const self: DedicatedWorkerGlobalScope;

const TICK_MS = 100;
/** A pull with nothing to tell is answered after so long, for the figures of the status bar. */
const IDLE_ANSWER_MS = 250;

let url = "";
let socket: WebSocket | undefined;
/** A pull that waits for a change. */
let pull: { buffer: ArrayBuffer | undefined; sinceMs: number } | undefined;

const board = new Board();
const link = new Link({ nowMs, random: Math.random, open, send, close }, board);

/** A clock that no change of the system's time makes jump. */
function nowMs(): number {
    return performance.timeOrigin + performance.now();
}

function open(): void {
    const opening = new WebSocket(url, "market-hub.v2.protobuf");
    opening.binaryType = "arraybuffer";
    socket = opening;
    // Events of a socket that was given up are nobody's.
    opening.onopen = () => {
        if (socket === opening) link.opened();
    };
    opening.onmessage = (event: MessageEvent<unknown>) => {
        if (socket !== opening || !(event.data instanceof ArrayBuffer)) return;
        link.frame(new Uint8Array(event.data));
        answer();
    };
    opening.onclose = (event) => {
        if (socket !== opening) return;
        socket = undefined;
        link.closed(event.code, event.reason);
    };
}

function send(bytes: Uint8Array): void {
    if (socket?.readyState === WebSocket.OPEN) socket.send(bytes);
}

function close(reason: string): void {
    const closing = socket;
    socket = undefined;
    // The reason of a close frame is at most 123 bytes.
    closing?.close(1000, reason.slice(0, 40));
}

function answer(): void {
    if (!pull) return;
    if (board.changedCount === 0 && nowMs() - pull.sinceMs < IDLE_ANSWER_MS) return;
    const { figures, count } = board.takeChanges(pull.buffer);
    pull = undefined;
    const changes: Changes = { figures, count, descriptions: board.takeDescriptions(), vitals: link.vitals() };
    self.postMessage(changes, [figures.buffer]);
}

self.onmessage = (event: MessageEvent<ToWorker>) => {
    const message = event.data;
    switch (message.kind) {
        case "start":
            url = message.url;
            link.tick();
            setInterval(() => {
                link.tick();
                answer();
            }, TICK_MS);
            break;
        case "pull":
            pull = { buffer: message.buffer, sinceMs: nowMs() };
            answer();
            break;
        case "wake":
            link.wake();
            break;
        case "network":
            link.network(message.isThere);
            break;
    }
};
