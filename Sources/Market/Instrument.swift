/// Names one instrument of one venue for the life of the process; dense, so that it can index an array.
public struct InstrumentID: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    /// The place of this instrument in an array kept per instrument.
    @inlinable public var index: Int { Int(rawValue) }
}

/// What can be traded under one name on one venue, and in which units its numbers are given.
public struct Instrument: Hashable, Sendable {
    public enum Kind: UInt8, Hashable, Sendable, CaseIterable {
        case spot = 1
        case perpetual = 2
        case future = 3
        case option = 4
        case index = 5
    }

    public var id: InstrumentID
    /// The venue's name as in Config, lower case: `kraken`.
    public var venue: String
    /// The hub's name of the thing traded: `BTC-USD`.
    public var symbol: String
    /// The venue's own name: `XBT/USD`.
    public var rawSymbol: String
    public var kind: Kind
    /// Decimals of a price, at most 18.
    ///
    /// A ``Price`` counts units of 10^-priceScale.
    public var priceScale: UInt8
    /// Decimals of a quantity, at most 18.
    ///
    /// A ``Quantity`` counts units of 10^-quantityScale.
    public var quantityScale: UInt8
    /// The smallest permitted price step, in price units; 1 where the venue does not say.
    public var tick: Int64
    /// The smallest permitted quantity step, in quantity units; 1 where the venue does not say.
    public var lot: Int64
    /// Whether the venue tells its orders one by one, so that they can be listened to.
    public var hasSingleOrders = false

    public init(
        id: InstrumentID,
        venue: String,
        symbol: String,
        rawSymbol: String,
        kind: Kind = .spot,
        priceScale: UInt8,
        quantityScale: UInt8,
        tick: Int64 = 1,
        lot: Int64 = 1
    ) {
        self.id = id
        self.venue = venue
        self.symbol = symbol
        self.rawSymbol = rawSymbol
        self.kind = kind
        self.priceScale = priceScale
        self.quantityScale = quantityScale
        self.tick = tick
        self.lot = lot
    }

    /// The name that means this instrument and no other: `BTC-USD@kraken`.
    public var qualifiedSymbol: String { symbol + "@" + venue }
}

/// All instruments the hub knows, found by id, by venue and raw symbol, or by the hub's names.
///
/// A value: threads exchange whole tables, each with a higher ``version``.
public struct InstrumentTable: Sendable {
    /// Why an instrument cannot enter the table; the table is unchanged.
    public enum Refusal: Error, Hashable {
        /// Two instruments of one venue may not share the hub's name.
        case symbolTaken(symbol: String, venue: String, rawSymbol: String, holder: String)
        case rawSymbolTaken(rawSymbol: String, venue: String)
    }

    /// By ``InstrumentID/index``.
    public private(set) var all: [Instrument] = []
    /// Rises with every change.
    public private(set) var version: UInt32 = 0

    private var byRawSymbol: [String: [String: InstrumentID]] = [:]
    private var byQualifiedSymbol: [String: InstrumentID] = [:]
    private var bySymbol: [String: [InstrumentID]] = [:]

    public init() {}

    public subscript(id: InstrumentID) -> Instrument { all[id.index] }

    /// Adds an instrument under the next id; the `id` given is ignored.
    public mutating func add(_ instrument: Instrument) throws(Refusal) -> InstrumentID {
        guard byRawSymbol[instrument.venue]?[instrument.rawSymbol] == nil else {
            throw .rawSymbolTaken(rawSymbol: instrument.rawSymbol, venue: instrument.venue)
        }
        if let holder = byQualifiedSymbol[instrument.qualifiedSymbol] {
            throw .symbolTaken(
                symbol: instrument.symbol,
                venue: instrument.venue,
                rawSymbol: instrument.rawSymbol,
                holder: self[holder].rawSymbol
            )
        }
        var added = instrument
        added.id = InstrumentID(UInt32(all.count))
        all.append(added)
        byRawSymbol[added.venue, default: [:]][added.rawSymbol] = added.id
        byQualifiedSymbol[added.qualifiedSymbol] = added.id
        bySymbol[added.symbol, default: []].append(added.id)
        version += 1
        return added.id
    }

    /// Gives a known instrument other units; its names and id stay, its steps are the same in the new units.
    ///
    /// A step of one unit stays one: where units become finer, a number was met that is finer than the step.
    public mutating func rescale(_ id: InstrumentID, priceScale: UInt8, quantityScale: UInt8) {
        let old = all[id.index]
        let tick = Decimal(digits: old.tick, scale: old.priceScale)
        let lot = Decimal(digits: old.lot, scale: old.quantityScale)
        all[id.index].tick = old.tick == 1 ? 1 : tick.units(atScale: priceScale) ?? 1
        all[id.index].lot = old.lot == 1 ? 1 : lot.units(atScale: quantityScale) ?? 1
        all[id.index].priceScale = priceScale
        all[id.index].quantityScale = quantityScale
        version += 1
    }

    public func count(ofVenue venue: String) -> Int { byRawSymbol[venue]?.count ?? 0 }

    public func id(venue: String, rawSymbol: String) -> InstrumentID? { byRawSymbol[venue]?[rawSymbol] }

    /// The instrument that `name` means: `BTC-USD@kraken`, or `BTC-USD` for the first venue that was added with it.
    public func id(named name: String) -> InstrumentID? { byQualifiedSymbol[name] ?? bySymbol[name]?.first }

    /// Those that a pattern means, in the order of their ids.
    ///
    /// `*` stands for any run of characters, in the symbol and in the venue after `@`; a pattern without `@` means the
    /// primary venue of every symbol that fits.
    public func ids(matching pattern: String) -> [InstrumentID] { ids(matching: pattern, among: all) }

    /// Those of some instruments of the table that a pattern means, in their order.
    public func ids(matching pattern: String, among instruments: some Collection<Instrument>) -> [InstrumentID] {
        let parts = pattern.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let symbol = Array(parts[0].utf8)
        let venue = parts.count > 1 ? Array(parts[1].utf8) : nil
        return instruments.compactMap { instrument in
            guard Self.fits(instrument.symbol, symbol) else { return nil }
            guard let venue else { return bySymbol[instrument.symbol]?.first == instrument.id ? instrument.id : nil }
            return Self.fits(instrument.venue, venue) ? instrument.id : nil
        }
    }

    private static func fits(_ text: String, _ pattern: [UInt8]) -> Bool {
        if let fits = text.utf8.withContiguousStorageIfAvailable({ fits($0, pattern) }) { return fits }
        return Array(text.utf8).withUnsafeBufferPointer { fits($0, pattern) }
    }

    /// Whether `text` fits `pattern`, in which `*` stands for any run of bytes, in O(text × stars).
    private static func fits(_ text: UnsafeBufferPointer<UInt8>, _ pattern: [UInt8]) -> Bool {
        var (at, star, mark, here) = (0, -1, 0, 0)
        while here < text.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                (star, mark) = (at, here)
                at += 1
            } else if at < pattern.count, pattern[at] == text[here] {
                at += 1
                here += 1
            } else if star >= 0 {
                mark += 1
                (at, here) = (star + 1, mark)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
