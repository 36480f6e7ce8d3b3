import Feeds
import Market
import Testing

@Suite("Books and connections of the own feed")
struct FeedDeskTests {
    private static let snapshot = #"{"type":"snapshot","symbol":"A","bids":[["10","1"],["9",2]],"asks":[[11,"3"]]}"#
    private static func delta(_ bids: String = "", _ asks: String = "") -> String {
        #"{"type":"delta","symbol":"A","bids":[\#(bids)],"asks":[\#(asks)]}"#
    }
    private static let id = InstrumentID(0)

    @Test("a book is a snapshot and the changes that follow")
    func followsBooks() {
        var house = FeedHouse()
        #expect(house.say(Self.snapshot).refusals == [])
        #expect(house.say(Self.delta("[10,0]", "[\"12\" , \"4\"]")).refusals == [])
        #expect(
            house.news() == [
                "0 status live started", "0 snapshot b10x1 b9x2 a11x3 SNAPSHOT", "0 delta b10x0 a12x4",
            ]
        )
        #expect(house.heard.wrongTops == 0)
        #expect(house.desk.book(of: Self.id)?.levels == house.heard.books[Self.id]?.levels)
        #expect(house.desk.levelCount == 3)
        house.say(#"{"type":"snapshot","symbol":"A","bids":[]}"#)
        #expect(house.desk.book(of: Self.id)?.isEmpty == true && house.desk.levelCount == 0)
    }

    @Test(
        "lines of books that cannot be taken are left out",
        arguments: [
            (delta("[1,2]"), .noSnapshot), (#"{"type":"snapshot","symbol":"A"}"#, .missing(.bids)),
            (#"{"type":"snapshot","symbol":"A","bids":{}}"#, .malformed(.bids)),
            (#"{"type":"snapshot","symbol":"A","bids":[1]}"#, .malformed(.bids)),
            (#"{"type":"snapshot","symbol":"A","asks":[[1]]}"#, .malformed(.asks)),
            (#"{"type":"snapshot","symbol":"A","asks":[[1,2,3]]}"#, .malformed(.asks)),
            (#"{"type":"snapshot","symbol":"A","asks":[[1,"x"]]}"#, .malformed(.asks)),
            (#"{"type":"snapshot","symbol":"A","asks":[[1,null]]}"#, .malformed(.asks)),
            (#"{"type":"snapshot","symbol":"A","asks":[[0,1]]}"#, .notPositive(.asks)),
            (#"{"type":"snapshot","symbol":"A","asks":[[1,-1]]}"#, .notPositive(.asks)),
            (#"{"type":"status","symbol":"A"}"#, .missing(.state)),
            (#"{"type":"status","symbol":"A","state":"fine"}"#, .malformed(.state)),
            (#"{"type":"instrument","symbol":"A","price_scale":19}"#, .malformed(.priceScale)),
            (#"{"type":"instrument","symbol":"A","kind":"bond"}"#, .malformed(.instrumentKind)),
            (#"{"type":"instrument","symbol":"A","name":"A B"}"#, .malformed(.name)),
            (#"{"type":"hello","version":2}"#, .unknownVersion), (#"{"type":"snapshot"}"#, .missing(.symbol)),
        ] as [(String, LineFeedError)]
    )
    func refuses(line: String, error: LineFeedError) {
        var house = FeedHouse()
        #expect(house.say(line).refusals.map(\.error) == [error])
        #expect(house.table.all.isEmpty && house.news() == [])
    }

    @Test("finer numbers rescale the book, which is told again")
    func rescales() {
        var house = FeedHouse()
        house.say(Self.snapshot)
        _ = house.news()
        house.say(Self.delta("[\"9.5\",\"1\"]"))
        #expect(
            house.news() == [
                "0 status live unitsChanged SYNTHETIC", "0 snapshot b100x1 b90x2 a110x3 SNAPSHOT", "0 delta b95x1",
            ]
        )
        #expect(house.heard.wrongTops == 0)
    }

    @Test("the first connection counts, the next takes over when it is gone, at once and with its own book")
    func failsOver() {
        var house = FeedHouse()
        house.say(Self.snapshot, on: 1)
        _ = house.news()
        house.say(#"{"type":"snapshot","symbol":"A","bids":[["10","1"],["9",2]],"asks":[[12,"5"]]}"#, on: 2)
        house.say(#"{"type":"trade","symbol":"A","price":10,"quantity":1}"#, on: 2)
        #expect(house.news() == [] && house.desk.owner(of: Self.id) == 1)
        house.say(Self.delta("", "[12,5],[11,0]"), on: 1)
        _ = house.news()
        house.close(1)
        #expect(
            house.news() == [
                "0 status live connectionLost SYNTHETIC", "0 snapshot b10x1 b9x2 a12x5 SNAPSHOT GAP_BEFORE SYNTHETIC",
            ]
        )
        house.say(Self.delta("[10,7]"), on: 2)
        #expect(house.news() == ["0 delta b10x7"])
        house.close(2)
        #expect(house.news() == ["0 status disconnected connectionLost SYNTHETIC"])
        #expect(house.desk.book(of: Self.id) == nil && house.desk.levelCount == 0)
        house.say(Self.snapshot, on: 3)
        #expect(house.news() == ["0 status live started", "0 snapshot b10x1 b9x2 a11x3 SNAPSHOT"])
    }

    @Test("a gap of the first lets one that stands by take over")
    func replacesWrongBooks() {
        var house = FeedHouse()
        house.say(Self.snapshot, on: 1)
        house.say(Self.snapshot, on: 2)
        _ = house.news()
        house.say(#"{"type":"heartbeat","seq":1}"#, on: 1)
        #expect(house.say(#"{"type":"heartbeat","seq":3}"#, on: 1).gap == .gap(expected: 2, received: 3))
        #expect(house.desk.owner(of: Self.id) == 2)
        #expect(house.news().first == "0 status live gap SYNTHETIC")
        #expect(house.say(Self.delta("[1,1]"), on: 1).refusals.map(\.error) == [.noSnapshot])
    }

    @Test("what a sender says of the state is passed on, and its book waits")
    func statuses() {
        var house = FeedHouse()
        house.say(Self.snapshot)
        _ = house.news()
        house.say(#"{"type":"status","symbol":"A","state":"disconnected","reason":"silence"}"#)
        #expect(house.news() == ["0 status disconnected silence SYNTHETIC"])
        #expect(house.desk.book(of: Self.id) == nil)
        #expect(house.say(Self.delta("[1,1]")).refusals.map(\.error) == [.noSnapshot])
        house.say(#"{"type":"status","symbol":"A","state":"live"}"#)
        house.say(Self.snapshot)
        #expect(house.news() == ["0 status live none", "0 snapshot b10x1 b9x2 a11x3 SNAPSHOT"])
    }

    @Test("a book that grows without end is dropped")
    func boundsBooks() {
        var house = FeedHouse()
        var limits = FeedDesk.Limits()
        limits.levelsMost = 4
        house.desk = FeedDesk(limits: limits)
        house.say(Self.snapshot)
        house.say(Self.delta("[1,1]"))
        _ = house.news()
        house.say(Self.delta("[2,1]"))
        #expect(house.news() == ["0 status resyncing bufferOverflow SYNTHETIC"])
        #expect(house.desk.levelCount == 0 && house.desk.book(of: Self.id) == nil)
    }

    @Test("a declaration gives names and units before the first number")
    func declares() throws {
        var house = FeedHouse()
        house.settings.venue = nil
        let line =
            #"{"type":"instrument","symbol":"7","name":"BTC-USD-PERP","raw_symbol":"PI_XBTUSD","venue":"kraken","kind":"perpetual","price_scale":2,"quantity_scale":0}"#
        #expect(house.say(line).refusals == [])
        #expect(house.say(#"{"type":"trade","symbol":"7","price":"50000.5","quantity":3}"#).refusals == [])
        let instrument = try #require(house.table.all.first)
        #expect(instrument.qualifiedSymbol == "BTC-USD-PERP@kraken" && instrument.rawSymbol == "PI_XBTUSD")
        #expect(instrument.kind == .perpetual && instrument.priceScale == 2)
        #expect(house.news() == ["0 status live started", "0 trade 5000050 3 unknown "])
        #expect(house.say(line.replacing("PI_XBTUSD", with: "other")).refusals.map(\.error) == [.malformed(.rawSymbol)])
        #expect(
            house.say(line.replacing("\"7\"", with: "\"8\"").replacing("PI_XBTUSD", with: "other")).refusals.map(
                \.error
            ) == [.symbolTaken]
        )
        #expect(house.say(line.replacing("_scale\":2", with: "_scale\":4")).refusals == [])
        #expect(house.news() == ["0 status live unitsChanged SYNTHETIC"])
    }

    @Test("every key has its place", arguments: LineFeedKey.allCases)
    func keys(key: LineFeedKey) {
        var house = FeedHouse()
        let line = #"{"type":"heartbeat","\#(key.name)":null,"\#(key.name)":null}"#
        #expect(house.say(line).refusals.map(\.error) == [.repeatedKey(key)])
    }

    @Test("a megabyte behind a line that is too long ends the connection")
    func endsEndlessLines() {
        var house = FeedHouse()
        var feed = LineFeed()
        var sent = 0
        let chunk = [UInt8](repeating: 0x78, count: 65_536)
        var refusals = 0
        while sent < 4 << 20 {
            let verdict = chunk.withUnsafeBytes {
                feed.receive($0, receivedNs: 1, table: &house.table, into: &house.heard)
            }
            sent += chunk.count
            refusals += verdict.refusals.count
            if verdict.isCut { break }
        }
        #expect(refusals == 1 && sent == 1 << 20 + 65_536)
    }
}
