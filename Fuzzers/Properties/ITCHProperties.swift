import Feeds
import Market

extension FuzzProperty {
    /// Whatever messages come, orders and books agree with each other and with what is told, and nobody is told of a book that is
    /// in doubt without the flag.
    ///
    /// An input is a file: messages with their lengths ahead. A message of no length begins a session.
    static let itchFeed = FuzzProperty(name: "itch-feed") { bytes in
        var session = ITCHSession()
        var framing = LengthFraming()
        framing.receive(bytes) { message in
            session.take(message)
            return true
        }
        session.check()
    }

    /// A SoupBinTCP client hears the same messages however the bytes are cut, numbered without a hole.
    ///
    /// The first byte says into how long parts the rest is cut.
    static let soupBin = FuzzProperty(name: "soupbin") { bytes in
        guard let first = bytes.first else { return }
        let rest = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        let whole = SoupListener.hear(rest, partBytes: max(1, rest.count))
        let cut = SoupListener.hear(rest, partBytes: Int(first) + 1)
        precondition(whole.heard == cut.heard, "messages mean something else when their bytes are cut")
        precondition(whole.losses == cut.losses, "connections end elsewhere when their bytes are cut")
    }

    /// A MoldUDP64 receiver tells each message once and in order, and says what it leaves out.
    ///
    /// An input is a series of packets with their lengths ahead. One without length lets time go by, and one of a single byte
    /// that many milliseconds.
    static let moldUDP = FuzzProperty(name: "moldudp64") { bytes in
        var limits = MoldReceiver.Limits()
        limits.packetsMost = 4
        limits.bytesMost = 256
        for canRequest in [false, true] {
            var listener = MoldListener(MoldReceiver(lines: 2, canRequest: canRequest, limits: limits))
            var framing = LengthFraming()
            framing.receive(bytes) { packet in
                listener.take(packet)
                return true
            }
        }
    }
}

/// A feed of small bounds with a client behind it that rebuilds books and orders from the events.
private struct ITCHSession {
    private var feed: ITCHFeed
    private var table = InstrumentTable()
    private var replica = Replica()
    private var number: UInt64 = 0

    init() {
        var settings = ITCHFeed.Settings()
        settings.instrumentsMost = 4
        settings.ledger = OrderLedger.Limits(ordersMost: 16, levelsMost: 8)
        feed = ITCHFeed(settings, midnightNs: 1_700_000_000_000_000_000)
    }

    mutating func take(_ message: UnsafeRawBufferPointer) {
        number += 1
        guard !message.isEmpty else {
            feed.beginSession(midnightNs: 0, isWhole: number % 2 == 0, atNs: 1, into: &replica)
            return
        }
        do throws(ITCHFault) {
            try feed.receive(message, atNs: nil, sequence: number, instruments: &table, into: &replica)
        } catch {
            precondition(!error.name.isEmpty && !error.description.isEmpty)
        }
    }

    func check() {
        precondition(feed.ledger.isConsistent, "orders and books differ")
        precondition(feed.instruments.count <= 4 && feed.ledger.count <= 16, "a bound is passed")
        for id in feed.instruments {
            guard let book = feed.book(of: id), let told = replica.books[id] else {
                preconditionFailure("an instrument without a book")
            }
            precondition(told.bids == book.bids && told.asks == book.asks, "another book was told")
            let orders = feed.orders(of: id).sorted { $0.id < $1.id }
            precondition(
                replica.orders[id].map { $0.values.sorted { $0.id < $1.id } } == orders,
                "other orders were told"
            )
            precondition(replica.isFlagged[id] == feed.isDoubtful(id), "a doubt that nobody was told of")
            precondition((replica.states[id] == .resyncing) == feed.isDoubtful(id), "a doubt without its status")
        }
    }

    private struct Replica: MarketEventSink {
        var books: [InstrumentID: OrderBook] = [:]
        var orders: [InstrumentID: [UInt64: RestingOrder]] = [:]
        var isFlagged: [InstrumentID: Bool] = [:]
        var states: [InstrumentID: MarketStatus.State] = [:]

        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            let id = event.instrument
            switch event.payload {
            case .bookSnapshot(let top), .bookDelta(let top):
                var book = books.removeValue(forKey: id) ?? OrderBook()
                if case .bookSnapshot = event.payload { book = OrderBook() }
                for index in levels.indices { book.apply(levels[index]) }
                precondition(book.isConsistent && Quote(of: book) == top, "the top is another")
                books[id] = book
                isFlagged[id] = event.flags.contains(.maybeBadBook)
            case .trade(let trade): precondition(!trade.quantity.isZero, "a trade of nothing")
            case .status(let status): states[id] = status.state
            case .order(let change): apply(change, id)
            default: preconditionFailure("neither trade nor book nor order nor status")
            }
        }

        private mutating func apply(_ change: OrderChange, _ id: InstrumentID) {
            switch change.kind {
            case .cleared: orders[id] = [:]
            case .complete: break
            case .added:
                precondition(orders[id]?[change.id] == nil, "an order twice")
                orders[id]?[change.id] = RestingOrder(
                    id: change.id,
                    side: change.side,
                    price: change.price,
                    quantity: change.quantity
                )
            case .executed, .reduced, .deleted:
                guard let known = orders[id]?[change.id] else { preconditionFailure("a change of no order") }
                precondition(known.side == change.side && known.quantity > change.quantity)
                orders[id]?[change.id]?.quantity = change.quantity
                if change.quantity.isZero { orders[id]?[change.id] = nil }
            case .replaced:
                precondition(orders[id]?.removeValue(forKey: change.id)?.side == change.side)
                orders[id]?[change.newID] = RestingOrder(
                    id: change.newID,
                    side: change.side,
                    price: change.price,
                    quantity: change.quantity
                )
            }
        }
    }
}

private struct SoupListener {
    var heard: [String] = []
    var losses: [SoupBinClient.Effect] = []

    static func hear(_ bytes: UnsafeRawBufferPointer, partBytes: Int) -> SoupListener {
        var listener = SoupListener()
        var client = SoupBinClient(.init(user: "u", password: "p"))
        var effects: [SoupBinClient.Effect] = []
        client.handle(.start, atNs: 0, random: 0, into: &effects)
        client.handle(.connected, atNs: 0, random: 0, into: &effects)
        var next = client.next
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + partBytes)
            let part = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            var begun: UInt64?
            client.receive(
                part,
                atNs: 0,
                random: 0,
                into: &effects,
                before: { effects in
                    for case .loggedIn(_, let first, _, _) in effects { begun = first }
                },
                message: { message, number in
                    if let first = begun { (next, begun) = (first, nil) }
                    precondition(number == next, "a number is left out")
                    next += 1
                    listener.heard.append("\(number) \(Array(message))")
                }
            )
            if let first = begun { next = first }
            start = end
        }
        listener.losses = effects.filter {
            switch $0 {
            case .lost, .ended, .loggedIn: true
            default: false
            }
        }
        return listener
    }
}

private struct MoldListener {
    private var receiver: MoldReceiver
    private var nowNs: Int64 = 0
    private var next: UInt64?
    private var packets = 0

    init(_ receiver: MoldReceiver) { self.receiver = receiver }

    mutating func take(_ packet: UnsafeRawBufferPointer) {
        packets += 1
        var effects: [MoldReceiver.Effect] = []
        var next = next
        func before(_ effects: inout [MoldReceiver.Effect]) {
            for effect in effects {
                switch effect {
                case .began: next = nil
                case .lost(let numbers):
                    precondition(next == nil || numbers.lowerBound == next, "lost is what was not missing")
                    precondition(!numbers.isEmpty)
                    next = numbers.upperBound
                default: break
                }
            }
            effects.removeAll()
        }
        func hear(_ message: UnsafeRawBufferPointer, _ number: UInt64) {
            precondition(next == nil || number == next, "out of order")
            next = number + 1
        }
        if packet.count <= 1 {
            nowNs += Int64(packet.first ?? 255) * 1_000_000
            receiver.advance(toNs: nowNs, into: &effects, before: before, message: hear)
        } else {
            receiver.receive(packet, line: packets % 2, atNs: nowNs, into: &effects, before: before, message: hear)
        }
        self.next = next
        for case .request(let bytes) in effects { precondition(bytes.count == 20) }
        precondition(next == nil || next == receiver.next, "another message is awaited")
        let counters = receiver.counters
        precondition(counters.badPackets + counters.repeatedPackets <= counters.packets)
    }
}
