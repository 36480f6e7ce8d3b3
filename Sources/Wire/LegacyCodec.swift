public import Hub
internal import JSON
internal import Market

/// What a legacy client asks.
public enum LegacyRequest: Hashable, Sendable {
    /// - Parameter batch: whether the client wants this subscription's data as one JSON array a pass.
    case hub(Request, batch: Bool)
    /// The id is given back as it was written, a JSON value of at most ``LegacyCodec/pingIDBytesMost`` bytes; empty when there was none.
    case ping(id: String)
}

/// One request of a legacy client's frame.
public struct LegacyCommand: Hashable, Sendable {
    /// What is asked, or why it cannot be.
    public var request: Result<LegacyRequest, Refusal>
    /// The request as the client wrote it, for the error that answers it; empty when it was no JSON or is longer than
    /// ``LegacyCodec/echoBytesMost``.
    public var original: String

    public init(request: Result<LegacyRequest, Refusal>, original: String) {
        self.request = request
        self.original = original
    }
}

/// The language of `/ws`: JSON in text frames.
public enum LegacyCodec {
    /// The most requests that one frame may hold.
    public static let commandsMost = 100
    /// The most bytes of a symbol or pattern.
    public static let symbolBytesMost = 128
    /// A longer request is not given back in its error.
    public static let echoBytesMost = 512
    public static let pingIDBytesMost = 64
    /// Fields that a subscription may pick.
    public static let fieldsMost = 16
    /// Arrays and objects that may lie in each other in a request; an error that gives one back has one more.
    public static let depthMost = 8

    /// Reads the requests of one text frame: an object, or an array of objects.
    ///
    /// `frame` is one whole WebSocket message, bounded by the transport, and `symbolsMost` the most symbols that one request may name.
    /// A frame that is no JSON is one refused command. Keys that are not known are ignored.
    public static func decode(_ frame: UnsafeRawBufferPointer, symbolsMost: Int) -> [LegacyCommand] {
        let limits = JSONLimits(bytesMost: .max, depthMost: depthMost, valuesMost: 2 * symbolsMost + 64 * commandsMost)
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(reading: frame, limits: limits).root
        } catch {
            // Only lists of symbols are that long.
            if case .tooManyValues = error.problem {
                let most = "At most \(symbolsMost) symbols in one request are allowed; a wildcard counts as one."
                return [refused(.tooManySymbols, "The frame has too many values. \(most)")]
            }
            return [refused(.malformed, "The frame is no JSON that the hub reads: \(error).")]
        }
        switch root.kind {
        case .object: return [command(root, symbolsMost)]
        case .array:
            let requests = root.elements
            guard !requests.isEmpty else {
                return [refused(.malformed, "The array holds no request.")]
            }
            guard requests.count <= commandsMost else {
                return [
                    refused(.malformed, "A frame may hold \(commandsMost) requests, this one has \(requests.count).")
                ]
            }
            return requests.map { command($0, symbolsMost) }
        default:
            return [refused(.malformed, "A frame is a JSON object or an array of objects.")]
        }
    }

    private static func refused(_ code: Refusal.Code, _ message: String) -> LegacyCommand {
        LegacyCommand(request: .failure(Refusal(code, message)), original: "")
    }

    private static func command(_ value: JSONValue, _ symbolsMost: Int) -> LegacyCommand {
        let isShort = value.source.count <= echoBytesMost
        let original = isShort ? String(decoding: value.source, as: UTF8.self) : ""
        do throws(Refusal) {
            return LegacyCommand(request: .success(try request(value, symbolsMost)), original: original)
        } catch {
            return LegacyCommand(request: .failure(error), original: original)
        }
    }

    private static func request(_ value: JSONValue, _ symbolsMost: Int) throws(Refusal) -> LegacyRequest {
        guard value.kind == .object else {
            throw Refusal(.malformed, "A request is a JSON object, this at byte \(value.range.lowerBound) is not.")
        }
        let known = "use subscribe, unsubscribe, list or ping"
        guard let type = value["type"] else { throw Refusal(.unknownCommand, "The request has no type; \(known).") }
        guard let name = type.string else { throw RequestRules.invalid("type", "A string is wanted; \(known).") }
        switch name {
        case "subscribe":
            let batch = try optional(value["batch"], "batch", "true or false") { $0.bool } ?? false
            return .hub(.subscribe(try subscribe(value, symbolsMost)), batch: batch)
        case "unsubscribe":
            return .hub(.unsubscribe(try unsubscribe(value, symbolsMost)), batch: false)
        case "list":
            return .hub(.list(try list(value)), batch: false)
        case "ping":
            return .ping(id: try pingID(value["id"]))
        default:
            throw Refusal(.unknownCommand, "\"\(shortened(name))\" is no type of request; \(known).")
        }
    }

    /// Legacy clients are never cut off for slowness: every channel is conflated when they fall behind, but status, which is rare.
    private static func subscribe(_ value: JSONValue, _ symbolsMost: Int) throws(Refusal) -> SubscribeRequest {
        let channel = try channel(value)
        let length = try optional(value["interval"], "interval", "one of 1s, 1m, 5m, 15m, 1h, 1d") { value in
            value.string.flatMap(CandleInterval.init(name:))
        }
        guard length == nil || channel == .candles else {
            throw RequestRules.invalid("interval", "Only candles have one; use intervalMs to hear less often.")
        }
        return SubscribeRequest(
            channel: channel,
            symbols: try symbols(value, symbolsMost),
            delivery: channel == .status ? nil : .conflate,
            depth: try number(value, "depth"),
            intervalMs: try number(value, "intervalMs"),
            candleInterval: length,
            history: try number(value, "history"),
            fields: try fields(value)
        )
    }

    private static func fields(_ value: JSONValue) throws(Refusal) -> [String] {
        guard let wanted = value["fields"] else { return [] }
        let names = wanted.kind == .array ? wanted.elements.prefix(fieldsMost + 1).compactMap(\.string) : []
        guard (1...fieldsMost).contains(names.count), names.count == wanted.elements.count else {
            throw RequestRules.invalid("fields", "An array of 1 to \(fieldsMost) names of fields is wanted.")
        }
        return names
    }

    private static func unsubscribe(_ value: JSONValue, _ symbolsMost: Int) throws(Refusal) -> UnsubscribeRequest {
        UnsubscribeRequest(channel: try channel(value), symbols: try symbols(value, symbolsMost))
    }

    private static func list(_ value: JSONValue) throws(Refusal) -> ListRequest {
        let pattern = try optional(value["pattern"], "pattern", "a name or wildcard") { $0.string } ?? ""
        try checkSymbol(pattern, field: "pattern")
        return ListRequest(pattern: pattern, from: try number(value, "from"), limit: try number(value, "limit"))
    }

    private static func pingID(_ value: JSONValue?) throws(Refusal) -> String {
        guard let value else { return "" }
        guard value.kind != .object, value.kind != .array, value.source.count <= pingIDBytesMost else {
            throw RequestRules.invalid("id", "A number or string of at most \(pingIDBytesMost) bytes is wanted.")
        }
        return String(decoding: value.source, as: UTF8.self)
    }

    private static func channel(_ value: JSONValue) throws(Refusal) -> Channel {
        guard let named = value["channel"] else { return .marketData }
        // Numbers of orders may be larger than what a number of JavaScript holds, and each change counts.
        let names = Channel.allCases.filter { $0 != .orders }.map(\.name).joined(separator: ", ")
        guard let name = named.string else { throw RequestRules.invalid("channel", "A string is wanted: \(names).") }
        guard let channel = Channel(name: name), channel != .orders else {
            throw Refusal(
                .unknownChannel,
                "\"\(shortened(name))\" is no channel; use \(names).",
                fields: [.init("channel", names)]
            )
        }
        return channel
    }

    private static func symbols(_ value: JSONValue, _ most: Int) throws(Refusal) -> [String] {
        switch (value["symbol"], value["symbols"]) {
        case (let one?, nil):
            guard let symbol = one.string else { throw RequestRules.invalid("symbol", "A string is wanted.") }
            try checkSymbol(symbol, field: "symbol", emptyPasses: false)
            return [symbol]
        case (nil, let several?):
            guard several.kind == .array else { throw RequestRules.invalid("symbols", "An array is wanted.") }
            let values = several.elements
            guard !values.isEmpty else { throw RequestRules.invalid("symbols", "Name at least one, or * for all.") }
            guard values.count <= most else {
                throw RequestRules.tooManySymbols(values.count, most: most, field: "symbols")
            }
            var symbols: [String] = []
            symbols.reserveCapacity(values.count)
            for value in values {
                guard let symbol = value.string else {
                    throw RequestRules.invalid("symbols", "Strings are wanted; see byte \(value.range.lowerBound).")
                }
                try checkSymbol(symbol, field: "symbols", emptyPasses: false)
                symbols.append(symbol)
            }
            return symbols
        case (nil, nil):
            throw RequestRules.invalid("symbols", "Name at least one symbol, or * for all.")
        case (.some, .some):
            throw RequestRules.invalid("symbols", "Give symbol or symbols, not both.")
        }
    }

    private static func checkSymbol(_ symbol: String, field: String, emptyPasses: Bool = true) throws(Refusal) {
        guard emptyPasses || !symbol.isEmpty else { throw RequestRules.invalid(field, "A symbol is empty.") }
        guard symbol.utf8.count <= symbolBytesMost else {
            throw RequestRules.invalid(
                field,
                "A symbol has \(symbol.utf8.count) bytes; at most \(symbolBytesMost) are allowed."
            )
        }
    }

    private static func number(_ value: JSONValue, _ key: String) throws(Refusal) -> UInt32 {
        try optional(value[key], key, "a whole number from 0 to \(UInt32.max)") { value in
            value.uint64.flatMap { UInt32(exactly: $0) }
        } ?? 0
    }

    /// Reads a value that may be absent but not wrong.
    private static func optional<Value>(
        _ value: JSONValue?,
        _ field: String,
        _ wanted: String,
        _ read: (JSONValue) -> Value?
    ) throws(Refusal) -> Value? {
        guard let value else { return nil }
        guard let result = read(value) else { throw RequestRules.invalid(field, "Wanted is \(wanted).") }
        return result
    }

    /// A client's word in a message to it: not more of it than a person reads.
    private static func shortened(_ word: String) -> String { word.utf8.count <= 40 ? word : word.prefix(20) + "…" }
}
