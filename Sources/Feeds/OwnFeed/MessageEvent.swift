import Market

/// One event of a protobuf message, checked as bytes and not yet for its meaning.
struct MessageEvent: Sendable {
    enum Content: Sendable {
        /// Of a kind that is not known here, or empty.
        case unknown
        case hello(FeedHello)
        case heartbeat
        case declaration(MessageDeclaration)
        case trade(price: Int64, quantity: UInt64, aggressor: UInt64, id: TradeID)
        case quote(MessageLevel, MessageLevel)
        /// The places of its levels in ``MessageFeed/levels``.
        case snapshot(Range<Int>)
        case delta(Range<Int>)
        case status(state: UInt64, reason: UInt64)
        case problem(FeedProblem)
    }

    /// The sender's number of the instrument.
    var instrument: UInt64 = 0
    var eventNs: UInt64 = 0
    var flags: UInt64 = 0
    var venueSequence: UInt64 = 0
    var content = Content.unknown
}

struct MessageLevel: Sendable, BitwiseCopyable {
    var side: Side
    var price: Int64 = 0
    var quantity: UInt64 = 0
}

struct MessageDeclaration: Sendable {
    var number: UInt64 = 0
    var symbol = ""
    var venue = ""
    var rawSymbol = ""
    var kind: UInt64 = 0
    var priceScale: UInt64 = 0
    var quantityScale: UInt64 = 0
}

/// The bytes of a message.
extension MessageFeed {
    /// Reads a message into ``events`` and ``levels``.
    ///
    /// - Returns: its number, 0 for none.
    mutating func parse(_ message: UnsafeRawBufferPointer) throws(LineFeedError) -> UInt64 {
        events.removeAll(keepingCapacity: true)
        levels.removeAll(keepingCapacity: true)
        var sequence: UInt64 = 0
        var reader = ProtobufReader(message)
        while let field = try reader.next() {
            switch field.number {
            case 1: sequence = field.unsigned ?? sequence
            case 2:
                guard let range = field.range else { continue }
                guard events.count < Self.eventsMost else { throw .tooMany(most: Self.eventsMost) }
                events.append(try event(message, range))
            default: continue
            }
        }
        return sequence
    }

    private mutating func event(
        _ message: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) throws(LineFeedError) -> MessageEvent {
        var event = MessageEvent()
        var reader = ProtobufReader(message, range)
        while let field = try reader.next() {
            switch field.number {
            case 1: event.instrument = field.unsigned ?? event.instrument
            case 2: event.eventNs = field.fixed ?? event.eventNs
            case 3: event.flags = field.unsigned ?? event.flags
            case 4: event.venueSequence = field.unsigned ?? event.venueSequence
            default:
                // Of several payloads the last counts.
                if let range = field.range, let content = try content(field.number, message, range) {
                    event.content = content
                }
            }
        }
        return event
    }

    /// Nil for a payload that is not known here.
    private mutating func content(
        _ number: UInt32,
        _ message: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) throws(LineFeedError) -> MessageEvent.Content? {
        switch number {
        case 8: .hello(try hello(message, range))
        case 9: .heartbeat
        case 10: .declaration(try declaration(message, range))
        case 11: try trade(message, range)
        case 12: try quote(message, range)
        case 13: .snapshot(try book(message, range))
        case 14: .delta(try book(message, range))
        case 15: try status(message, range)
        case 16: .problem(try problem(message, range))
        default: nil
        }
    }

    private func hello(_ message: UnsafeRawBufferPointer, _ range: Range<Int>) throws(LineFeedError) -> FeedHello {
        var hello = FeedHello(version: 0, name: "", heartbeatMs: 0)
        var reader = ProtobufReader(message, range)
        while let field = try reader.next() {
            switch field.number {
            case 1: hello.version = field.unsigned ?? hello.version
            case 2:
                hello.name = field.range.map { feedText(part(message, $0), bytesMost: FeedHello.nameBytesMost) } ?? ""
            case 3: hello.heartbeatMs = field.unsigned ?? hello.heartbeatMs
            default: continue
            }
        }
        return hello
    }

    private func declaration(
        _ message: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) throws(LineFeedError) -> MessageDeclaration {
        var declaration = MessageDeclaration()
        var reader = ProtobufReader(message, range)
        while let field = try reader.next() {
            switch field.number {
            case 1: declaration.number = field.unsigned ?? declaration.number
            case 2: declaration.symbol = try text(message, field)
            case 3: declaration.venue = try text(message, field)
            case 4: declaration.rawSymbol = try text(message, field)
            case 5: declaration.kind = field.unsigned ?? declaration.kind
            case 6: declaration.priceScale = field.unsigned ?? declaration.priceScale
            case 7: declaration.quantityScale = field.unsigned ?? declaration.quantityScale
            default: continue
            }
        }
        return declaration
    }

    private func trade(
        _ message: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) throws(LineFeedError) -> MessageEvent.Content {
        var (price, quantity, aggressor): (Int64, UInt64, UInt64) = (0, 0, 0)
        var id = TradeID()
        var reader = ProtobufReader(message, range)
        while let field = try reader.next() {
            switch field.number {
            case 1: price = field.signed ?? price
            case 2: quantity = field.unsigned ?? quantity
            case 3: aggressor = field.unsigned ?? aggressor
            case 4:
                guard let range = field.range else { continue }
                let bytes = part(message, range)
                guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }), let read = TradeID(bytes) else {
                    throw .malformed(.id)
                }
                try checkUTF8(message, range)
                id = read
            default: continue
            }
        }
        return .trade(price: price, quantity: quantity, aggressor: aggressor, id: id)
    }

    private func quote(
        _ message: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) throws(LineFeedError) -> MessageEvent.Content {
        var (bid, ask) = (MessageLevel(side: .bid), MessageLevel(side: .ask))
        var reader = ProtobufReader(message, range)
        while let field = try reader.next() {
            switch field.number {
            case 1: bid.price = field.signed ?? bid.price
            case 2: bid.quantity = field.unsigned ?? bid.quantity
            case 3: ask.price = field.signed ?? ask.price
            case 4: ask.quantity = field.unsigned ?? ask.quantity
            default: continue
            }
        }
        return .quote(bid, ask)
    }

    private mutating func book(
        _ message: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) throws(LineFeedError) -> Range<Int> {
        let start = levels.count
        var reader = ProtobufReader(message, range)
        while let field = try reader.next() {
            guard field.number <= 2, let range = field.range else { continue }
            var level = MessageLevel(side: field.number == 1 ? .bid : .ask)
            var inner = ProtobufReader(message, range)
            while let field = try inner.next() {
                switch field.number {
                case 1: level.price = field.signed ?? level.price
                case 2: level.quantity = field.unsigned ?? level.quantity
                default: continue
                }
            }
            guard levels.count < Self.levelsMost else { throw .tooMany(most: Self.levelsMost) }
            levels.append(level)
        }
        return start..<levels.count
    }

    private func status(
        _ message: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) throws(LineFeedError) -> MessageEvent.Content {
        var (state, reason): (UInt64, UInt64) = (0, 0)
        var reader = ProtobufReader(message, range)
        while let field = try reader.next() {
            if field.number == 1 { state = field.unsigned ?? state }
            if field.number == 2 { reason = field.unsigned ?? reason }
        }
        return .status(state: state, reason: reason)
    }

    private func problem(_ message: UnsafeRawBufferPointer, _ range: Range<Int>) throws(LineFeedError) -> FeedProblem {
        var problem = FeedProblem(code: 0, text: "")
        var reader = ProtobufReader(message, range)
        while let field = try reader.next() {
            if field.number == 1 { problem.code = field.unsigned ?? problem.code }
            if field.number == 3, let range = field.range {
                problem.text = feedText(part(message, range), bytesMost: FeedProblem.textBytesMost)
            }
        }
        return problem
    }

    // MARK: Bytes

    private func part(_ message: UnsafeRawBufferPointer, _ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: message[range])
    }

    private func text(_ message: UnsafeRawBufferPointer, _ field: ProtobufReader.Field) throws(LineFeedError) -> String
    {
        guard let range = field.range else { return "" }
        try checkUTF8(message, range)
        return String(decoding: part(message, range), as: UTF8.self)
    }

    private func checkUTF8(_ message: UnsafeRawBufferPointer, _ range: Range<Int>) throws(LineFeedError) {
        let text = part(message, range).bindMemory(to: UInt8.self)
        guard (try? UTF8Span(validating: text.span)) != nil else { throw .notProtobuf(offset: range.lowerBound) }
    }
}
