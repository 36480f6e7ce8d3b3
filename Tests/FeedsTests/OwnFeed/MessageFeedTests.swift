import Foundation
import Market
import Simulation
import Testing

@testable import Feeds

@Suite("The feed's protobuf form")
struct MessageFeedTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Proto/vectors")

    /// A message that Python's protobuf wrote.
    static func vector(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: folder.appending(path: "feed-\(name).bin")))
    }

    private static let story = ["hello", "declaration", "trade-quote-status", "book", "problem"]

    @Test("means what Python's protobuf wrote")
    func reads() throws {
        var house = FeedHouse()
        house.settings.venue = nil
        var verdict = house.send(try Self.vector("hello").framed)
        #expect(verdict.hello == FeedHello(version: 1, name: "publisher 1.0", heartbeatMs: 5_000))
        verdict = house.send(try Self.vector("declaration").framed)
        #expect(verdict.refusals == [] && verdict.messageCount == 1)
        let instrument = try #require(house.table.all.first)
        #expect(instrument.qualifiedSymbol == "BTC-USD@kraken" && instrument.rawSymbol == "XBT/USD")
        #expect(instrument.priceScale == 1 && instrument.quantityScale == 8 && instrument.kind == .spot)
        #expect(house.news() == ["0 status live started"])
        #expect(house.send(try Self.vector("trade-quote-status").framed).refusals == [])
        #expect(
            house.news() == [
                "0 trade 500001 150000000 seller a-17/é HISTORIC", "0 quote 500000x5 500002x9", "0 status live started",
            ]
        )
        let trade = try #require(house.heard.events.dropFirst().first)
        #expect(trade.eventNs == 1_767_225_600_123_456_789 && trade.venueSequence == 77)
        #expect(house.send(try Self.vector("book").framed).refusals == [])
        #expect(
            house.news() == [
                "0 snapshot b500000x5 b499990x7 a500002x9 a500010x4 SNAPSHOT", "0 delta b500000x0 a500001x1",
            ]
        )
        #expect(house.heard.wrongTops == 0)
        verdict = house.send(try Self.vector("problem").framed)
        #expect(verdict.problem == FeedProblem(code: 216, text: "send a snapshot of the book before its changes"))
    }

    @Test("reads the same however the bytes are cut", arguments: 1...120)
    func cuts(size: Int) throws {
        var bytes: [UInt8] = []
        for part in Self.story { bytes += try Self.vector(part).framed }
        bytes += [0, 0, 0, 0]
        var whole = FeedHouse()
        whole.send(bytes)
        var cut = FeedHouse()
        var messages = 0
        for start in stride(from: 0, to: bytes.count, by: size) {
            let verdict = cut.send(Array(bytes[start..<min(start + size, bytes.count)]))
            #expect(verdict.refusals == [])
            messages += verdict.messageCount
        }
        #expect(cut.heard.log == whole.heard.log && cut.heard.log.count == 6 && messages == 6)
        #expect(cut.messages[1]?.isWithinMessage == false)
    }

    @Test("leaves out a message that is no protobuf, whole, and says where it ends to be one")
    func refusesGarbage() throws {
        var house = FeedHouse()
        house.send(try Self.vector("declaration").framed)
        _ = house.news()
        // A good trade, and behind it a field whose length goes beyond the message.
        let bad = try Self.vector("trade-quote-status") + [0x12, 0x05, 0x00]
        let verdict = house.send(bad.framed)
        #expect(verdict.refusals == [.init(line: 2, error: .notProtobuf(offset: bad.count - 3))])
        #expect(!verdict.isCut && house.news() == [])
        #expect(house.send(try Self.vector("trade-quote-status").framed).refusals == [])
    }

    @Test(
        "refuses bytes against the encoding",
        arguments: [
            [0x00], [0x08], [0x08, 0x80], [0x0B], [0x0C], [0x0F], [0x09, 1, 2, 3], [0x0D, 1, 2], [0x12, 0x01],
            [0x08] + Array(repeating: 0xFF, count: 10), [0x08] + Array(repeating: 0x80, count: 9) + [0x02],
            [0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        ] as [[UInt8]]
    )
    func refuses(bytes: [UInt8]) {
        var house = FeedHouse()
        let refusals = house.send(bytes.framed).refusals
        #expect(refusals.count == 1)
        guard case .notProtobuf = refusals.first?.error else {
            Issue.record("\(refusals)")
            return
        }
    }

    @Test(
        "takes unknown fields and fields of another kind for nothing",
        arguments: [
            [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [0x0A, 0x00], [0x10, 0x01],
            [0x19, 1, 2, 3, 4, 5, 6, 7, 8], [0x1D, 1, 2, 3, 4], [0x12, 0x00], [0x12, 0x02, 0x60, 0x01],
            [0x12, 0x04, 0x8A, 0x01, 0x01, 0xFF],
        ] as [[UInt8]]
    )
    func skips(bytes: [UInt8]) {
        var house = FeedHouse()
        #expect(house.send(bytes.framed).refusals == [])
        #expect(house.news() == [])
    }

    @Test("ends at a length beyond the most, at once", arguments: [1 << 20, 1 << 24, 1 << 31, 0xFFFF_FFFF])
    func endsAtLongMessages(length: Int) {
        var house = FeedHouse()
        house.settings.messageBytesMost = 1 << 20
        let prefix = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: (length) >> $0) }
        let isFine = length <= 1 << 20
        for byte in prefix.dropLast() { #expect(!house.send([byte]).isCut) }
        let verdict = house.send([prefix[3]])
        #expect(verdict.isCut == !isFine)
        #expect(verdict.refusals.map(\.error) == (isFine ? [] : [.tooLong(most: 1 << 20)]))
        #expect(house.send([1, 2, 3]).isCut == !isFine)
        #expect(house.messages[1]?.isWithinMessage == isFine)
    }

    @Test("leaves a bad event out by itself, and cuts at ten of them")
    func refusesEvents() throws {
        var house = FeedHouse()
        house.send(try Self.vector("declaration").framed)
        var undeclared = try Self.vector("trade-quote-status")
        // The first event's instrument: number 9 instead of 1.
        let place = try #require(undeclared.firstIndex(of: 0x12)) + 3
        undeclared[place] = 9
        let refusals = house.send(undeclared.framed).refusals
        #expect(refusals == [.init(line: 2, error: .unknownInstrument(number: 9))])
        #expect(house.news() == ["0 status live started", "0 quote 500000x5 500002x9", "0 status live started"])
        // The number of a message may not come again.
        let repeated = house.send(undeclared.framed)
        #expect(repeated.refusals.map(\.error) == [.repeatedSequence(expected: 4, received: 3)])
        let event: [UInt8] = [0x12, 0x04, 0x08, 0x09, 0x5A, 0x00]
        let verdict = house.send(Array(repeating: event, count: 20).flatMap { $0 }.framed)
        #expect(verdict.isCut && verdict.refusals.count == 8)
    }

    @Test("bounds the events of a message")
    func boundsEvents() {
        var house = FeedHouse()
        house.settings.messageBytesMost = 1 << 20
        #expect(house.send(Array(repeating: [0x12, 0x00], count: 10_000).flatMap { $0 }.framed).refusals == [])
        let error = house.send(Array(repeating: [0x12, 0x00], count: 10_001).flatMap { $0 }.framed).refusals.first?
            .error
        #expect(error == .tooMany(most: 10_000))
    }

    @Test("sees a gap in the numbers and lets books wait for snapshots")
    func gaps() throws {
        var house = FeedHouse()
        house.send(try Self.vector("declaration").framed)
        house.send(try Self.vector("book").framed)  // 4 after 2: a gap before any book
        _ = house.news()
        var later = try Self.vector("trade-quote-status")
        later[1] = 9
        let verdict = house.send(later.framed)
        #expect(verdict.gap == .gap(expected: 5, received: 9) && verdict.refusals == [])
        #expect(
            house.news() == [
                "0 status resyncing gap SYNTHETIC", "0 trade 500001 150000000 seller a-17/é GAP_BEFORE HISTORIC",
                "0 quote 500000x5 500002x9",
            ]
        )
        #expect(house.desk.book(of: InstrumentID(0)) == nil)
        var book = try Self.vector("book")
        book[1] = 10
        #expect(house.send(book.framed).refusals == [])
        #expect(house.news().first == "0 status live none SYNTHETIC")
        #expect(house.desk.book(of: InstrumentID(0))?.checksum != nil)
    }

    @Test("stands any change of its bytes", arguments: 0..<40 as Range<UInt64>)
    func standsAnything(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let story = try Self.story.map { try Self.vector($0).framed }
        for _ in 0..<100 {
            var house = FeedHouse()
            house.settings.instrumentsMost = 4
            for part in story {
                var bytes = part
                for _ in 0..<Int.random(in: 0...3, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                house.send(bytes)
            }
            #expect(house.table.all.count <= 4 && house.heard.wrongTops == 0)
        }
    }
}
