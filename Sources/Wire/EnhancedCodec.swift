internal import CMarketHubProto
public import Hub
internal import Market

/// One command of an enhanced client's frame.
public struct EnhancedCommand: Sendable {
    /// Chosen by the client, for the reply.
    public var id: UInt32
    /// What is asked, or why it cannot be.
    public var request: Result<Request, Refusal>

    public init(id: UInt32, request: Result<Request, Refusal>) {
        self.id = id
        self.request = request
    }
}

/// The language of `/ws/v2`: protobuf as Proto/market_hub.proto says.
///
/// Frames of clients are read by protobuf-c. What the hub says is written by hand, into bytes that subscribers share.
public enum EnhancedCodec {
    /// The most commands that one frame may hold.
    public static let commandsMost = 100
    /// The most bytes of a symbol or pattern.
    public static let symbolBytesMost = 128
    /// The most bytes of a client's name.
    public static let clientBytesMost = 64

    /// Reads the commands of one binary frame.
    ///
    /// What protobuf-c may take for it is bounded by 32 KiB and sixteen times the frame's length, and is given back before the return.
    /// `frame` is one whole WebSocket message, bounded by the transport, and `symbolsMost` the most symbols, or topics, that one command
    /// may name.
    /// - Throws: ``Refusal/Code/malformed`` when the frame is no ``ClientFrame``: nothing in it was carried out.
    public static func decode(
        _ frame: UnsafeRawBufferPointer,
        symbolsMost: Int
    ) throws(Refusal) -> [EnhancedCommand] {
        let outcome: Result<[EnhancedCommand], Refusal> = ProtobufArena.with(
            capacity: 32_768 + 16 * frame.count
        ) { allocator in
            let bytes = frame.assumingMemoryBound(to: UInt8.self).baseAddress
            guard let message = markethub__v2__client_frame__unpack(allocator, frame.count, bytes) else {
                return .failure(
                    Refusal(
                        .malformed,
                        "The frame of \(frame.count) bytes is no protobuf message ClientFrame, or is far too intricate."
                    )
                )
            }
            let commands = UnsafeBufferPointer(start: message.pointee.commands, count: message.pointee.n_commands)
            guard commands.count <= commandsMost else {
                return .failure(
                    Refusal(.malformed, "A frame may hold \(commandsMost) commands, this one has \(commands.count).")
                )
            }
            return .success(
                commands.compactMap { command in
                    command.map { EnhancedCommand(id: $0.pointee.id, request: read($0.pointee, symbolsMost)) }
                }
            )
        }
        return try outcome.get()
    }

    private static func read(_ command: Markethub__V2__Command, _ symbolsMost: Int) -> Result<Request, Refusal> {
        do throws(Refusal) {
            switch command.command_case {
            case MARKETHUB__V2__COMMAND__COMMAND_CONNECT:
                return .success(try .connect(connect(command.connect.pointee)))
            case MARKETHUB__V2__COMMAND__COMMAND_SUBSCRIBE:
                return .success(try .subscribe(subscribe(command.subscribe.pointee, symbolsMost)))
            case MARKETHUB__V2__COMMAND__COMMAND_UNSUBSCRIBE:
                return .success(try .unsubscribe(unsubscribe(command.unsubscribe.pointee, symbolsMost)))
            case MARKETHUB__V2__COMMAND__COMMAND_LIST:
                return .success(try .list(list(command.list.pointee)))
            case MARKETHUB__V2__COMMAND__COMMAND_RESYNC:
                return .success(try .resync(resync(command.resync.pointee, symbolsMost)))
            case MARKETHUB__V2__COMMAND__COMMAND_PING:
                return .success(.ping(clientNs: command.ping.pointee.client_ns))
            default:
                throw Refusal(
                    .unknownCommand,
                    "The command has no known kind; use connect, subscribe, unsubscribe, list, resync or ping."
                )
            }
        } catch {
            return .failure(error)
        }
    }

    private static func connect(_ command: Markethub__V2__Connect) throws(Refusal) -> ConnectRequest {
        ConnectRequest(
            client: try text(command.client, field: "connect.client", bytesMost: clientBytesMost),
            passMs: command.pass_ms,
            wantsTimings: command.timings != 0
        )
    }

    private static func subscribe(
        _ command: Markethub__V2__Subscribe,
        _ symbolsMost: Int
    ) throws(Refusal) -> SubscribeRequest {
        let symbols = try symbols(command.symbols, command.n_symbols, field: "subscribe.symbols", most: symbolsMost)
        guard !symbols.isEmpty else {
            throw RequestRules.invalid("subscribe.symbols", "Name at least one symbol, or * for all.")
        }
        let channel = try channel(command.channel.rawValue, field: "subscribe.channel")
        let delivery = command.delivery.rawValue
        guard let mode = delivery == 0 ? .some(nil) : UInt8(exactly: delivery).flatMap(Delivery.init).map(Optional.some)
        else {
            throw RequestRules.invalid(
                "subscribe.delivery",
                "\(delivery) is no delivery; use 1 EVERY, 2 CONFLATE, 3 LATEST, or 0 for the channel's usual one."
            )
        }
        let length = command.candle_interval.rawValue
        guard length <= CandleInterval.allCases.count else {
            throw RequestRules.invalid(
                "subscribe.candle_interval",
                "\(length) is no candle interval; use 1 to 6 for 1s, 1m, 5m, 15m, 1h, 1d, or 0 for 1m."
            )
        }
        return SubscribeRequest(
            channel: channel,
            symbols: symbols,
            delivery: mode,
            depth: command.depth,
            group: command.group,
            intervalMs: command.interval_ms,
            candleInterval: length == 0 ? nil : CandleInterval(rawValue: UInt8(length - 1)),
            history: command.history,
            from: try positions(command.from, command.n_from, most: symbolsMost)
        )
    }

    private static func positions(
        _ positions: UnsafeMutablePointer<UnsafeMutablePointer<Markethub__V2__Position>?>?,
        _ count: Int,
        most: Int
    ) throws(Refusal) -> [Position] {
        guard count <= most else { throw RequestRules.tooManySymbols(count, most: most, field: "subscribe.from") }
        return UnsafeBufferPointer(start: positions, count: count).map { position in
            Position(epoch: position?.pointee.epoch ?? 0, sequence: position?.pointee.sequence ?? 0)
        }
    }

    private static func resync(_ command: Markethub__V2__Resync, _ topicsMost: Int) throws(Refusal) -> ResyncRequest {
        let topics = UnsafeBufferPointer(start: command.topics, count: command.n_topics)
        guard topics.count <= topicsMost else {
            throw RequestRules.tooManySymbols(topics.count, most: topicsMost, field: "resync.topics")
        }
        guard !topics.isEmpty else { throw RequestRules.invalid("resync.topics", "Name at least one topic.") }
        return ResyncRequest(topics: topics.map { TopicID($0) })
    }

    private static func unsubscribe(
        _ command: Markethub__V2__Unsubscribe,
        _ symbolsMost: Int
    ) throws(Refusal) -> UnsubscribeRequest {
        let topics = UnsafeBufferPointer(start: command.topics, count: command.n_topics)
        guard topics.count <= symbolsMost else {
            throw RequestRules.tooManySymbols(topics.count, most: symbolsMost, field: "unsubscribe.topics")
        }
        let symbols = try symbols(command.symbols, command.n_symbols, field: "unsubscribe.symbols", most: symbolsMost)
        guard !symbols.isEmpty || !topics.isEmpty else {
            throw RequestRules.invalid("unsubscribe.symbols", "Name at least one symbol, or topics.")
        }
        return UnsubscribeRequest(
            channel: symbols.isEmpty ? nil : try channel(command.channel.rawValue, field: "unsubscribe.channel"),
            symbols: symbols,
            topics: topics.map { TopicID($0) }
        )
    }

    private static func list(_ command: Markethub__V2__ListInstruments) throws(Refusal) -> ListRequest {
        ListRequest(
            pattern: try text(command.pattern, field: "list.pattern", bytesMost: symbolBytesMost),
            from: command.from,
            limit: command.limit
        )
    }

    private static func channel(_ number: UInt32, field: String) throws(Refusal) -> Channel {
        guard let channel = UInt8(exactly: number).flatMap(Channel.init), channel != .marketData else {
            throw Refusal(
                .unknownChannel,
                "\(number) is no channel; use 1 ticker, 2 trades, 3 book, 4 candles, 5 status or 6 orders.",
                fields: [.init(field, "1 to 6")]
            )
        }
        return channel
    }

    private static func symbols(
        _ texts: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
        _ count: Int,
        field: String,
        most: Int
    ) throws(Refusal) -> [String] {
        guard count <= most else { throw RequestRules.tooManySymbols(count, most: most, field: field) }
        var symbols: [String] = []
        symbols.reserveCapacity(count)
        for index in 0..<count {
            let symbol = try text(texts?[index], field: field, bytesMost: symbolBytesMost)
            guard !symbol.isEmpty else { throw RequestRules.invalid(field, "Symbol \(index) is empty.") }
            symbols.append(symbol)
        }
        return symbols
    }

    private static func text(
        _ bytes: UnsafePointer<CChar>?,
        field: String,
        bytesMost: Int
    ) throws(Refusal) -> String {
        guard let bytes else { return "" }
        guard let text = String(validatingCString: bytes) else {
            throw RequestRules.invalid(field, "The text is not UTF-8.")
        }
        guard text.utf8.count <= bytesMost else {
            throw RequestRules.invalid(
                field,
                "The text has \(text.utf8.count) bytes; at most \(bytesMost) are allowed."
            )
        }
        return text
    }
}

/// Refusals that both languages share.
enum RequestRules {
    static func invalid(_ field: String, _ message: String) -> Refusal {
        Refusal(.invalidField, "\(field): \(message)", fields: [.init(field, message)])
    }

    static func tooManySymbols(_ count: Int, most: Int, field: String) -> Refusal {
        Refusal(
            .tooManySymbols,
            "\(count) symbols in one request; at most \(most) are allowed.",
            fields: [.init(field, "at most \(most)")]
        )
    }
}
