import Feeds
import Market
import Transport

/// Lets other hubs and programs read what this hub hears, in either form of the hub's own feed; see Docs/feeds/tcp.md.
///
/// A reader says hello in the form that it wants and hears every instrument, its state and its book as they stand, and from then
/// on every trade, quote and change in order. What is said is encoded once a form and turn. A reader that does not keep up is
/// told so and closed; it may come again for fresh snapshots. Lives on the feed thread.
final class FeedOut {
    private final class Reader {
        let peer: FeedPeer
        /// Nil before its hello.
        var form: FeedForm?
        /// Bytes that the kernel has not taken yet.
        var waiting: [UInt8] = []
        var isBlocked = false
        /// Where those of ``waiting`` end that were said at one time, counted from the connection's first byte: no message
        /// goes over such a place.
        private var ends: [Int] = []
        private var sentBytes = 0
        /// Where what is being sent began.
        private var begunAt = 0
        /// It was told that it is too slow, and is closed by then at the latest; monotonic.
        var leavesByNs: Int64?

        func wait(for bytes: [UInt8]) {
            waiting += bytes
            ends.append(sentBytes + waiting.count)
        }

        func sent(_ count: Int) {
            waiting.removeFirst(count)
            sentBytes += count
            let done = ends.firstIndex { $0 > sentBytes } ?? ends.count
            guard done > 0 else { return }
            begunAt = ends[done - 1]
            ends.removeFirst(done)
        }

        /// Forgets what was not begun to be sent, and leaves `word` to be the last.
        func leave(with word: [UInt8], byNs: Int64) {
            let begun = sentBytes > begunAt ? (ends.first ?? sentBytes) - sentBytes : 0
            waiting = Array(waiting.prefix(begun)) + word
            ends = [sentBytes + waiting.count]
            leavesByNs = byNs
        }

        init(_ peer: FeedPeer) { self.peer = peer }
    }

    private let configuration: FeedOutConfiguration
    private let allowed: [AddressRange]
    private var readers: [ConnectionID: Reader] = [:]
    private var readerCount: UInt32 = 0
    /// What all readers of a form are told; only of forms that somebody reads.
    private var writers: [FeedForm: FeedWriter] = [:]
    /// The longest word of a reader: it has little to say.
    private static let messageBytesMost = 4_096
    /// How long a reader that is too slow may take for its last word.
    private static let lastWordNs: Int64 = 5_000_000_000

    init(_ configuration: FeedOutConfiguration) {
        self.configuration = configuration
        // This machine is always allowed.
        allowed = (configuration.allowed + ["127.0.0.0/8", "::1"]).compactMap(AddressRange.init)
    }

    // MARK: What the sources say

    func learn(_ instrument: Instrument) {
        for form in writers.keys { writers[form]?.declare(instrument) }
    }

    func tell(_ event: MarketEvent, levels: Span<LevelChange>, of instrument: Instrument) {
        guard !writers.isEmpty else { return }
        for form in FeedForm.allCases where writers[form] != nil {
            writers[form]?.write(event, levels: levels, of: instrument)
        }
    }

    /// Hands over what was said since the last time.
    func flush(on feed: FeedLoop) {
        for form in FeedForm.allCases {
            guard let bytes = writers[form]?.take(), !bytes.isEmpty else { continue }
            for (connection, reader) in readers where reader.form == form {
                say(bytes, to: connection, reader, on: feed)
            }
        }
    }

    // MARK: Readers

    func opened(_ connection: ConnectionID, peerAddress: String, on feed: FeedLoop) {
        let remedy: String? =
            !allowed.contains { $0.contains(address: peerAddress) }
            ? "add the address to feedOut.allowed"
            : readers.count >= configuration.connectionsMost ? "raise feedOut.connectionsMost" : nil
        if let remedy {
            feed.log.warning("feed-reader-refused", ["peer": .text(peerAddress), "remedy": .text(remedy)])
            feed.loop?.abort(connection)
            return
        }
        var settings = LineFeed.Settings(instrumentsMost: 0)
        settings.messageBytesMost = Self.messageBytesMost
        readerCount += 1
        readers[connection] = Reader(
            FeedPeer(
                number: readerCount,
                address: peerAddress,
                form: nil,
                settings: settings,
                messagesPerSecondMost: 1_000
            )
        )
        feed.log.info("feed-reader-opened", ["peer": .text(peerAddress)])
    }

    func received(_ bytes: UnsafeRawBufferPointer, from connection: ConnectionID, on feed: FeedLoop) {
        guard let reader = readers[connection], reader.leavesByNs == nil else { return }
        // Readers have nothing to tell of instruments: what they say of them is refused, and changes this copy at most.
        var table = InstrumentTable()
        var sink = Silence()
        let verdict = reader.peer.receive(bytes, atNs: feed.clock.nowNs, table: &table, into: &sink)
        for refusal in verdict.refusals {
            feed.log.warning(
                "feed-reader-bad-message",
                [
                    "peer": .text(reader.peer.address), "code": .count(Int(refusal.error.code)),
                    "problem": "\(refusal.error)",
                ]
            )
        }
        if let problem = verdict.problem {
            feed.log.warning(
                "feed-reader-complains",
                ["peer": .text(reader.peer.address), "code": .count(problem.code), "problem": .text(problem.text)]
            )
        }
        let greeting = FeedHello(
            name: "market-hub \(marketHubVersion)",
            heartbeatMs: UInt64(configuration.heartbeatMs)
        )
        say(reader.peer.answer(to: verdict, greeting), to: connection, reader, on: feed)
        if verdict.isCut {
            feed.log.warning("feed-reader-cut", ["peer": .text(reader.peer.address)])
            feed.loop?.close(connection, code: 0)
        } else if let hello = verdict.hello, reader.form == nil, let form = reader.peer.form {
            feed.log.info("feed-reader-joined", ["peer": .text(reader.peer.address), "name": .text(hello.name)])
            join(connection, reader, form, on: feed)
        }
    }

    /// Tells a new reader how everything stands, between what was and what will be said to all.
    private func join(_ connection: ConnectionID, _ reader: Reader, _ form: FeedForm, on feed: FeedLoop) {
        flush(on: feed)
        if writers[form] == nil { writers[form] = FeedWriter(form, isCounting: true) }
        reader.form = form
        var writer = FeedWriter(form, isCounting: false)
        let now = feed.clock.nowNs
        for instrument in feed.publisher.table.all {
            let stream = feed.publisher.streams[instrument.id.index]
            var event = MarketEvent(
                instrument: instrument.id,
                flags: [.synthetic, .snapshot, .last],
                eventNs: 0,
                receivedNs: now,
                payload: .status(stream.status)
            )
            writer.declare(instrument)
            writer.write(event, levels: Span(), of: instrument)
            if stream.bookSequence > 0 {
                let book = feed.sources.lazy.compactMap { $0.book(of: instrument.id) }.first
                // One that is not complete comes when it is.
                guard let book else { continue }
                event.payload = .bookSnapshot(top: Quote(of: book))
                let levels = book.levels
                writer.write(event, levels: levels.span, of: instrument)
            } else if stream.ticker.quote != .none {
                event.payload = .quote(stream.ticker.quote)
                writer.write(event, levels: Span(), of: instrument)
            }
        }
        say(writer.take(), to: connection, reader, on: feed)
    }

    func closed(_ connection: ConnectionID, on feed: FeedLoop) {
        guard let reader = readers.removeValue(forKey: connection) else { return }
        feed.log.info("feed-reader-closed", ["peer": .text(reader.peer.address)])
        guard let form = reader.form, !readers.values.contains(where: { $0.form == form }) else { return }
        writers[form] = nil
    }

    func writable(_ connection: ConnectionID, on feed: FeedLoop) {
        guard let reader = readers[connection] else { return }
        reader.isBlocked = false
        push(connection, reader, on: feed)
    }

    /// Every 100 ms.
    func sweep(on feed: FeedLoop) {
        let now = HubClock.monotonicNs
        for (connection, reader) in readers {
            if let leavesByNs = reader.leavesByNs {
                if now >= leavesByNs { feed.loop?.abort(connection) }
            } else if configuration.silenceMs > 0,
                now - reader.peer.heardNs >= Int64(configuration.silenceMs) * 1_000_000
            {
                feed.log.warning(
                    "feed-reader-silent",
                    ["peer": .text(reader.peer.address), "remedy": "send heartbeats"]
                )
                say(reader.peer.words { $0.write(.silence, message: 0) }, to: connection, reader, on: feed)
                feed.loop?.close(connection, code: 0)
            } else if reader.form != nil, now - reader.peer.saidNs >= Int64(configuration.heartbeatMs) * 1_000_000 {
                say(reader.peer.words { $0.writeHeartbeat() }, to: connection, reader, on: feed)
            }
        }
    }

    // MARK: Bytes

    private func say(_ bytes: [UInt8], to connection: ConnectionID, _ reader: Reader, on feed: FeedLoop) {
        guard !bytes.isEmpty, reader.leavesByNs == nil else { return }
        reader.wait(for: bytes)
        push(connection, reader, on: feed)
        let most = configuration.queueBytesMost
        guard reader.waiting.count > most else { return }
        reader.leave(
            with: reader.peer.words { $0.write(.tooSlow(bytesMost: most), message: 0) },
            byNs: HubClock.monotonicNs + Self.lastWordNs
        )
        feed.log.warning(
            "feed-reader-too-slow",
            ["peer": .text(reader.peer.address), "queueBytesMost": .count(most)]
        )
        push(connection, reader, on: feed)
    }

    private func push(_ connection: ConnectionID, _ reader: Reader, on feed: FeedLoop) {
        guard let loop = feed.loop else { return }
        var sent = 0
        while !reader.isBlocked, sent < reader.waiting.count {
            let end = min(sent + IOLoop.writeBytesMost, reader.waiting.count)
            let result = reader.waiting.withUnsafeBytes {
                loop.write(UnsafeRawBufferPointer(rebasing: $0[sent..<end]), to: connection)
            }
            switch result {
            case .sent: sent = end
            case .blocked:
                sent = end
                reader.isBlocked = true
            case .refused: reader.isBlocked = true
            case .gone: sent = reader.waiting.count
            }
        }
        reader.sent(sent)
        if reader.leavesByNs != nil, reader.waiting.isEmpty, !reader.isBlocked { loop.close(connection, code: 0) }
    }

    private struct Silence: MarketEventSink {
        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {}
    }
}
