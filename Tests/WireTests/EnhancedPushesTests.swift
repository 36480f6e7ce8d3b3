import CMarketHubProto
import Hub
import Market
import Testing

@testable import Wire

private typealias Message = Markethub__V2__Push

/// Reads a server frame with protobuf-c and tells the bytes that protobuf-c makes of it.
private func withFrame<Result>(
    _ bytes: [UInt8],
    _ body: (Markethub__V2__ServerFrame, _ repacked: [UInt8]) throws -> Result
) throws -> Result {
    let frame = try #require(markethub__v2__server_frame__unpack(nil, bytes.count, bytes))
    defer { markethub__v2__server_frame__free_unpacked(frame, nil) }
    let size = markethub__v2__server_frame__get_packed_size(frame)
    let repacked = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
        count = buffer.baseAddress.map { markethub__v2__server_frame__pack(frame, $0) } ?? 0
    }
    return try body(frame.pointee, repacked)
}

private func encoded(_ push: Push, _ levels: [LevelChange] = [], _ table: InstrumentTable = Samples.table) -> [UInt8] {
    var pass = Pass()
    let push = pass.append(push, levels: levels)
    var out = OutputBytes(capacity: 1)
    EnhancedCodec.append(push, of: pass, instruments: table.all, to: &out)
    return out.withBytes { Array($0) }
}

private func randomPush(_ random: inout SeededRandom) -> (Push, [LevelChange]) {
    let id = TradeID(
        random.bytes(most: 64).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }.prefix(16).description
    )
    let trade = Trade(
        price: random.price(),
        quantity: random.quantity(),
        aggressor: Aggressor.allCases.randomElement(using: &random) ?? .unknown,
        id: id ?? TradeID()
    )
    func level(_ random: inout SeededRandom) -> Level { Level(price: random.price(), quantity: random.quantity()) }
    var levels: [LevelChange] = []
    let payload: Push.Payload
    switch random.next() % 7 {
    case 0: payload = .trade(trade)
    case 1:
        var sum = TradeAggregate(trade)
        sum.low = random.price()
        sum.last = random.price()
        sum.count = UInt32(truncatingIfNeeded: random.anyLength())
        payload = .tradeAggregate(sum)
    case 2:
        let day = Ticker.Day(open: random.price(), high: random.price(), low: random.price(), volume: random.quantity())
        let quote = Quote(bid: level(&random), ask: level(&random))
        payload = .ticker(Ticker(quote: quote, last: level(&random), day: random.next() & 1 == 0 ? nil : day))
    case 3:
        payload = .candle(
            Candle(
                interval: CandleInterval.allCases.randomElement(using: &random) ?? .day,
                openNs: Int64(bitPattern: random.anyLength()),
                open: random.price(),
                high: random.price(),
                low: random.price(),
                close: random.price(),
                volume: random.quantity(),
                tradeCount: UInt32(truncatingIfNeeded: random.anyLength()),
                isClosed: random.next() & 1 == 0
            )
        )
    case 4:
        payload = .status(
            MarketStatus(
                MarketStatus.State.allCases.randomElement(using: &random) ?? .live,
                MarketStatus.Reason.allCases.randomElement(using: &random) ?? .none
            )
        )
    default:
        payload = random.next() & 1 == 0 ? .bookSnapshot : .bookDelta
        let most = [1, 8, 30, 200, 3_000].randomElement(using: &random) ?? 1
        levels = (0..<Int.random(in: 0...most, using: &random)).map { _ in
            LevelChange(random.next() & 1 == 0 ? .bid : .ask, price: random.price(), quantity: random.quantity())
        }
    }
    var push = Push(
        topic: TopicID(UInt32(truncatingIfNeeded: random.anyLength())),
        channel: .book,
        instrument: InstrumentID(UInt32(random.next() % 3)),
        sequence: random.anyLength(),
        previous: random.anyLength(),
        skipped: random.anyLength(),
        eventNs: Int64(bitPattern: random.anyLength()),
        receivedNs: Int64(bitPattern: random.anyLength()),
        flags: EventFlags(rawValue: UInt16(truncatingIfNeeded: random.anyLength())),
        payload: payload
    )
    push.checksum = random.next() & 1 == 0 ? nil : UInt32(truncatingIfNeeded: random.anyLength())
    return (push, levels)
}

@Suite("A push on the enhanced channel")
struct EnhancedPushesTests {
    @Test("is, byte for byte, what protobuf-c packs", arguments: 0..<40 as Range<UInt64>)
    func equalsProtobufC(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<100 {
            let (push, levels) = randomPush(&random)
            let bytes = encoded(push, levels)
            try withFrame(bytes) { frame, repacked in
                #expect(repacked == bytes)
                try #require(frame.n_pushes == 1 && frame.n_replies == 0 && frame.base.n_unknown_fields == 0)
                let message = try #require(frame.pushes?[0]).pointee
                check(message, is: push, levels)
            }
        }
    }

    @Test("stands beside others in one frame")
    func concatenates() throws {
        let bytes =
            encoded(Samples.push(.trade(Samples.trade), .trades))
            + encoded(Samples.push(.ticker(Samples.ticker), .ticker))
        try withFrame(bytes) { frame, repacked in
            #expect(frame.n_pushes == 2)
            #expect(repacked == bytes)
        }
    }

    @Test("of a status carries the instrument only when its units changed")
    func unitsChanged() throws {
        for reason in MarketStatus.Reason.allCases {
            let bytes = encoded(Samples.push(.status(MarketStatus(.live, reason)), .status, instrument: 1))
            try withFrame(bytes) { frame, _ in
                let status = try #require(frame.pushes?[0]?.pointee.status).pointee
                #expect((status.instrument != nil) == (reason == .unitsChanged))
                if let instrument = status.instrument {
                    #expect(String(cString: instrument.pointee.raw_symbol) == "XBT/USD")
                    #expect(instrument.pointee.price_scale == 1)
                }
            }
        }
    }

    private func check(_ message: Message, is push: Push, _ levels: [LevelChange]) {
        #expect(message.topic == push.topic.rawValue)
        #expect(message.sequence == push.sequence)
        #expect(message.previous == push.previous)
        #expect(message.skipped == push.skipped)
        #expect(message.event_ns == UInt64(bitPattern: push.eventNs))
        #expect(message.received_ns == UInt64(bitPattern: push.receivedNs))
        #expect(message.flags == UInt32(push.flags.rawValue))
        switch push.payload {
        case .trade(let trade):
            #expect(message.payload_case == MARKETHUB__V2__PUSH__PAYLOAD_TRADE)
            let read = message.trade.pointee
            #expect(read.price == trade.price.ticks)
            #expect(read.quantity == UInt64(trade.quantity.lots))
            #expect(read.aggressor.rawValue == UInt32(trade.aggressor.rawValue))
            #expect(Array(UnsafeBufferPointer(start: read.id.data, count: read.id.len)) == Array(trade.id.text.utf8))
        case .tradeAggregate(let trades):
            #expect(message.payload_case == MARKETHUB__V2__PUSH__PAYLOAD_TRADE_AGGREGATE)
            let read = message.trade_aggregate.pointee
            #expect(read.high == trades.high.ticks && read.low == trades.low.ticks && read.last == trades.last.ticks)
            #expect(read.volume == UInt64(trades.volume.lots) && read.count == trades.count)
        case .ticker(let ticker):
            #expect(message.payload_case == MARKETHUB__V2__PUSH__PAYLOAD_TICKER)
            let read = message.ticker.pointee
            #expect(read.bid_price == ticker.quote.bid.price.ticks)
            #expect(read.bid_quantity == UInt64(ticker.quote.bid.quantity.lots))
            #expect(read.ask_price == ticker.quote.ask.price.ticks)
            #expect(read.ask_quantity == UInt64(ticker.quote.ask.quantity.lots))
            #expect(read.last_price == ticker.last.price.ticks)
            #expect(read.last_quantity == UInt64(ticker.last.quantity.lots))
            #expect(read.day_open == ticker.day?.open.ticks ?? 0)
            #expect(read.day_high == ticker.day?.high.ticks ?? 0)
            #expect(read.day_low == ticker.day?.low.ticks ?? 0)
            #expect(read.day_volume == UInt64(ticker.day?.volume.lots ?? 0))
        case .candle(let candle):
            #expect(message.payload_case == MARKETHUB__V2__PUSH__PAYLOAD_CANDLE)
            let read = message.candle.pointee
            #expect(read.interval.rawValue == UInt32(candle.interval.rawValue) + 1)
            #expect(read.open_ns == UInt64(bitPattern: candle.openNs))
            #expect(read.open == candle.open.ticks && read.high == candle.high.ticks)
            #expect(read.low == candle.low.ticks && read.close == candle.close.ticks)
            #expect(read.volume == UInt64(candle.volume.lots))
            #expect(read.trade_count == candle.tradeCount && (read.closed != 0) == candle.isClosed)
        case .bookSnapshot:
            #expect(message.payload_case == MARKETHUB__V2__PUSH__PAYLOAD_BOOK_SNAPSHOT)
            check(message.book_snapshot.pointee, is: levels, push.checksum)
        case .bookDelta:
            #expect(message.payload_case == MARKETHUB__V2__PUSH__PAYLOAD_BOOK_DELTA)
            check(message.book_delta.pointee, is: levels, push.checksum)
        case .orderSnapshot, .orderChange: Issue.record("orders have a test of their own")
        case .status(let status):
            #expect(message.payload_case == MARKETHUB__V2__PUSH__PAYLOAD_STATUS)
            #expect(message.status.pointee.state.rawValue == UInt32(status.state.rawValue))
            #expect(message.status.pointee.reason.rawValue == UInt32(status.reason.rawValue))
        }
    }

    private func check(_ book: Markethub__V2__Book, is levels: [LevelChange], _ checksum: UInt32?) {
        var read: [LevelChange] = []
        for index in 0..<book.n_bids {
            guard let level = book.bids[index]?.pointee else { continue }
            read.append(
                LevelChange(.bid, price: Price(ticks: level.price), quantity: Quantity(lots: Int64(level.quantity)))
            )
        }
        for index in 0..<book.n_asks {
            guard let level = book.asks[index]?.pointee else { continue }
            read.append(
                LevelChange(.ask, price: Price(ticks: level.price), quantity: Quantity(lots: Int64(level.quantity)))
            )
        }
        #expect(read == levels.filter { $0.side == .bid } + levels.filter { $0.side == .ask })
        #expect((book.check_case == MARKETHUB__V2__BOOK__CHECK_CRC32) == (checksum != nil))
        if let checksum { #expect(book.crc32 == checksum) }
    }
}
