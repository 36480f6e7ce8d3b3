import Feeds
import Market
import Testing

/// Speaks single frames to a feed.
struct Talk {
    var replay: Replay

    init(_ venue: String) throws {
        replay = try Replay(venue)
        replay.recorder.keepsBooks = true
    }

    @discardableResult
    mutating func hear(_ text: String, connection: UInt32 = 1, atNs now: Int64 = 1) -> [MarketEvent] {
        let before = replay.recorder.events.count
        play(UInt8(ascii: "R"), text, connection, now)
        return replay.recorder.events[before...].map(\.event)
    }

    @discardableResult
    mutating func answer(_ rawSymbol: String, _ body: String) -> [MarketEvent] {
        let before = replay.recorder.events.count
        play(UInt8(ascii: "H"), "http://x/?symbol=\(rawSymbol)\t\(body)", 0, 1)
        return replay.recorder.events[before...].map(\.event)
    }

    /// Looks for crossed and quiet books.
    mutating func advance(toNs now: Int64) -> Bool {
        replay.feed.advance(toNs: now, actions: &replay.actions, into: &replay.recorder)
    }

    private mutating func play(_ kind: UInt8, _ text: String, _ connection: UInt32, _ now: Int64) {
        let line = CaptureLine(number: 1, receivedNs: now, connection: connection, kind: kind, payload: 0..<0)
        Array(text.utf8).withUnsafeBytes { replay.play(line, $0) }
    }

    var statuses: [MarketStatus] {
        replay.recorder.events.compactMap { if case .status(let status) = $0.event.payload { status } else { nil } }
    }

    var fault: FrameFault? { replay.faults.last?.fault }
}

private func depth(_ first: Int, _ last: Int, previous: Int? = nil, bids: String = "", asks: String = "") -> String {
    let pu = previous.map { ",\"pu\":\($0)" } ?? ""
    return "{\"stream\":\"btcusdt@depth\",\"data\":{\"e\":\"depthUpdate\",\"E\":5,\"s\":\"BTCUSDT\",\"U\":\(first),"
        + "\"u\":\(last)\(pu),\"b\":[\(bids)],\"a\":[\(asks)]}}"
}

private let book100 = #"{"lastUpdateId":100,"bids":[["10.50","1.00"]],"asks":[["11.00","2.00"]]}"#

@Suite("The feed of a venue")
struct VenueFeedTests {
    // MARK: Binance

    @Test("keeps Binance updates until the snapshot, drops what is older, and goes on from there")
    func buffers() throws {
        var talk = try Talk("binance")
        talk.hear(depth(90, 95))
        talk.hear(depth(96, 102, bids: #"["10.60","3"]"#))
        talk.hear(depth(103, 104, asks: #"["11.00","0.0"]"#))
        #expect(talk.replay.actions.count == 1)
        var events = talk.answer("BTCUSDT", book100)
        // The first update had no digits to infer units from.
        guard case .status(let units) = events.removeFirst().payload, units == MarketStatus(.connected, .unitsChanged)
        else {
            Issue.record("no new units")
            return
        }
        #expect(events.count == 4)
        guard events.count == 4, case .bookSnapshot = events[0].payload, case .bookDelta(let top) = events[3].payload
        else { return }
        #expect(top.bid.quantity.lots == 3)
        #expect(top.ask.quantity.isZero)
        #expect(events[3].venueSequence == 104)
        #expect(talk.replay.top(5, of: "BTC-USDT", .bid) == [["10.6", "3"], ["10.5", "1"]])
    }

    @Test(
        "applies the rule for the first Binance spot update after a snapshot at 100",
        arguments: [
            (first: 99, last: 100, MarketStatus.State.live), (100, 101, .live), (101, 101, .live),
            (102, 103, .resyncing),
        ]
    )
    func spotFirst(first: Int, last: Int, state: MarketStatus.State) throws {
        var talk = try Talk("binance")
        talk.answer("BTCUSDT", book100)
        talk.hear(depth(first, last))
        #expect(talk.statuses.last?.state == state)
    }

    @Test(
        "wants Binance spot updates to begin right behind the last",
        arguments: [(first: 106, MarketStatus.State.live), (105, .resyncing), (107, .resyncing)]
    )
    func spotNext(first: Int, state: MarketStatus.State) throws {
        var talk = try Talk("binance")
        talk.answer("BTCUSDT", book100)
        talk.hear(depth(101, 105))
        talk.hear(depth(first, 110))
        #expect(talk.statuses.last?.state == state)
    }

    @Test(
        "applies the rule for the first USD-M update after a snapshot at 100",
        arguments: [
            (first: 90, last: 99, MarketStatus.State.live, repeated: 1), (90, 100, .live, 0), (100, 105, .live, 0),
            (101, 105, .resyncing, 0),
        ]
    )
    func futuresFirst(first: Int, last: Int, state: MarketStatus.State, repeated: Int) throws {
        var talk = try Talk("binance-usdm")
        talk.answer("BTCUSDT", book100)
        talk.hear(depth(first, last, previous: 1))
        #expect(talk.statuses.last?.state == state)
        #expect(talk.replay.feed.counters.repeatedUpdates == repeated)
    }

    @Test(
        "wants USD-M updates to name the last as previous",
        arguments: [(previous: 105, MarketStatus.State.live), (104, .resyncing), (106, .resyncing)]
    )
    func futuresNext(previous: Int, state: MarketStatus.State) throws {
        var talk = try Talk("binance-usdm")
        talk.answer("BTCUSDT", book100)
        talk.hear(depth(98, 105, previous: 97))
        talk.hear(depth(120, 130, previous: previous))
        #expect(talk.statuses.last?.state == state)
    }

    @Test("asks again when the snapshot is older than the updates that wait")
    func tooOld() throws {
        var talk = try Talk("binance")
        talk.hear(depth(200, 205))
        talk.answer("BTCUSDT", book100)
        #expect(talk.replay.actions.count == 2)
        #expect(talk.replay.top(5, of: "BTC-USDT", .bid).isEmpty)
        talk.answer("BTCUSDT", book100.replacing("100", with: "203"))
        #expect(talk.statuses.last?.state == .live)
    }

    @Test("after a gap the next snapshot says that something was lost")
    func gapFlag() throws {
        var talk = try Talk("binance")
        talk.answer("BTCUSDT", book100)
        talk.hear(depth(101, 105))
        talk.hear(depth(108, 109))
        let events = talk.answer("BTCUSDT", book100.replacing("100", with: "108"))
        #expect(events.first?.flags.contains(.gapBefore) == true)
        #expect(talk.statuses.map(\.state) == [.connected, .live, .resyncing, .live])
    }

    @Test("keeps no more updates than its limit and asks again")
    func bounded() throws {
        var talk = try Talk("binance")
        for number in 0..<5_000 { talk.hear(depth(number * 2 + 1, number * 2 + 2)) }
        #expect(talk.replay.feed.counters.waitingOverflows == 1)
        #expect(talk.statuses.last?.reason == .bufferOverflow)
        #expect(talk.replay.actions.count == 2)
        talk.answer("BTCUSDT", book100.replacing("100", with: "9999"))
        #expect(talk.statuses.last?.state == .live)
    }

    @Test("keeps no more levels than its limit, however unevenly they lie in the updates that wait")
    func boundedLevels() throws {
        var talk = try Talk("binance")
        var limits = VenueFeed.Limits()
        limits.waitingLevelsMost = 10
        talk.replay.feed = VenueFeed(BinanceDialect(market: .spot), limits: limits)
        let eight = (1...8).map { "[\"\($0)\",\"1\"]" }.joined(separator: ",")
        for number in 1...6 { talk.hear(depth(number, number, bids: #"["1","1"]"#)) }
        for number in 7...9 {
            talk.hear(depth(number, number, bids: eight))
            #expect(talk.replay.feed.waitingMost.levels <= 10)
        }
        let eleven = eight + #",["9","1"],["10","1"],["11","1"]"#
        talk.hear(depth(10, 10, bids: eleven))
        #expect(talk.replay.feed.waitingMost == (0, 0))
    }

    @Test("does not blame a snapshot for an update that waited and does not fit")
    func waitedInVain() throws {
        var talk = try Talk("binance")
        talk.hear(depth(101, 102))
        talk.hear(depth(103, 104, bids: #"["9223372036854775807","1"]"#))
        talk.answer("BTCUSDT", book100.replacing("100", with: "101"))
        #expect(talk.replay.feed.counters.badFrames == 0)
        #expect(talk.statuses.map(\.state).suffix(2) == [.live, .resyncing])
    }

    // MARK: Units

    @Test(
        "takes a frame as a whole or not at all",
        arguments: [
            #"[1,[["1.0","1","1.1","b","l",""],["9223372036854775807","1","1.2","s","m",""]],"trade","A/B"]"#,
            #"[1,[["1.0","1","1.1","b","l",""],["0.0000000000001","1","1.2","s","m",""]],"trade","A/B"]"#,
            #"[1,{"a":["0.01",1,"1"],"b":["9223372036854775807",1,"1"]},"ticker","A/B"]"#,
            #"[1,{"as":[["0.01","1","1"],["9223372036854775807","1","1"]],"bs":[]},"book-10","A/B"]"#,
        ]
    )
    func wholeFrames(frame: String) throws {
        for hasTraded in [false, true] {
            var talk = try Talk("kraken")
            if hasTraded { talk.hear(#"[1,[["1","1","1.1","b","l",""]],"trade","A/B"]"#) }
            let before = talk.replay
            let events = talk.hear(frame)
            #expect(talk.fault == .outOfRange)
            #expect(events.isEmpty)
            #expect(talk.replay.table.all == before.table.all)
            #expect(talk.replay.feed.instruments == before.feed.instruments)
            var counters = before.feed.counters
            (counters.frames, counters.badFrames) = (counters.frames + 1, 1)
            #expect(talk.replay.feed.counters == counters)
        }
    }

    @Test("takes trades of one frame in the units that each needs")
    func growingUnits() throws {
        var talk = try Talk("kraken")
        let events = talk.hear(
            #"[1,[["900000000000","1","1.1","b","l",""],["0.00000001","1","1.2","s","m",""]],"trade","A/B"]"#
        )
        #expect(talk.fault == nil)
        #expect(talk.replay.feed.counters.trades == 2)
        #expect(events.count == 4, "connected, a trade, finer units, a trade")
    }

    @Test("gives an instrument finer units when a number needs them, and its book anew")
    func units() throws {
        var talk = try Talk("binance")
        talk.answer("BTCUSDT", book100)
        let events = talk.hear(depth(101, 102, bids: #"["10.505","1.25"]"#))
        #expect(talk.statuses.last == MarketStatus(.live, .unitsChanged))
        guard events.count == 3, case .bookSnapshot(let top) = events[1].payload else {
            Issue.record("\(events)")
            return
        }
        #expect(top.bid.price.ticks == 10_500)
        #expect(top.bid.quantity.lots == 100)
        #expect(talk.replay.top(5, of: "BTC-USDT", .bid) == [["10.505", "1.25"], ["10.5", "1"]])
    }

    @Test(
        "refuses numbers that do not fit, and stays",
        arguments: [
            #"["9999999999999999999","1"]"#, #"["1","9999999999999999999"]"#, #"["0.0000000000001","1"]"#,
            #"["1e400","1"]"#, #"["9223372036854775807","1"]"#, #"["1","-1"]"#, #"["","1"]"#, #"["1",null]"#, #"["1"]"#,
        ]
    )
    func numbers(level: String) throws {
        var talk = try Talk("binance")
        talk.answer("BTCUSDT", book100)
        talk.hear(depth(101, 102, bids: level))
        #expect(talk.fault != nil)
        #expect(talk.replay.feed.counters.badFrames == 1)
        talk.answer("BTCUSDT", book100.replacing("100", with: "200"))
        #expect(talk.statuses.last?.state == .live)
    }

    // MARK: Coinbase

    @Test("a trade from before the subscription is historic, and a repeated one is left out")
    func historic() throws {
        var talk = try Talk("coinbase")
        let match = #""trade_id":7,"side":"buy","size":"1.0","price":"2.50","product_id":"A-B","sequence":3"#
        let time = #","time":"2021-04-17T16:43:29.571587Z"}"#
        let first = talk.hear(#"{"type":"last_match","# + match + time)
        guard case .trade(let trade) = first.last?.payload else {
            Issue.record("no trade")
            return
        }
        #expect(first.last?.flags == [.historic, .last])
        #expect(first.last?.eventNs == 1_618_677_809_571_587_000)
        #expect(trade.aggressor == .seller)
        #expect(trade.id.text == "7")
        #expect(talk.hear(#"{"type":"match","# + match + time).isEmpty)
        #expect(talk.replay.feed.counters.repeatedTrades == 1)
    }

    @Test("reads keys in any order and with white space")
    func order() throws {
        var talk = try Talk("coinbase")
        talk.hear(#" { "bids" : [ [ "2" , "1" ] ] , "asks" : [ ] , "product_id" : "A-B" , "type" : "snapshot" } "#)
        let time = #""time":"2021-04-17T16:43:29Z""#
        talk.hear(#"{\#(time),"changes":[["sell","3","4"],["buy","2.0","0.00"]],"type":"l2update","product_id":"A-B"}"#)
        #expect(talk.replay.top(5, of: "A-B", .bid).isEmpty)
        #expect(talk.replay.top(5, of: "A-B", .ask) == [["3", "4"]])
    }

    @Test("an update of a book that nobody subscribed to is a fault, one before its snapshot is not needed")
    func unknown() throws {
        var talk = try Talk("coinbase")
        let update = #"{"type":"l2update","product_id":"A-B","changes":[["buy","2","1"]]}"#
        talk.hear(update)
        #expect(talk.fault == .unknownSymbol)
        talk.hear(#"{"type":"match","trade_id":7,"side":"buy","size":"1","price":"2","product_id":"A-B"}"#)
        talk.hear(update)
        #expect(talk.replay.faults.count == 1)
        #expect(talk.replay.feed.counters.unusedUpdates == 1)
    }

    @Test("a lost connection empties its books and no others")
    func disconnects() throws {
        var talk = try Talk("coinbase")
        for (symbol, connection) in [("A-B", UInt32(1)), ("C-D", 2)] {
            let text = #"{"type":"snapshot","product_id":"\#(symbol)","bids":[["2","1"]],"asks":[["3","1"]]}"#
            talk.hear(text, connection: connection)
        }
        talk.replay.feed.disconnected(1, reason: .silence, atNs: 5, into: &talk.replay.recorder)
        #expect(talk.statuses.last == MarketStatus(.disconnected, .silence))
        #expect(talk.replay.top(5, of: "A-B", .bid).isEmpty)
        #expect(talk.replay.top(5, of: "C-D", .bid) == [["2", "1"]])
    }

    @Test("a book whose snapshot was asked for ends with the connection that brings its updates")
    func disconnectsRequested() throws {
        var talk = try Talk("binance")
        talk.answer("BTCUSDT", book100)
        talk.hear(depth(101, 102))
        #expect(talk.replay.top(5, of: "BTC-USDT", .bid).count == 1)
        talk.replay.feed.disconnected(1, reason: .connectionLost, atNs: 5, into: &talk.replay.recorder)
        #expect(talk.statuses.last == MarketStatus(.disconnected, .connectionLost))
        #expect(talk.replay.top(5, of: "BTC-USDT", .bid).isEmpty)
        talk.hear(depth(103, 104))
        #expect(talk.replay.actions.count == 1)
        let begun = talk.answer("BTCUSDT", book100.replacing("100", with: "103"))
        #expect(talk.statuses.last?.state == .live)
        #expect(begun.first?.flags.contains(.gapBefore) == true, "the new one says that something is missing before it")
    }

    @Test("a book that stays crossed begins anew")
    func crossed() throws {
        var talk = try Talk("coinbase")
        talk.hear(#"{"type":"snapshot","product_id":"A-B","bids":[["4","1"]],"asks":[["5","1"]]}"#, atNs: 1)
        let second: Int64 = 1_000_000_000
        talk.hear(#"{"type":"l2update","product_id":"A-B","changes":[["buy","6","1"]]}"#, atNs: second)
        let told = talk.replay.recorder.events.count
        let isEarly = talk.advance(toNs: 6 * second)
        #expect(!isEarly && talk.replay.recorder.events.count == told, "it says that nothing changed")
        let isDue = talk.advance(toNs: 6 * second + 1)
        #expect(isDue)
        #expect(talk.statuses.last == MarketStatus(.resyncing, .crossed))
    }

    // MARK: Kraken

    @Test("cuts a Kraken book to the depth subscribed to and tells what fell out")
    func truncation() throws {
        var talk = try Talk("kraken")
        talk.hear(#"[1,{"as":[["5.0","1.0","1.0"],["6.0","1.0","1.0"]],"bs":[]},"book-2","XBT/USD"]"#)
        let events = talk.hear(#"[1,{"a":[["4.0","1.0","2.5"]]},"book-2","XBT/USD"]"#)
        #expect(events.count == 1)
        #expect(events.first?.eventNs == 2_500_000_000)
        #expect(
            talk.replay.recorder.levels == [
                LevelChange(.ask, price: Price(ticks: 40), quantity: Quantity(lots: 10)),
                LevelChange(.ask, price: Price(ticks: 60), quantity: .zero),
            ]
        )
        #expect(talk.replay.top(5, of: "BTC-USD", .ask) == [["4", "1"], ["5", "1"]])
    }

    @Test("takes a Kraken depth for what it is", arguments: ["", "0", "x", "10x", "10-1", "100001", "-1"])
    func wrongDepth(depth: String) throws {
        var talk = try Talk("kraken")
        talk.hear("[1,{\"as\":[],\"bs\":[]},\"book-\(depth)\",\"A/B\"]")
        #expect(talk.fault != nil)
    }

    @Test(
        "reports what the venue refuses",
        arguments: [
            (
                "kraken",
                #"{"event":"subscriptionStatus","status":"error","errorMessage":"no \"such\" pair","pair":"A/B"}"#
            ),
            ("coinbase", #"{"type":"error","message":"Failed","reason":"no \"such\" pair"}"#),
            ("binance", #"{"error":{"code":2,"msg":"x"},"id":1}"#),
        ]
    )
    func refusals(venue: String, text: String) throws {
        var talk = try Talk(venue)
        talk.hear(text)
        #expect(talk.fault == nil)
        guard case .report(let refusal) = talk.replay.actions.first?.demand else {
            Issue.record("no report")
            return
        }
        #expect(venue == "binance" ? refusal == #"{"code":2,"msg":"x"}"# : refusal == #"no "such" pair"#)
    }

    // MARK: Names

    @Test(
        "gives instruments the hub's names",
        arguments: [
            ("binance", "NKNUSDT", "NKN-USDT"), ("binance", "ETHBTC", "ETH-BTC"), ("binance", "BTCFDUSD", "BTC-FDUSD"),
            ("binance-usdm", "BTCUSDT", "BTC-USDT-PERP"), ("binance-usdm", "BTCUSDT_240927", "BTC-USDT-20240927"),
            ("kraken", "/", "/"), ("kraken", "XBT/CHF", "BTC-CHF"), ("kraken", "XDG/XBT", "DOGE-BTC"),
            ("coinbase", "SKL-GBP", "SKL-GBP"),
        ]
    )
    func names(venue: String, rawSymbol: String, symbol: String) throws {
        let dialect = try #require(Venues.dialect(of: venue))
        #expect(dialect.symbol(ofRaw: rawSymbol).symbol == symbol)
    }

    @Test("asks for the book of the name and nothing else", arguments: ["BTCUSDT", "A&limit=1", "A?B#C%41", "100%"])
    func snapshotURL(rawSymbol: String) throws {
        let dialect = BinanceDialect(market: .spot)
        let url = try #require(dialect.snapshotURL(rawSymbol: rawSymbol))
        #expect(url.hasSuffix("&limit=1000") && url.split(separator: "&").count == 2)
        #expect(dialect.rawSymbol(ofSnapshotURL: url) == rawSymbol)
    }

    @Test("takes no name from an address with a broken escape", arguments: ["%", "%4", "%+1", "%zz"])
    func brokenEscape(name: String) {
        #expect(BinanceDialect(market: .spot).rawSymbol(ofSnapshotURL: "https://x/depth?symbol=\(name)") == nil)
    }
}
