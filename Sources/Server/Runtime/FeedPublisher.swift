import Feeds
package import Market

/// Numbers what the sources say and hands it to every I/O loop; lives on the feed thread.
///
/// A loop whose ring is full misses events. It then gets, as soon as its ring is half empty again, for every instrument it
/// missed something of, the whole book and the ticker, marked GAP_BEFORE; trades it missed show as a jump of their sequence.
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
    private var numbered: Numbered
    private let board: InstrumentBoard
    private let metrics: FeedMetrics?
    /// Where each instrument's events are counted.
    private var venues: [FeedMetrics.Venue] = []
    /// The table as the sources know it: whoever decodes changes a copy of it and tells each change by ``learn(_:)``.
    package private(set) var table = InstrumentTable()

    private struct Numbered: MarketEventSink {
        let outlets: [Outlet]
        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            for outlet in outlets { outlet.send(event, levels: levels) }
        }
    }

    package init(outlets: [Outlet], board: InstrumentBoard, metrics: FeedMetrics? = nil) {
        numbered = Numbered(outlets: outlets)
        self.board = board
        self.metrics = metrics
    }

    package mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        if metrics != nil { venues[event.instrument.index].count(event) }
        streams[event.instrument.index].apply(event, levels: levels, into: &numbered)
    }

    /// Lets every loop know of a new instrument, or of new units, before it hears of events that need them.
    package mutating func learn(_ instrument: Instrument) {
        let id = instrument.id
        if id.index < table.all.count {
            let known = table[id]
            let (price, quantity) = (instrument.priceScale, instrument.quantityScale)
            guard known.priceScale != price || known.quantityScale != quantity else { return }
            table.rescale(id, priceScale: price, quantityScale: quantity)
        } else {
            let added = Result { () throws(InstrumentTable.Refusal) in try table.add(instrument) }
            guard case .success(id) = added else { stop(because: "the table of a source differs: \(added)") }
            board.add(table[id])
            streams.append(MarketStream(instrument: id))
            if let metrics { venues.append(metrics.venue(instrument.venue)) }
        }
        for outlet in numbered.outlets { outlet.tell(InstrumentUnits(of: instrument)) }
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
        for outlet in numbered.outlets {
            heal(outlet, atNs: nowNs, book: book, orders: orders)
            outlet.wakeIfNeeded()
        }
    }

    /// Closes the candles whose interval is over; once a second is often enough.
    package mutating func closeCandles(of instruments: [InstrumentID], atNs nowNs: Int64) {
        for id in instruments where id.index < streams.count {
            streams[id.index].closeCandles(atNs: nowNs, into: &numbered)
        }
    }

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
        orders: (InstrumentID) -> [RestingOrder]
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
        orders: (InstrumentID) -> [RestingOrder]
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
            event.payload = .order(OrderChange(.cleared))
            outlet.send(event, levels: Span())
            for order in orders(instrument) {
                event.payload = .order(
                    OrderChange(.added, side: order.side, id: order.id, price: order.price, quantity: order.quantity)
                )
                outlet.send(event, levels: Span())
            }
            event.payload = .order(OrderChange(.complete))
            outlet.send(event, levels: Span())
        }
        if stream.tickerSequence > 0 {
            event.flags.remove(.maybeBadBook)
            event.sequence = stream.tickerSequence
            event.payload = .ticker(stream.ticker)
            outlet.send(event, levels: Span())
        }
        return !outlet.isMissing[instrument.index]
    }
}
