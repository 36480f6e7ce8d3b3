import Feeds
package import Market

/// Numbers what the sources say and hands it to every I/O loop; lives on the feed thread.
///
/// A loop whose ring is full misses events. It then gets, as soon as its ring is half empty again, for every instrument it
/// missed something of, the whole book, the ticker and the newest candles, marked GAP_BEFORE; trades it missed show as a jump of their sequence.
/// Other loops are unharmed.
package struct FeedPublisher: MarketEventSink {
    /// One I/O loop as the feed thread sees it.
    package final class Outlet {
        let ring: EventRing
        private let wake: () -> Void
        /// Whether something was pushed since the loop was last woken.
        private var hasNews = false
        /// The instruments of which an event was left out.
        fileprivate var missed: [InstrumentID] = []
        fileprivate var isMissing: [Bool] = []
        /// Events left out because the ring was full.
        package private(set) var droppedCount = 0

        package init(ring: EventRing, wake: @escaping () -> Void) {
            self.ring = ring
            self.wake = wake
        }

        fileprivate func send(_ event: MarketEvent, levels: Span<LevelChange>) {
            let index = event.instrument.index
            if index < isMissing.count, isMissing[index] {
                droppedCount += 1
            } else if ring.push(event, levels: levels) {
                hasNews = true
            } else {
                miss(event.instrument)
                droppedCount += 1
            }
        }

        fileprivate func send(_ event: MarketEvent, orders: OrderList) {
            let index = event.instrument.index
            if index < isMissing.count, isMissing[index] { return }
            if ring.push(event, orders: orders) { hasNews = true } else { miss(event.instrument) }
        }

        /// Leaves an event out because nobody is to hear of it yet; the instrument is restated later.
        fileprivate func skip(_ instrument: InstrumentID) {
            if instrument.index < isMissing.count, isMissing[instrument.index] { return }
            miss(instrument)
        }

        /// Says in which units the instrument's events are from here on.
        fileprivate func tell(_ units: InstrumentUnits) {
            if units.id.index < isMissing.count, isMissing[units.id.index] { return }
            if ring.push(units) { hasNews = true } else { miss(units.id) }
        }

        private func miss(_ instrument: InstrumentID) {
            while isMissing.count <= instrument.index { isMissing.append(false) }
            isMissing[instrument.index] = true
            missed.append(instrument)
        }

        /// Lets the instrument's events through again.
        fileprivate func resume(_ instrument: InstrumentID) { isMissing[instrument.index] = false }

        fileprivate func wakeIfNeeded() {
            guard hasNews else { return }
            hasNews = false
            wake()
        }
    }

    package private(set) var streams: [MarketStream] = []
    /// Hears what the sources say as they say it, for hubs and programs that read this one.
    var feedOut: FeedOut?
    private var numbered: Numbered
    private let board: InstrumentBoard
    private let candles: CandleStore
    private let metrics: FeedMetrics?
    /// Where each instrument's events are counted.
    private var venues: [FeedMetrics.Venue] = []
    /// The table as the sources know it: whoever decodes changes a copy of it and tells each change by ``learn(_:)``.
    package private(set) var table = InstrumentTable()

    /// When this process took over from another; 0 when it did not.
    var takenOverNs: Int64 = 0

    private struct Numbered: MarketEventSink {
        let outlets: [Outlet]
        let candles: CandleStore
        var isMuted = false

        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            // Before the loops hear of it, so that whoever heard of the next candle finds this one in the store.
            if case .candle(let candle) = event.payload, candle.isClosed { candles.put(candle, of: event.instrument) }
            guard !isMuted else {
                for outlet in outlets { outlet.skip(event.instrument) }
                return
            }
            for outlet in outlets { outlet.send(event, levels: levels) }
        }
    }

    package init(
        outlets: [Outlet],
        board: InstrumentBoard,
        candles: CandleStore = CandleStore(bytesMost: 0),
        metrics: FeedMetrics? = nil
    ) {
        numbered = Numbered(outlets: outlets, candles: candles)
        // In units as fine as before a restart, so that what was kept can go on at the first trade.
        table.leastScales = candles.unclaimed.mapValues { ($0.priceScale, $0.quantityScale) }
        self.board = board
        self.candles = candles
        self.metrics = metrics
    }

    package mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        if metrics != nil, !numbered.isMuted { venues[event.instrument.index].count(event) }
        // Muted or not: its readers have no other way to the books, and what is played is the past anyway.
        feedOut?.tell(event, levels: levels, of: table[event.instrument])
        streams[event.instrument.index].apply(event, levels: levels, into: &numbered)
    }

    /// Lets every loop know of a new instrument, or of new units, before it hears of events that need them.
    package mutating func learn(_ instrument: Instrument) {
        let id = instrument.id
        var hasOtherUnits = false
        if id.index < table.all.count {
            let known = table[id]
            // Of others the source says so itself.
            hasOtherUnits = table.isInherited(id)
            let (price, quantity) = (instrument.priceScale, instrument.quantityScale)
            guard known.priceScale != price || known.quantityScale != quantity else {
                return table.name(id, as: instrument)
            }
            table.rescale(id, priceScale: price, quantityScale: quantity)
            table.name(id, as: instrument)
            changeUnits(of: id, from: known)
        } else {
            let added = Result { () throws(InstrumentTable.Refusal) in try table.add(instrument) }
            guard case .success(id) = added else { stop(because: "the table of a source differs: \(added)") }
            welcome(id)
        }
        announce(id)
        let status = streams[id.index].status
        if hasOtherUnits { tell(MarketStatus(status.state, .unitsChanged), of: id, atNs: takenOverNs) }
    }

    /// Lets everybody know of an instrument, or of its new units.
    private mutating func announce(_ id: InstrumentID) {
        feedOut?.learn(table[id])
        for outlet in numbered.outlets { outlet.tell(InstrumentUnits(of: table[id])) }
    }

    // MARK: From process to process

    /// Takes an instrument in that a process before this one knew.
    mutating func inherit(_ instrument: Instrument) -> InstrumentID {
        guard let id = try? table.inherit(instrument) else { stop(because: "a name is inherited twice") }
        welcome(id)
        announce(id)
        return id
    }

    /// Lets an instrument's numbers go on, and says that nobody listens to its venue at present.
    mutating func goOn(_ id: InstrumentID, from state: inout StateReader, atNs now: Int64) throws(StateReader.Malformed)
    {
        let told = try streams[id.index].goOn(from: &state)
        guard told.state != .disconnected else { return }
        tell(MarketStatus(.disconnected, .started), of: id, atNs: now)
    }

    private mutating func tell(_ status: MarketStatus, of id: InstrumentID, atNs now: Int64) {
        let event = MarketEvent(
            instrument: id,
            flags: .synthetic,
            eventNs: now,
            receivedNs: now,
            payload: .status(status)
        )
        receive(event, levels: Span())
    }

    private mutating func welcome(_ id: InstrumentID) {
        board.add(table[id])
        streams.append(MarketStream(instrument: id))
        resume(id, candles.add(table[id]))
        if let metrics { venues.append(metrics.venue(table[id].venue)) }
    }

    /// Lets candles and day figures go on in an instrument's finer units.
    private mutating func changeUnits(of id: InstrumentID, from old: Instrument) {
        let new = table[id]
        if new.priceScale >= old.priceScale, new.quantityScale >= old.quantityScale {
            streams[id.index].changeUnits(
                price: .power(ofTen: new.priceScale - old.priceScale),
                quantity: .power(ofTen: new.quantityScale - old.quantityScale)
            )
        }
        resume(id, candles.changeUnits(of: new))
    }

    /// Goes on with what an earlier run left of an instrument.
    private mutating func resume(_ id: InstrumentID, _ resumption: CandleStore.Resumption?) {
        guard let resumption else { return }
        streams[id.index].resume(resumption.slots, minutes: resumption.minutes)
    }

    /// Shows the candles that changed to whoever keeps them.
    package mutating func showCandles() {
        for index in streams.indices where streams[index].takeHasNewCandles() {
            candles.show(streams[index].candles.slots, of: InstrumentID(UInt32(index)))
        }
    }

    /// Trades that came too late for a candle, and event times that were not believed, of all instruments.
    package var candleFaults: (late: Int, disbelieved: Int) {
        streams.reduce(into: (0, 0)) { sum, stream in
            sum.0 += stream.candles.tooLateCount
            sum.1 += stream.candles.venueClock.disbelievedCount
        }
    }

    /// Ends a turn of the feed thread: heals loops that missed something, wakes those that have news.
    ///
    /// - Parameters:
    ///   - nowNs: the feed's clock.
    ///   - book: the book of an instrument as its source has it.
    ///   - orders: its single orders, bids first, each side in the order of priority; empty where only books are told.
    package mutating func endTurn(
        atNs nowNs: Int64,
        book: (InstrumentID) -> OrderBook,
        orders: (InstrumentID) -> [RestingOrder] = { _ in [] }
    ) {
        guard !numbered.isMuted else { return }
        // One list for all loops.
        var lists: [InstrumentID: OrderList] = [:]
        func list(_ instrument: InstrumentID) -> OrderList {
            let list = lists[instrument] ?? OrderList(orders(instrument))
            lists[instrument] = list
            return list
        }
        for outlet in numbered.outlets {
            heal(outlet, atNs: nowNs, book: book, orders: list)
            outlet.wakeIfNeeded()
        }
    }

    /// Lets no loop hear of what comes from now on, until ``unmute(atNs:book:orders:)``; books, figures and numbers go on.
    package mutating func mute() { numbered.isMuted = true }

    /// Gives every loop the state of each instrument that something happened to meanwhile, as if it had missed it.
    package mutating func unmute(
        atNs nowNs: Int64,
        book: (InstrumentID) -> OrderBook,
        orders: (InstrumentID) -> [RestingOrder] = { _ in [] }
    ) {
        numbered.isMuted = false
        endTurn(atNs: nowNs, book: book, orders: orders)
    }

    /// Closes the candles whose interval is over; once a second is often enough.
    package mutating func advance(_ instruments: [InstrumentID], toNs nowNs: Int64) {
        for id in instruments where id.index < streams.count {
            streams[id.index].advance(toNs: nowNs, into: &numbered)
        }
    }

    /// How many instruments of each venue are in which state; costs a look at each.
    var states: [String: [MarketStatus.State: Int]] {
        var states: [String: [MarketStatus.State: Int]] = [:]
        for stream in streams {
            states[table[stream.instrument].venue, default: [:]][stream.status.state, default: 0] += 1
        }
        return states
    }

    /// Whether a loop has missed something that it was not told again yet.
    package var isMissedByAnyone: Bool { numbered.outlets.contains { !$0.missed.isEmpty } }

    /// Whether a loop's ring is more than half full.
    package var isCrowded: Bool {
        numbered.outlets.contains { $0.ring.usedBytes > $0.ring.capacity / 2 }
    }

    /// Events that loops missed because their rings were full.
    package var droppedCount: Int { numbered.outlets.reduce(0) { $0 + $1.droppedCount } }

    private func heal(
        _ outlet: Outlet,
        atNs nowNs: Int64,
        book: (InstrumentID) -> OrderBook,
        orders: (InstrumentID) -> OrderList
    ) {
        guard !outlet.missed.isEmpty, outlet.ring.usedBytes < outlet.ring.capacity / 2 else { return }
        var left: [InstrumentID] = []
        for instrument in outlet.missed {
            outlet.resume(instrument)
            guard restate(instrument, to: outlet, atNs: nowNs, book: book(instrument), orders: orders) else {
                // Missed again while it was being healed: the outlet noted it anew.
                left.append(instrument)
                continue
            }
        }
        outlet.missed = left
    }

    private func restate(
        _ instrument: InstrumentID,
        to outlet: Outlet,
        atNs nowNs: Int64,
        book: OrderBook,
        orders: (InstrumentID) -> OrderList
    ) -> Bool {
        let stream = streams[instrument.index]
        var event = MarketEvent(
            instrument: instrument,
            flags: [.gapBefore, .synthetic, .snapshot],
            eventNs: nowNs,
            receivedNs: nowNs,
            payload: .quote(.none)
        )
        // A book that is known to miss something is told all the same where its venue has no other.
        if stream.status.state == .resyncing { event.flags.insert(.maybeBadBook) }
        outlet.tell(InstrumentUnits(of: table[instrument]))
        event.sequence = stream.statusSequence
        event.payload = .status(stream.status)
        outlet.send(event, levels: Span())
        if stream.bookSequence > 0 {
            event.sequence = stream.bookSequence
            event.payload = .bookSnapshot(top: Quote(of: book))
            let levels =
                book.bids.map { LevelChange(.bid, price: $0.price, quantity: $0.quantity) }
                + book.asks.map { LevelChange(.ask, price: $0.price, quantity: $0.quantity) }
            outlet.send(event, levels: levels.span)
        }
        if stream.ordersSequence > 0 {
            event.sequence = stream.ordersSequence
            outlet.send(event, orders: orders(instrument))
        }
        if stream.tickerSequence > 0 {
            event.flags.remove(.maybeBadBook)
            event.sequence = stream.tickerSequence
            event.payload = .ticker(stream.ticker)
            outlet.send(event, levels: Span())
        }
        for interval in CandleInterval.allCases {
            guard let candle = stream.candles.newest(interval) else { continue }
            event.sequence = stream.candles.sequence(interval)
            event.payload = .candle(candle)
            outlet.send(event, levels: Span())
        }
        return !outlet.isMissing[instrument.index]
    }
}
