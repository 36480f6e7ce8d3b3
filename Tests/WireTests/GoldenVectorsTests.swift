import Foundation
import Hub
import Market
import Testing

@testable import Wire

/// The files in Proto/vectors, which the Python and TypeScript tests read too.
///
/// After a wanted change of the format they are written anew by running these tests with `WRITE_VECTORS=1`, and described by
/// `Scripts/describe-vectors`.
private enum Vectors {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Proto/vectors")
    static let isWriting = ProcessInfo.processInfo.environment["WRITE_VECTORS"] == "1"

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: folder.appendingPathComponent(name)))
    }

    static func check(_ name: String, is bytes: [UInt8]) throws {
        if isWriting { try Data(bytes).write(to: folder.appendingPathComponent(name)) }
        #expect(try Self.bytes(name) == bytes)
    }
}

/// One push with what belongs to it.
private struct Sample: Sendable, CustomTestStringConvertible {
    var name: String
    var push: Push
    var levels: [LevelChange] = []
    var orders: [RestingOrder] = []

    var testDescription: String { name }
}

private let pushes: [Sample] = {
    func book(_ payload: Push.Payload, _ levels: [LevelChange], checksum: UInt32?) -> Push {
        var push = Samples.push(payload, .book, flags: .snapshot)
        if case .bookDelta = payload { push.flags = .last }
        push.checksum = checksum
        return push
    }
    let gone = [
        LevelChange(.bid, price: Price(ticks: 4_999_999), quantity: .zero),
        LevelChange(.ask, price: Price(ticks: 5_000_001), quantity: Quantity(lots: 1)),
    ]
    let after = [Samples.levels[1], gone[1]]
    return [
        Sample(name: "trade", push: Samples.push(.trade(Samples.trade), .trades, flags: .last)),
        Sample(name: "trade-aggregate", push: Samples.push(.tradeAggregate(Samples.aggregate), .trades, skipped: 1)),
        Sample(name: "ticker", push: Samples.push(.ticker(Samples.ticker), .ticker, flags: .synthetic)),
        Sample(name: "ticker-empty", push: Samples.push(.ticker(Ticker()), .ticker)),
        Sample(name: "candle", push: Samples.push(.candle(Samples.candle), .candles, flags: .synthetic)),
        Sample(name: "candle-partial", push: Samples.push(.candle(Samples.partialCandle), .candles, flags: .synthetic)),
        Sample(
            name: "book-snapshot",
            push: book(.bookSnapshot, Samples.levels, checksum: Samples.checksum(Samples.levels)),
            levels: Samples.levels
        ),
        Sample(name: "book-delta", push: book(.bookDelta, gone, checksum: Samples.checksum(after)), levels: gone),
        Sample(name: "book-delta-without-checksum", push: book(.bookDelta, gone, checksum: nil), levels: gone),
        Sample(name: "status", push: Samples.push(.status(MarketStatus(.resyncing, .gap)), .status)),
        Sample(
            name: "status-units-changed",
            push: Samples.push(.status(MarketStatus(.live, .unitsChanged)), .status, instrument: 1)
        ),
    ]
}()

// Made anew each time: the leak check does not see arrays that a global holds inside an enum.
private var answers: [(name: String, answer: Answer)] {
    let view = View(channel: .book, delivery: .conflate, depth: 10, group: 1)
    let topic = TopicDescription(id: TopicID(7), instrument: Samples.table.all[0], view: view, sequence: 999)
    let unknown = Refusal(.unknownSymbol, "No instrument XYZ-USD; list the instruments to see which there are.")
    let invalid = Refusal(
        .invalidField,
        "depth must be 0 (all), 10, 25, 100 or 1000.",
        fields: [.init("depth", "must be 0 (all), 10, 25, 100 or 1000")]
    )
    return [
        (
            "connected",
            .connected(Welcome(epoch: 1_767_323_045_000, session: 4_294_967_297, tableVersion: 3, instrumentCount: 3))
        ),
        (
            "subscribed",
            .subscribed([
                SymbolOutcome(symbol: "BTC-USD", result: .success(topic)),
                SymbolOutcome(symbol: "XYZ-USD", result: .failure(unknown)),
            ])
        ),
        (
            "subscribed-with-history",
            .subscribed([
                SymbolOutcome(
                    symbol: "BTC-USD",
                    result: .success(
                        TopicDescription(
                            id: TopicID(8),
                            instrument: Samples.table.all[0],
                            view: View(channel: .candles, delivery: .conflate, candleInterval: .minute),
                            sequence: 999
                        )
                    ),
                    history: Samples.history
                )
            ])
        ),
        (
            "subscribed-from",
            .subscribed([
                SymbolOutcome(symbol: "BTC-USD", result: .success(topic), recovery: Recovery()),
                SymbolOutcome(
                    symbol: "BTC-USD",
                    result: .success(topic),
                    recovery: Recovery(failure: .tooOld, missed: 900...999)
                ),
                SymbolOutcome(symbol: "BTC-USD", result: .success(topic), recovery: Recovery(failure: .otherEpoch)),
            ])
        ),
        ("unsubscribed", .unsubscribed([TopicID(7), TopicID(300)])),
        ("resynced", .resynced([TopicSequence(topic: TopicID(7), sequence: 999)])),
        ("listed", .listed(Samples.table.all, next: 0, tableVersion: 3)),
        ("pong", .pong(clientNs: 1_767_323_044_000_000_000)),
        ("refused", .refused(invalid)),
        ("refused-rate", .refused(Refusal(.rateLimited, "More than 50 requests in a second.", retryAfterMs: 250))),
    ]
}

// Made anew each time, as the answers are.
private var clientCommands: [(name: String, request: Request, write: @Sendable (inout OutputBytes) -> Void)] {
    [
        (
            "connect", .connect(ConnectRequest(client: "vectors 1", passMs: 25)),
            { out in
                out.message(2) { out in
                    out.field(1, "vectors 1")
                    out.field(2, 25)
                }
            }
        ),
        (
            "subscribe",
            .subscribe(
                SubscribeRequest(
                    channel: .book,
                    symbols: ["BTC-USD", "*@kraken"],
                    delivery: .conflate,
                    depth: 10,
                    group: 5,
                    intervalMs: 100
                )
            ),
            { out in
                out.message(5) { out in
                    out.field(1, 3)
                    out.element(2, "BTC-USD")
                    out.element(2, "*@kraken")
                    out.field(3, 10)
                    out.field(4, varint: 5)
                    out.field(5, 2)
                    out.field(6, 100)
                }
            }
        ),
        (
            "subscribe-candles",
            .subscribe(SubscribeRequest(channel: .candles, symbols: ["BTC-USD"], candleInterval: .fiveMinutes)),
            { out in
                out.message(5) { out in
                    out.field(1, 4)
                    out.element(2, "BTC-USD")
                    out.field(7, 3)
                }
            }
        ),
        (
            "subscribe-candles-history",
            .subscribe(SubscribeRequest(channel: .candles, symbols: ["BTC-USD"], history: 1_000)),
            { out in
                out.message(5) { out in
                    out.field(1, 4)
                    out.element(2, "BTC-USD")
                    out.field(9, 1_000)
                }
            }
        ),
        (
            "subscribe-from",
            .subscribe(
                SubscribeRequest(
                    channel: .trades,
                    symbols: ["BTC-USD", "ETH-USD"],
                    from: [Position(epoch: 1_767_323_045_000, sequence: 900), Position(epoch: 0, sequence: 0)]
                )
            ),
            { out in
                out.message(5) { out in
                    out.field(1, 2)
                    out.element(2, "BTC-USD")
                    out.element(2, "ETH-USD")
                    out.message(8) { out in
                        out.field(1, varint: 1_767_323_045_000)
                        out.field(2, varint: 900)
                    }
                    out.message(8) { _ in }
                }
            }
        ),
        (
            "resync", .resync(ResyncRequest(topics: [TopicID(7), TopicID(300)])),
            { out in
                out.message(9) { out in
                    out.message(1) { out in
                        out.append(7 as UInt8)
                        out.append(0xAC as UInt8)
                        out.append(0x02 as UInt8)
                    }
                }
            }
        ),
        (
            "unsubscribe",
            .unsubscribe(
                UnsubscribeRequest(channel: .trades, symbols: ["BTC-USD"], topics: [TopicID(7), TopicID(300)])
            ),
            { out in
                out.message(6) { out in
                    out.field(1, 2)
                    out.element(2, "BTC-USD")
                    out.message(3) { out in
                        out.append(7 as UInt8)
                        out.append(0xAC as UInt8)
                        out.append(0x02 as UInt8)
                    }
                }
            }
        ),
        (
            "list", .list(ListRequest(pattern: "BTC-*", from: 1, limit: 50)),
            { out in
                out.message(7) { out in
                    out.field(1, "BTC-*")
                    out.field(2, 1)
                    out.field(3, 50)
                }
            }
        ),
        (
            "ping", .ping(clientNs: 1_767_323_044_000_000_000),
            { out in out.message(8) { $0.field(1, fixed64: 1_767_323_044_000_000_000) } }
        ),
    ]
}

/// Of the channel that only the enhanced language has.
private let orderPushes: [Sample] = {
    let orders = [
        RestingOrder(id: 7, side: .bid, price: Price(ticks: 4_999_999), quantity: Quantity(lots: 25_000_000)),
        RestingOrder(id: .max, side: .bid, price: Price(ticks: 4_999_900), quantity: Quantity(lots: 300_000_000)),
        RestingOrder(id: 9, side: .ask, price: Price(ticks: 5_000_001), quantity: Quantity(lots: 60_000_000)),
        RestingOrder(id: 8, side: .ask, price: Price(ticks: 5_000_001), quantity: Quantity(lots: 40_000_000)),
    ]
    var snapshot = Samples.push(.orderSnapshot, .orders, flags: .snapshot)
    // They add up to the levels of the other samples.
    snapshot.checksum = Samples.checksum(Samples.levels)
    let price = Price(ticks: 5_000_001)
    let executed = OrderChange(.executed, side: .ask, id: 9, price: price, quantity: Quantity(lots: 10_000_000))
    let replaced = OrderChange(
        .replaced,
        side: .ask,
        id: 8,
        newID: 10,
        price: Price(ticks: 5_000_100),
        quantity: Quantity(lots: 1)
    )
    var last = Samples.push(.orderChange(replaced), .orders, flags: .last)
    last.checksum = 0x0102_0304
    return [
        Sample(name: "order-snapshot", push: snapshot, orders: orders),
        Sample(name: "order-executed", push: Samples.push(.orderChange(executed), .orders, flags: .last)),
        Sample(name: "order-replaced", push: last),
    ]
}()

@Suite("The golden vectors")
struct GoldenVectorsTests {
    @Test("have every push of the enhanced channel", arguments: pushes + orderPushes)
    fileprivate func enhancedPush(sample: Sample) throws {
        var pass = Pass()
        let push =
            sample.orders.isEmpty
            ? pass.append(sample.push, levels: sample.levels) : pass.append(sample.push, orders: sample.orders)
        var out = OutputBytes()
        EnhancedCodec.append(push, of: pass, instruments: Samples.table.all, to: &out)
        EnhancedCodec.append(sentNs: UInt64(push.receivedNs) + 20_000, to: &out)
        try Vectors.check("server-push-\(sample.name).bin", is: out.withBytes { Array($0) })
    }

    @Test("have every push of the legacy channel", arguments: pushes)
    fileprivate func legacyPush(sample: Sample) throws {
        var pass = Pass()
        let push = pass.append(sample.push, levels: sample.levels)
        var out = OutputBytes()
        LegacyCodec.append(push, of: pass, instruments: LegacyInstruments(Samples.table), to: &out)
        out.append("\n")
        try Vectors.check("legacy-push-\(sample.name).txt", is: out.withBytes { Array($0) })
    }

    @Test("have the market data frame")
    func marketData() throws {
        var out = OutputBytes()
        let push = Samples.push(.trade(Samples.trade), .marketData)
        LegacyCodec.append(push, of: Pass(), instruments: LegacyInstruments(Samples.table), to: &out)
        out.append("\n")
        try Vectors.check("legacy-push-market-data.txt", is: out.withBytes { Array($0) })
    }

    @Test("have every reply", arguments: answers.indices)
    func reply(index: Int) throws {
        var out = OutputBytes()
        EnhancedCodec.append(
            reply: 3,
            answers[index].answer,
            timing: timing,
            budget: budget,
            server: serverFacts,
            to: &out
        )
        EnhancedCodec.append(sentNs: timing.doneNs + 100, to: &out)
        try Vectors.check("server-reply-\(answers[index].name).bin", is: out.withBytes { Array($0) })
    }

    @Test("have a heartbeat and a frame of several pushes and a reply")
    func frames() throws {
        var out = OutputBytes()
        EnhancedCodec.append(sentNs: timing.doneNs, to: &out)
        let topics = [
            TopicSequence(topic: TopicID(7), sequence: 1_000), TopicSequence(topic: TopicID(300), sequence: 5),
        ]
        EnhancedCodec.appendHeartbeat(topics, to: &out)
        try Vectors.check("server-heartbeat.bin", is: out.withBytes { Array($0) })
        out.removeAll()
        EnhancedCodec.append(sentNs: timing.doneNs, to: &out)
        EnhancedCodec.appendDegradation(isOver: true, sinceNs: timing.receivedNs, leftOut: 1_234, to: &out)
        try Vectors.check("server-degradation.bin", is: out.withBytes { Array($0) })
        out.removeAll()
        EnhancedCodec.append(
            reply: 3,
            .pong(clientNs: 1),
            timing: timing,
            budget: budget,
            server: serverFacts,
            to: &out
        )
        var pass = Pass()
        for sample in pushes {
            let push = pass.append(sample.push, levels: sample.levels)
            EnhancedCodec.append(push, of: pass, instruments: Samples.table.all, to: &out)
        }
        EnhancedCodec.append(sentNs: timing.doneNs, to: &out)
        EnhancedCodec.append(encodedNs: timing.doneNs - 20, to: &out)
        try Vectors.check("server-frame.bin", is: out.withBytes { Array($0) })
    }

    @Test("have every command of the enhanced channel", arguments: clientCommands.indices)
    func command(index: Int) throws {
        let (name, request, write) = clientCommands[index]
        var out = OutputBytes()
        out.message(1) { out in
            out.field(1, 3)
            write(&out)
        }
        try Vectors.check("client-\(name).bin", is: out.withBytes { Array($0) })
        let read = try Vectors.bytes("client-\(name).bin").withUnsafeBytes {
            try EnhancedCodec.decode($0, symbolsMost: 10)
        }
        #expect(read.map(\.id) == [3])
        #expect(try read.first?.request.get() == request)
    }

    @Test("have the answers of the legacy channel")
    func legacyAnswers() throws {
        func check(_ name: String, _ write: (inout OutputBytes) -> Void) throws {
            var out = OutputBytes(capacity: 1)
            write(&out)
            out.append("\n")
            try Vectors.check("legacy-\(name).txt", is: out.withBytes { Array($0) })
        }
        let subscriptions = [
            Hub.Subscriptions(channel: .book, symbols: ["*@kraken"]),
            Hub.Subscriptions(channel: .marketData, symbols: ["BTC-USD", "ETH-USD"]),
        ]
        try check("subscriptions") { LegacyCodec.append(subscriptions: subscriptions, to: &$0) }
        try check("subscriptions-none") { LegacyCodec.append(subscriptions: [], to: &$0) }
        try check("pong") { LegacyCodec.append(pongID: "7", to: &$0) }
        try check("pong-without-id") { LegacyCodec.append(pongID: "", to: &$0) }
        try check("instruments") { LegacyCodec.append(instruments: Samples.table.all, next: 3, to: &$0) }
        try check("history") { out in
            LegacyCodec.append(
                history: Samples.history,
                .minute,
                of: InstrumentID(0),
                instruments: LegacyInstruments(Samples.table),
                to: &out
            )
        }
        try check("error") { out in
            LegacyCodec.append(
                Refusal(.unknownSymbol, "No instrument XYZ-USD; list the instruments to see which there are."),
                requestID: "r-7",
                original: #"{"type":"subscribe","symbol":"XYZ-USD"}"#,
                to: &out
            )
        }
        try check("error-with-fields") { out in
            LegacyCodec.append(
                Refusal(
                    .rateLimited,
                    "Too \"fast\".",
                    retryAfterMs: 250,
                    fields: [.init("a", "must be b"), .init("c", "must be d")]
                ),
                requestID: "r-8",
                original: "",
                to: &out
            )
        }
    }

    @Test("of the legacy channel are JSON")
    func legacyIsJSON() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Vectors.folder.path)
        let texts = names.filter { $0.hasPrefix("legacy-") }
        #expect(texts.count >= 18)
        for name in texts {
            #expect(try JSONSerialization.jsonObject(with: Data(try Vectors.bytes(name))) is [String: Any], "\(name)")
        }
    }

    @Test("of the enhanced channel each have a description")
    func descriptions() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Vectors.folder.path)
        let binaries = names.filter { $0.hasSuffix(".bin") }.map { $0.dropLast(4) }
        #expect(binaries.count >= 25)
        #expect(Set(binaries) == Set(names.filter { $0.hasSuffix(".json") }.map { $0.dropLast(5) }))
    }
}
