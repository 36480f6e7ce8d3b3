import Feeds
import Glibc
package import Market
import Synchronization
package import Transport

/// Somewhere that market data comes from; lives on the feed thread.
package protocol MarketSource: AnyObject {
    /// As operators read it: `synthetic`, `venue binance`.
    var name: String { get }
    /// As `/readyz` shows it.
    var state: HealthState.SourceState { get }
    /// Begins; called once, on the feed thread.
    func start(on feed: FeedLoop)
    /// The hub ends: says goodbye where that is customary. Called once, on the feed thread.
    func stop(on feed: FeedLoop)
    /// The book of an instrument of this source; nil for one that is not its own.
    func book(of id: InstrumentID) -> OrderBook?
    /// The single orders of an instrument, bids first, each side in the order of priority; nil where only books are told.
    func orders(of id: InstrumentID) -> [RestingOrder]?
    /// The instruments of this source, for closing their candles.
    var instruments: [InstrumentID] { get }
    /// The time by which this source's events happen: the present, unless it plays the past.
    func clockNs(_ nowNs: Int64) -> Int64
    /// Called about once a second.
    func sweep(on feed: FeedLoop)
    /// Bytes of a TCP connection that this source's listener accepted.
    func rawOpened(_ connection: ConnectionID, peerAddress: String, on feed: FeedLoop)
    func rawReceived(_ bytes: UnsafeRawBufferPointer, from connection: ConnectionID, on feed: FeedLoop)
    func rawClosed(_ connection: ConnectionID, on feed: FeedLoop)
}

extension MarketSource {
    package func stop(on feed: FeedLoop) {}
    package func orders(of id: InstrumentID) -> [RestingOrder]? { nil }
    package func clockNs(_ nowNs: Int64) -> Int64 { nowNs }
    package func sweep(on feed: FeedLoop) {}
    package func rawOpened(_ connection: ConnectionID, peerAddress: String, on feed: FeedLoop) {}
    package func rawReceived(_ bytes: UnsafeRawBufferPointer, from connection: ConnectionID, on feed: FeedLoop) {}
    package func rawClosed(_ connection: ConnectionID, on feed: FeedLoop) {}
}

/// The feed thread: the sources, what they say, and the rings it goes into.
package final class FeedLoop: IOLoopHandler {
    /// Takes the sources' events; a source hands it to what decodes its data.
    package var publisher: FeedPublisher
    package let clock: HubClock
    package private(set) var sources: [any MarketSource]
    /// Nil before ``start(on:)``.
    package private(set) var loop: IOLoop?
    let metrics: FeedMetrics
    let log: Log
    private var sweepCount = 0
    /// After this time the loops are looked at again for a server that is held back.
    private static let heldBackNs: UInt64 = 1_000_000
    /// Who reads what this hub hears; nil where nobody may.
    private var feedOut: FeedOut?
    /// The listener's tag of ``feedOut``; below it the tags are the sources' places.
    static let feedOutTag = UInt8.max
    /// The source of a TCP connection, by the connection.
    private var rawSources: [ConnectionID: Int] = [:]
    private let isStopping = Atomic<Bool>(false)
    let standStill = StandStill()

    package init(
        publisher: FeedPublisher,
        sources: [any MarketSource],
        clock: HubClock,
        metrics: FeedMetrics,
        log: Log
    ) {
        self.publisher = publisher
        self.sources = sources
        self.clock = clock
        self.metrics = metrics
        self.log = log
    }

    /// Starts every source; to be called before the loop runs.
    package func start(on loop: IOLoop) {
        self.loop = loop
        for source in sources {
            source.start(on: self)
            metrics.show(source)
        }
    }

    /// Ends the loop once every source has said goodbye; from any thread, while the loop runs.
    func requestStop(of loop: IOLoop) {
        isStopping.store(true, ordering: .releasing)
        loop.wake()
    }

    package func readCertificate(_ reading: CertificateReading, on loop: IOLoop) { log.note(reading, loop: loop.index) }

    package func wake(on loop: IOLoop) {
        if standStill.isWanted { standStill(on: loop) }
        guard isStopping.exchange(false, ordering: .acquiringAndReleasing) else { return }
        for source in sources { source.stop(on: self) }
        loop.requestStop()
    }

    /// Hands on the numbers, with every loop told of everything.
    private func standStill(on loop: IOLoop) {
        turnEnded(on: loop)
        // Loops that are behind catch up, which takes milliseconds; one that does not is no state to hand on.
        let deadline = HubClock.monotonicNs + 1_000_000_000
        while publisher.isMissedByAnyone {
            guard HubClock.monotonicNs < deadline else {
                log.warning("loop-behind", ["remedy": "try again when the load is lower"])
                return standStill.release()
            }
            usleep(1_000)
            turnEnded(on: loop)
        }
        publisher.showCandles()
        var state = StateWriter()
        publisher.append(to: &state)
        standStill.stand(state.bytes)
    }

    /// Lets others read what the sources say.
    func publish(to feedOut: FeedOut) {
        self.feedOut = feedOut
        publisher.feedOut = feedOut
    }

    package func turnEnded(on loop: IOLoop) {
        feedOut?.flush(on: self)
        publisher.endTurn(atNs: clock.nowNs, book: { book(of: $0) }, orders: { orders(of: $0) })
    }

    /// Ends what `publisher.mute()` began: clients hear how things stand.
    func unmute(atNs nowNs: Int64) {
        publisher.unmute(atNs: nowNs, book: { book(of: $0) }, orders: { orders(of: $0) })
    }

    private func orders(of id: InstrumentID) -> [RestingOrder] {
        sources.lazy.compactMap { $0.orders(of: id) }.first ?? []
    }

    private func book(of id: InstrumentID) -> OrderBook {
        sources.lazy.compactMap { $0.book(of: id) }.first ?? OrderBook()
    }

    /// Lets a server wait rather than lose what it sends, while loops are behind: its connection is not read until they are not.
    func holdBack(_ socket: RawClient) {
        guard publisher.isCrowded, socket.isReading else { return }
        socket.setReading(false)
        readAgainLater(socket)
    }

    private func readAgainLater(_ socket: RawClient) {
        loop?.after(Self.heldBackNs) { [weak self, weak socket] in
            guard let self, let socket else { return }
            if publisher.isCrowded { readAgainLater(socket) } else { socket.setReading(true) }
        }
    }

    /// Reports what a source could not understand, unless enough was told of it.
    ///
    /// - Returns: false when its server sends too much of that to be followed any longer.
    func tolerates(_ fault: FrameFault, _ budget: inout FaultBudget, of name: String, event: StaticString) -> Bool {
        switch budget.spend(fault, atNs: HubClock.monotonicNs) {
        case .keepQuiet: return true
        case .report(let untold):
            var values: KeyedLogValues = ["venue": .text(name), "problem": .text(fault.description)]
            if untold > 0 { values.pairs.append(KeyedLogValues.Pair(name: "untold", value: .count(untold))) }
            log.warning(event, values)
            return true
        case .cutOff: return false
        }
    }

    package func sweep(on loop: IOLoop) {
        metrics.beat(atNs: HubClock.monotonicNs)
        feedOut?.sweep(on: self)
        sweepCount += 1
        if sweepCount % 2 == 0 { publisher.showCandles() }
        guard sweepCount % 10 == 0 else { return }
        let now = clock.nowNs
        for source in sources {
            source.sweep(on: self)
            publisher.advance(source.instruments, toNs: source.clockNs(now))
        }
        metrics.count(ringDropsInAll: publisher.droppedCount)
        metrics.show(publisher.states)
        metrics.count(candleFaults: publisher.candleFaults)
        for source in sources { metrics.show(source) }
    }

    /// Adds the instruments of a venue's list to the table, or those of them that are named.
    ///
    /// - Returns: why the list cannot be used; nil when all is well.
    func addInstruments(listedIn path: String, of dialect: any VenueDialect, only named: Set<String>?) -> String? {
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = try FileError.readFile(path, bytesMost: 64 << 20)
        } catch {
            return error.message
        }
        let listed: [Instrument]
        do throws(FrameFault) {
            listed = try bytes.withUnsafeBytes { text in
                Result { () throws(FrameFault) in try VenueListing.instruments(in: text, of: dialect) }
            }.get()
        } catch {
            return "\(path) is not a list of instruments of this venue: \(error.description)"
        }
        var table = publisher.table
        for instrument in listed where named?.contains(instrument.rawSymbol) ?? true {
            do throws(InstrumentTable.Refusal) {
                // In two steps: an index is made after what it is looked up in was read.
                let id = try table.add(instrument)
                publisher.learn(table[id])
            } catch {
                log.warning("instrument-refused", ["venue": .text(dialect.venue), "problem": "\(error)"])
            }
        }
        return nil
    }

    // MARK: TCP listeners of sources

    /// The listener's tag is the source's place.
    package func rawOpened(_ connection: ConnectionID, peerAddress: String, tag: UInt8, on loop: IOLoop) {
        rawSources[connection] = Int(tag)
        if let feedOut, tag == Self.feedOutTag {
            return feedOut.opened(connection, peerAddress: peerAddress, on: self)
        }
        sources[Int(tag)].rawOpened(connection, peerAddress: peerAddress, on: self)
    }

    package func rawReceived(_ bytes: UnsafeRawBufferPointer, from connection: ConnectionID, on loop: IOLoop) {
        guard let source = rawSources[connection] else { return }
        if let feedOut, source == Self.feedOutTag { return feedOut.received(bytes, from: connection, on: self) }
        sources[source].rawReceived(bytes, from: connection, on: self)
    }

    package func closed(_ connection: ConnectionID, on loop: IOLoop) {
        guard let source = rawSources.removeValue(forKey: connection) else { return }
        if let feedOut, source == Self.feedOutTag { return feedOut.closed(connection, on: self) }
        sources[source].rawClosed(connection, on: self)
    }

    package func writable(_ connection: ConnectionID, on loop: IOLoop) { feedOut?.writable(connection, on: self) }

    // MARK: Not served here

    package func respond(to request: HTTPRequest, on loop: IOLoop) -> HTTPResponse { HTTPResponse(status: 404) }

    package func admit(_ request: HTTPRequest, on loop: IOLoop) -> UpgradeDecision {
        .refuse(HTTPResponse(status: 404))
    }

    package func opened(_ connection: ConnectionID, tag: UInt8, request: HTTPRequest, on loop: IOLoop) {}

    package func received(
        _ message: UnsafeRawBufferPointer,
        isText: Bool,
        from connection: ConnectionID,
        on loop: IOLoop
    ) {}
}
