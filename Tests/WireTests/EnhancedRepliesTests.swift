import CMarketHubProto
import Hub
import Market
import Testing

@testable import Wire

let serverFacts = ServerFacts(
    version: "1.2.3",
    epoch: 1_767_323_045_000,
    limits: Limits(
        subscriptionsMost: 10_000,
        symbolsPerRequestMost: 1_000,
        frameBytesMost: 65_536,
        requestsPerSecondMost: 50,
        privateQueueBytesMost: 1_048_576
    ),
    heartbeatMs: 15_000,
    serverNs: 1_767_323_045_123_456_789,
    requestID: "r-7"
)
let budget = Budget(requestsLeft: 199, wholeInMs: 20)
let timing = Timing(receivedNs: 1_767_323_045_000_000_001, doneNs: 1_767_323_045_000_000_500)

/// Reads what was written with protobuf-c, checks that protobuf-c writes the same, and hands it over.
private func withReply<Result>(
    _ answer: Answer,
    id: UInt32 = 3,
    _ body: (Markethub__V2__Reply) throws -> Result
) throws -> Result {
    var out = OutputBytes(capacity: 1)
    EnhancedCodec.append(reply: id, answer, timing: timing, budget: budget, server: serverFacts, to: &out)
    let bytes = out.withBytes { Array($0) }
    return try withServerFrame(bytes) { frame in
        try #require(frame.n_replies == 1)
        let reply = try #require(frame.replies[0]).pointee
        #expect(reply.id == id)
        #expect(reply.timing.pointee.received_ns == timing.receivedNs)
        #expect(reply.timing.pointee.done_ns == timing.doneNs)
        #expect(reply.budget.pointee.requests_left == 199 && reply.budget.pointee.whole_in_ms == 20)
        return try body(reply)
    }
}

func withServerFrame<Result>(
    _ bytes: [UInt8],
    _ body: (Markethub__V2__ServerFrame) throws -> Result
) throws -> Result {
    let frame = try #require(markethub__v2__server_frame__unpack(nil, bytes.count, bytes))
    defer { markethub__v2__server_frame__free_unpacked(frame, nil) }
    var repacked = [UInt8](repeating: 0, count: markethub__v2__server_frame__get_packed_size(frame))
    _ = markethub__v2__server_frame__pack(frame, &repacked)
    #expect(repacked == bytes)
    return try body(frame.pointee)
}

private func text(_ bytes: UnsafePointer<CChar>?) -> String { bytes.map { String(cString: $0) } ?? "" }

@Suite("A reply on the enhanced channel")
struct EnhancedRepliesTests {
    @Test("to connect tells version, limits, epoch and clock")
    func connected() throws {
        let welcome = Welcome(epoch: 77, session: 1 << 33, tableVersion: 4, instrumentCount: 3)
        try withReply(.connected(welcome)) { reply in
            try #require(reply.result_case == MARKETHUB__V2__REPLY__RESULT_CONNECT)
            let read = reply.connect.pointee
            #expect(read.server_ns == serverFacts.serverNs && text(read.version) == "1.2.3")
            #expect(read.epoch == 77 && read.session == 1 << 33)
            #expect(read.table_version == 4 && read.instrument_count == 3 && read.heartbeat_ms == 15_000)
            let limits = read.limits.pointee
            #expect(limits.subscriptions_most == 10_000 && limits.symbols_per_request_most == 1_000)
            #expect(limits.frame_bytes_most == 65_536 && limits.requests_per_second_most == 50)
            #expect(limits.private_queue_bytes_most == 1_048_576)
        }
    }

    @Test("to subscribe tells what became of each symbol", arguments: [0, 1, 2, 400])
    func subscribed(count: Int) throws {
        let view = View(
            channel: .candles,
            delivery: .latest,
            depth: 25,
            group: 10,
            intervalMs: 100,
            candleInterval: .day
        )
        let topic = TopicDescription(id: TopicID(300), instrument: Samples.table.all[2], view: view, sequence: 1 << 40)
        let refusal = Refusal(.unknownSymbol, "No instrument X.", fields: [.init("a", "b"), .init("c", "d")])
        let outcomes = (0..<count).map { index in
            SymbolOutcome(symbol: "S\(index)", result: index.isMultiple(of: 2) ? .success(topic) : .failure(refusal))
        }
        try withReply(.subscribed(outcomes)) { reply in
            try #require(reply.result_case == MARKETHUB__V2__REPLY__RESULT_SUBSCRIBE)
            #expect(reply.subscribe.pointee.n_results == count)
            for index in 0..<count {
                let result = try #require(reply.subscribe.pointee.results[index]).pointee
                #expect(text(result.symbol) == "S\(index)")
                if index.isMultiple(of: 2) {
                    try #require(result.outcome_case == MARKETHUB__V2__SYMBOL_RESULT__OUTCOME_TOPIC)
                    let read = result.topic.pointee
                    #expect(read.id == 300 && read.depth == 25 && read.group == 10 && read.interval_ms == 100)
                    #expect(read.channel == MARKETHUB__V2__CHANNEL__CHANNEL_CANDLES)
                    #expect(read.delivery == MARKETHUB__V2__DELIVERY__DELIVERY_LATEST)
                    #expect(read.candle_interval == MARKETHUB__V2__CANDLE_INTERVAL__CANDLE_INTERVAL_1D)
                    #expect(read.epoch == serverFacts.epoch && read.sequence == 1 << 40)
                    let instrument = read.instrument.pointee
                    #expect(instrument.id == 2 && text(instrument.symbol) == Samples.table.all[2].symbol)
                    #expect(text(instrument.venue) == "lan" && text(instrument.raw_symbol) == "a")
                    #expect(instrument.kind == MARKETHUB__V2__INSTRUMENT_KIND__INSTRUMENT_KIND_FUTURE)
                    #expect(instrument.price_scale == 18 && instrument.quantity_scale == 0)
                    #expect(instrument.tick == 25 && instrument.lot == 10)
                } else {
                    try #require(result.outcome_case == MARKETHUB__V2__SYMBOL_RESULT__OUTCOME_ERROR)
                    #expect(result.error.pointee.n_fields == 2)
                    #expect(text(result.error.pointee.request_id) == "r-7")
                }
            }
        }
    }

    @Test(
        "to subscribe tells what became of a wish to go on",
        arguments: [nil] + Recovery.Failure.allCases.map(Optional.some)
    )
    func recovery(failure: Recovery.Failure?) throws {
        let view = View(channel: .trades, delivery: .every)
        let topic = TopicDescription(id: TopicID(3), instrument: Samples.table.all[0], view: view, sequence: 9)
        let recovery = Recovery(failure: failure, missed: failure == .tooOld ? 5...(1 << 40) : nil)
        let outcomes = [
            SymbolOutcome(symbol: "A", result: .success(topic)),
            SymbolOutcome(symbol: "B", result: .success(topic), recovery: recovery),
        ]
        try withReply(.subscribed(outcomes)) { reply in
            #expect(reply.subscribe.pointee.results[0]?.pointee.recovery == nil, "nothing was asked for")
            let read = try #require(reply.subscribe.pointee.results[1]?.pointee.recovery?.pointee)
            #expect(
                (read.recovered != 0) == (failure == nil) && read.failure.rawValue == UInt32(failure?.rawValue ?? 0)
            )
            #expect(read.missed_first == (failure == .tooOld ? 5 : 0))
            #expect(read.missed_last == (failure == .tooOld ? 1 << 40 : 0))
        }
    }

    @Test("to resync tells where the topics go on", arguments: [1, 100])
    func resynced(count: Int) throws {
        let topics = (0..<count).map { TopicSequence(topic: TopicID(UInt32($0 * 1000)), sequence: UInt64($0) << 40) }
        try withReply(.resynced(topics)) { reply in
            try #require(reply.result_case == MARKETHUB__V2__REPLY__RESULT_RESYNC)
            try #require(reply.resync.pointee.n_topics == count)
            for index in 0..<count {
                let read = try #require(reply.resync.pointee.topics[index]).pointee
                #expect(TopicSequence(topic: TopicID(read.topic), sequence: read.sequence) == topics[index])
            }
        }
    }

    @Test("that refuses tells the code, the reason and what would pass", arguments: Refusal.Code.allCases)
    func refused(code: Refusal.Code) throws {
        let refusal = Refusal(code, "Nö.", retryAfterMs: 250, fields: [.init("depth", "must be 10")])
        try withReply(.refused(refusal)) { reply in
            try #require(reply.result_case == MARKETHUB__V2__REPLY__RESULT_ERROR)
            let read = reply.error.pointee
            #expect(read.code == code.rawValue && text(read.reason) == code.reason && text(read.message) == "Nö.")
            #expect((read.temporary != 0) == code.isTemporary && read.retry_after_ms == 250)
            #expect(read.n_fields == 1 && text(read.fields[0]?.pointee.field) == "depth")
            #expect(text(read.fields[0]?.pointee.message) == "must be 10" && text(read.request_id) == "r-7")
        }
    }

    @Test("to unsubscribe tells the topics that ended", arguments: [0, 1, 100])
    func unsubscribed(count: Int) throws {
        let topics = (0..<count).map { TopicID(UInt32($0 * 1000)) }
        try withReply(.unsubscribed(topics)) { reply in
            try #require(reply.result_case == MARKETHUB__V2__REPLY__RESULT_UNSUBSCRIBE)
            let read = UnsafeBufferPointer(
                start: reply.unsubscribe.pointee.topics,
                count: reply.unsubscribe.pointee.n_topics
            )
            #expect(read.map { TopicID($0) } == topics)
        }
    }

    @Test("to list gives a page and the start of the next")
    func listed() throws {
        try withReply(.listed(Samples.table.all, next: 3, tableVersion: 9)) { reply in
            try #require(reply.result_case == MARKETHUB__V2__REPLY__RESULT_LIST)
            let read = reply.list.pointee
            #expect(read.n_instruments == 3 && read.next == 3 && read.table_version == 9)
            #expect(text(read.instruments[1]?.pointee.venue) == "kraken")
        }
    }

    @Test("to ping gives the client's time back")
    func pong() throws {
        try withReply(.pong(clientNs: 12), id: 0) { reply in
            try #require(reply.result_case == MARKETHUB__V2__REPLY__RESULT_PONG)
            #expect(reply.pong.pointee.client_ns == 12 && reply.pong.pointee.server_ns == serverFacts.serverNs)
        }
    }

    @Test("stands in a frame with its time of sending")
    func sentNs() throws {
        var out = OutputBytes()
        EnhancedCodec.append(
            reply: 1,
            .pong(clientNs: 1),
            timing: timing,
            budget: budget,
            server: serverFacts,
            to: &out
        )
        EnhancedCodec.append(sentNs: 55, to: &out)
        try withServerFrame(out.withBytes { Array($0) }) { #expect($0.sent_ns == 55 && $0.n_replies == 1) }
    }

    @Test(
        "may stand behind when the frame's pushes were encoded, and that its client was behind",
        arguments: [false, true]
    )
    func frameFacts(isOver: Bool) throws {
        var out = OutputBytes()
        EnhancedCodec.append(sentNs: 55, to: &out)
        EnhancedCodec.append(encodedNs: 44, to: &out)
        EnhancedCodec.appendDegradation(isOver: isOver, sinceNs: 33, leftOut: isOver ? 1 << 40 : 0, to: &out)
        try withServerFrame(out.withBytes { Array($0) }) { frame in
            #expect(frame.sent_ns == 55 && frame.encoded_ns == 44)
            let degradation = try #require(frame.degradation).pointee
            #expect((degradation.is_over != 0) == isOver && degradation.since_ns == 33)
            #expect(degradation.left_out == (isOver ? 1 << 40 : 0))
        }
    }

    @Test("may say that the connection ends and when to come back")
    func disconnect() throws {
        var out = OutputBytes()
        EnhancedCodec.append(sentNs: 55, to: &out)
        EnhancedCodec.appendDisconnect(code: 3001, reconnectAfterMs: 1_250, to: &out)
        try withServerFrame(out.withBytes { Array($0) }) { frame in
            let disconnect = try #require(frame.disconnect).pointee
            #expect(disconnect.code == 3001 && disconnect.reconnect_after_ms == 1_250)
        }
    }

    @Test("is not needed for a heartbeat, which names what changed", arguments: [0, 1, 300])
    func heartbeat(count: Int) throws {
        var out = OutputBytes(capacity: 1)
        let topics = (0..<count).map { TopicSequence(topic: TopicID(UInt32($0)), sequence: UInt64($0) << 30) }
        EnhancedCodec.appendHeartbeat(topics, to: &out)
        try withServerFrame(out.withBytes { Array($0) }) { frame in
            let beat = try #require(frame.heartbeat).pointee
            #expect(beat.n_topics == count)
            for index in 0..<count {
                #expect(beat.topics[index]?.pointee.topic == UInt32(index))
                #expect(beat.topics[index]?.pointee.sequence == UInt64(index) << 30)
            }
        }
    }
}
