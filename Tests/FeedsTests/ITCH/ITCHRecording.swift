import Feeds
import Foundation
import Market
import Testing

/// The recorded file, and what another decoder read in it.
struct ITCHRecording {
    static let path = "itch/ritch-ALC-BOB.itch50.gz"
    static let goldenPath = "itch/ritch-ALC-BOB.golden-itchfeed.jsonl.gz"
    /// 2010-12-24 in New York.
    static let midnightNs: Int64 = 1_293_166_800_000_000_000

    let bytes: [UInt8]
    let messages: [[UInt8]]

    init() throws {
        bytes = try Captures.bytes(Self.path)
        messages = ITCHRecording.messages(in: bytes)
    }

    static func messages(in bytes: [UInt8]) -> [[UInt8]] {
        var framing = LengthFraming()
        var messages: [[UInt8]] = []
        bytes.withUnsafeBytes { bytes in
            framing.receive(bytes) { message in
                messages.append(Array(message))
                return true
            }
        }
        return messages
    }

    /// One row a message, with the names and values of the other decoder.
    static func golden() throws -> [[String: NSObject]] {
        try Captures.bytes(goldenPath).split(separator: UInt8(ascii: "\n")).map { line in
            let row = try JSONSerialization.jsonObject(with: Data(line)) as? [String: NSObject]
            return try #require(row).filter { $0.key != "message_format" }
        }
    }
}

/// Speaks messages to a feed and keeps what comes out.
struct ITCHReplay {
    struct Sink: MarketEventSink {
        var events: [MarketEvent] = []
        /// What the events make of the books and orders.
        var books: [InstrumentID: OrderBook] = [:]
        var orders: [InstrumentID: [RestingOrder]] = [:]
        var statuses: [InstrumentID: MarketStatus] = [:]
        /// The flags of the last book event.
        var bookFlags: [InstrumentID: EventFlags] = [:]
        var learnt: [Instrument] = []

        mutating func learn(_ instrument: Instrument) { learnt.append(instrument) }

        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            events.append(event)
            let id = event.instrument
            switch event.payload {
            case .bookSnapshot(let top), .bookDelta(let top):
                if case .bookSnapshot = event.payload { books[id] = OrderBook() }
                for index in levels.indices { books[id, default: OrderBook()].apply(levels[index]) }
                bookFlags[id] = event.flags
                #expect(books[id].map(Quote.init) == top)
            case .order(let change): apply(change, id)
            case .status(let status): statuses[id] = status
            default: break
            }
        }

        private mutating func apply(_ change: OrderChange, _ id: InstrumentID) {
            var orders = self.orders.removeValue(forKey: id) ?? []
            let index = orders.firstIndex { $0.id == change.id }
            switch change.kind {
            case .added:
                orders.append(
                    RestingOrder(id: change.id, side: change.side, price: change.price, quantity: change.quantity)
                )
            case .executed, .reduced, .deleted:
                if let index {
                    orders[index].quantity = change.quantity
                    if change.quantity.isZero { orders.remove(at: index) }
                }
            case .replaced:
                if let index { orders.remove(at: index) }
                orders.append(
                    RestingOrder(id: change.newID, side: change.side, price: change.price, quantity: change.quantity)
                )
            case .cleared: orders = []
            case .complete: break
            }
            self.orders[id] = orders
        }
    }

    var feed: ITCHFeed
    var table = InstrumentTable()
    var sink = Sink()
    var faults: [(message: Int, fault: ITCHFault)] = []
    private var count = 0

    init(_ settings: ITCHFeed.Settings = ITCHFeed.Settings()) {
        feed = ITCHFeed(settings, midnightNs: ITCHRecording.midnightNs)
    }

    mutating func play(_ message: [UInt8]) {
        count += 1
        do throws(ITCHFault) {
            try message.withUnsafeBytes { bytes in
                Result { () throws(ITCHFault) in
                    try feed.receive(
                        bytes,
                        atNs: nil,
                        sequence: UInt64(count),
                        instruments: &table,
                        into: &sink
                    )
                }
            }.get()
        } catch {
            faults.append((count, error))
        }
    }

    func id(_ rawSymbol: String) throws -> InstrumentID {
        try #require(table.id(venue: "itch", rawSymbol: rawSymbol))
    }
}

/// Builds messages byte by byte.
struct ITCHBytes {
    private(set) var bytes: [UInt8]

    init(_ kind: Character, locate: UInt16 = 1, tracking: UInt16 = 0, timeNs: UInt64 = 1) {
        bytes = Array(String(kind).utf8)
        add(locate)
        add(tracking)
        for shift in stride(from: UInt64(40), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: timeNs >> shift))
        }
    }

    mutating func add(_ number: some FixedWidthInteger & UnsignedInteger) {
        withUnsafeBytes(of: number.bigEndian) { bytes += $0 }
    }

    mutating func add(_ text: String, _ length: Int) {
        let padded = Array(text.utf8) + Array(repeating: UInt8(ascii: " "), count: length)
        bytes += padded.prefix(length)
    }

    static func directory(_ stock: String, locate: UInt16 = 1) -> [UInt8] {
        var made = ITCHBytes("R", locate: locate)
        made.add(stock, 8)
        made.add("QN", 2)
        made.add(UInt32(100))
        made.add("NCZ PN 1N", 9)
        made.add(UInt32(1))
        made.add("N", 1)
        return made.bytes
    }

    static func add(
        _ order: UInt64,
        _ side: String,
        _ shares: UInt32,
        at price: UInt32,
        stock: String = "ABC",
        locate: UInt16 = 1
    ) -> [UInt8] {
        var made = ITCHBytes("A", locate: locate)
        made.add(order)
        made.add(side, 1)
        made.add(shares)
        made.add(stock, 8)
        made.add(price)
        return made.bytes
    }

    static func executed(_ order: UInt64, _ shares: UInt32, match: UInt64, locate: UInt16 = 1) -> [UInt8] {
        var made = ITCHBytes("E", locate: locate)
        made.add(order)
        made.add(shares)
        made.add(match)
        return made.bytes
    }

    static func executed(
        _ order: UInt64,
        _ shares: UInt32,
        match: UInt64,
        printable: String,
        at price: UInt32
    ) -> [UInt8] {
        var made = ITCHBytes("C")
        made.add(order)
        made.add(shares)
        made.add(match)
        made.add(printable, 1)
        made.add(price)
        return made.bytes
    }

    static func deleted(_ order: UInt64, locate: UInt16 = 1) -> [UInt8] {
        var made = ITCHBytes("D", locate: locate)
        made.add(order)
        return made.bytes
    }

    static func tradingAction(_ state: String, stock: String = "ABC") -> [UInt8] {
        var made = ITCHBytes("H")
        made.add(stock, 8)
        made.add(state + " ", 2)
        made.add("T1", 4)
        return made.bytes
    }
}
