public import Market

/// FIX market data: `35=W` and `35=X` of FIX 4.2 to 5.0, over any session, FIXT.1.1 among them.
///
/// A frame is one message with its header and trailer. Losses show in ApplSeqNum (1181) within each ApplID (1180); what a
/// session makes of MsgSeqNum (34) is ``FIXSession``'s matter.
public struct FIXMarketDataDialect: VenueDialect {
    public let venue: String
    public let rules: VenueRules
    /// What bids and offers are known by.
    public var keying: Keying
    /// Levels of a side that are subscribed to; nil for all.
    public var depth: Int?
    /// Whether books can be asked for; where not, only a new session brings them again.
    public var takesRequests = true

    public enum Keying: String, CaseIterable, Sendable, BitwiseCopyable {
        /// By MDEntryID (278) where an entry has one, by MDPriceLevel (1023) or MDEntryPositionNo (290) where all of an
        /// instrument's entries in an incremental message have one, by price otherwise.
        case automatic
        case price
        case entryID
    }

    /// What the venue of a FIX server is called that has no name of its own.
    public static let venue = "fix"

    /// Whether a venue is one that speaks FIX: `fix`, or `fix-` and small letters, digits and hyphens.
    public static func isVenue(_ name: String) -> Bool {
        guard name != venue else { return true }
        guard name.hasPrefix("\(venue)-"), name.utf8.count <= 32 else { return false }
        let rest = name.utf8.dropFirst(venue.utf8.count + 1)
        return !rest.isEmpty
            && rest.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    public init(venue: String = Self.venue, keying: Keying = .automatic, depth: Int? = nil) {
        self.venue = venue
        self.keying = keying
        self.depth = depth
        // A session asks for a heartbeat at least once in 30 s.
        var rules = VenueRules(book: .inStream, silenceMostNs: 60_000_000_000)
        rules.namesAreBare = true
        rules.tradesAreNumbered = true
        self.rules = rules
    }

    /// When a message was sent by its header (52), nanoseconds since 1970; nil when it does not say.
    public static func sendingNs(of message: UnsafeRawBufferPointer) -> Int64? {
        guard var scanner = try? FIXScanner(message) else { return nil }
        while let field = try? scanner.next() {
            if field.tag == 52 { return try? FIXScanner.timestampNs(field.value, in: message) }
        }
        return nil
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = try FIXScanner(text)
        guard let first = try scanner.next(), first.tag == 35 else { throw .missing(field: "MsgType") }
        let type = first.value
        var message = FIXMessage(type: type, text: text, dialect: self)
        if type.isWord("W", in: text) || type.isWord("X", in: text) {
            message.isSnapshot = type.isWord("W", in: text)
            while let field = try scanner.next() { try message.takeEntryField(field, &frame) }
            try message.finish(&frame)
        } else {
            while let field = try scanner.next() { try message.takeHeader(field) }
            try addOther(message, &frame)
        }
        guard message.sequence.isPresent else { return }
        frame.number = try FIXScanner.unsigned(message.sequence, in: text, named: "ApplSeqNum")
        frame.numbered = message.application
    }

    /// Messages that bring no prices.
    private func addOther(_ message: FIXMessage, _ frame: inout VenueFrame) throws(FrameFault) {
        let (type, text) = (message.type, message.text)
        if type.isWord("0", in: text) || type.isWord("1", in: text) {
            frame.messages.append(.heartbeat)
        } else if type.isWord("Y", in: text) || type.isWord("3", in: text) || type.isWord("j", in: text) {
            frame.messages.append(.refusal(message.reason.isPresent ? message.reason : type))
        } else if type.isWord("f", in: text) {
            guard message.named.isPresent else { throw .missing(field: "Symbol") }
            guard message.tradingStatus.isPresent else { return frame.messages.append(.other) }
            switch try FIXScanner.count(message.tradingStatus, in: text, named: "SecurityTradingStatus") {
            // Opening delay, trading halt, no open and no resume, not available, post-close.
            case 1, 2, 4, 18, 26: frame.messages.append(.trading(message.named, isHalted: true))
            // Resume, ready to trade, opening rotation, fast market.
            case 3, 17, 22, 23: frame.messages.append(.trading(message.named, isHalted: false))
            default: frame.messages.append(.other)
            }
        } else if type.isWord("BY", in: text), message.reportType.isWord("0", in: text) {
            // The counts of all applications begin anew, and with them everything that goes by them.
            frame.messages.append(.reconnectRequest)
        } else if Self.others.contains(type.string(in: text)) {
            frame.messages.append(.other)
        } else {
            throw .unknownMessage
        }
    }

    /// Of the session, and what goes with market data: instruments, lists, trading sessions, news, requests.
    private static let others: Set = [
        "2", "4", "5", "A", "B", "c", "d", "e", "g", "h", "n", "v", "w", "x", "y", "z", "V", "BI", "BJ", "BK", "BU",
        "BV",
        "BW", "BX", "BY", "BP", "BR", "BS", "BT", "CB", "CO", "CP",
    ]

    // MARK: What we send

    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol { VenueSymbol(rawSymbol) }

    /// None: a session needs an address and names of its own, see ``FIXSession``.
    public func url(for subscription: VenueSubscription) -> String { "" }

    /// The bodies of a market data request for each instrument; the session puts header and trailer around them.
    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        var types: [String] = []
        if subscription.channels.contains(.book) || subscription.channels.contains(.quotes) { types += ["0", "1"] }
        if subscription.channels.contains(.trades) { types += ["2", "3"] }
        types += subscription.ownChannels
        return subscription.rawSymbols.map { request($0, "1", types) }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        guard takesRequests else { return [] }
        return [request(rawSymbol, "2", ["0", "1"]), request(rawSymbol, "1", ["0", "1"])]
    }

    private func request(_ rawSymbol: String, _ kind: String, _ types: [String]) -> String {
        var fields = ["35=V", "262=\(rawSymbol)", "263=\(kind)", "264=\(depth ?? 0)", "265=1"]
        fields += ["267=\(types.count)"] + types.map { "269=\($0)" }
        fields += ["146=1", "55=\(rawSymbol)"]
        return fields.map { $0 + "\u{1}" }.joined()
    }

    // MARK: Instruments

    /// None: a FIX venue lists its instruments in messages, not in JSON.
    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        try scanner.skip()
        return nil
    }
}
