import Hub
import Market
import Transport

/// A hub that hands everything to its successor, and a hub that goes on from there.
extension MarketHubServer {
    /// How long a thread may take to stand still.
    private static let standMostMs = 5_000

    /// Has every thread stand still, the feed first, so that the others know all that it said.
    ///
    /// Clients hear and lose nothing meanwhile: what they and venues send waits in the kernel. ``goOn()`` ends it, or
    /// ``stop(hasSuccessor:)``.
    /// - Returns: what a successor takes over; nil when a thread does not stand in time, and then all go on.
    func standStill() -> Inheritance? {
        guard let feed, let feedLoop else { return nil }
        feed.standStill.ask()
        feedLoop.wake()
        guard let feedState = feed.standStill.state(mostMs: Self.standMostMs) else {
            release()
            return nil
        }
        for (handler, loop) in zip(clientLoops, loops) {
            handler.standStill.ask()
            loop.wake()
        }
        var states: [[UInt8]] = []
        for handler in clientLoops {
            guard let state = handler.standStill.state(mostMs: Self.standMostMs) else {
                release()
                return nil
            }
            states.append(state)
        }
        // Behind the feed thread's last word.
        candleThread?.stop()
        var inheritance = Inheritance()
        inheritance.sockets = bound.map { listener in
            Inheritance.Sockets(
                name: listener.name,
                host: listener.host,
                port: listener.port,
                boundPort: listener.boundPort,
                descriptors: listener.loops.flatMap { $0.listening(tag: listener.tag) }
            )
        }
        inheritance.recordingLock = recorder?.directoryLock
        inheritance.ticketKeys = SessionTickets.keys
        inheritance.clockOffsetNs = clock.offset
        inheritance.knowledge = Inheritance.Knowledge(
            epoch: clientLoops.first?.hub.epoch ?? 0,
            feed: feedState,
            loops: states,
            candles: candleThread == nil ? candles.records : []
        )
        return inheritance
    }

    /// Goes on as if nothing had been: there is no successor.
    func goOn() {
        release()
        candleThread?.goOn()
    }

    /// Lets all threads go on, or end where they were told to.
    func release() {
        feed?.standStill.release()
        for handler in clientLoops { handler.standStill.release() }
    }

    /// Takes over what another hub knew; before anything has begun.
    func goOn(from knowledge: Inheritance.Knowledge) throws(StateReader.Malformed) {
        guard let feed, !knowledge.loops.isEmpty else { return }
        var state = StateReader(knowledge.feed)
        try feed.publisher.goOn(from: &state, atNs: clock.nowNs)
        // A client comes back to whichever loop takes its connection: each knows what all knew, its own first.
        for (place, handler) in clientLoops.enumerated() {
            let own = place % knowledge.loops.count
            let others = knowledge.loops.indices.filter { $0 != own }.map { knowledge.loops[$0] }
            try handler.goOn(from: [knowledge.loops[own]] + others, feed.publisher.table)
        }
        log.info(
            "taken-over",
            [
                "epoch": .text(String(knowledge.epoch)), "instruments": .count(feed.publisher.table.all.count),
                "topics": .list(clientLoops.map { .count($0.hub.topicCount) }),
            ]
        )
    }
}
