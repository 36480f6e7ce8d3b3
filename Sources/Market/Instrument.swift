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

        /// As clients and feeds of one's own write it.
        public var name: String {
            switch self {
            case .spot: "spot"
            case .perpetual: "perpetual"
            case .future: "future"
            case .option: "option"
            case .index: "index"
            }
        }
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
    /// What it is made of, as far as the venue's list tells.
    public var terms = Terms()
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

    /// What is traded, in what it is paid, and how a contract is counted and ends; empty and nil where nobody told.
    public struct Terms: Hashable, Sendable {
        public var base = ""
        public var quote = ""
        /// The asset that profit and loss are paid in.
        public var settle = ""
        /// How much one contract is: of the base, or of the quote when ``isInverse``; nil where quantities are in the base.
        public var contractSize: Decimal?
        /// Priced in the quote and paid in the base: a contract is worth contractSize / price of the base.
        public var isInverse = false
        /// When it ends, nanoseconds since 1970 UTC; 0 for never.
        public var expiryNs: Int64 = 0
        public var strike: Decimal?
        public var right: OptionRight?

        public init() {}
    }

    public enum OptionRight: UInt8, Hashable, Sendable {
        case call = 1
        case put = 2
    }

    /// The name that means this instrument and no other: `BTC-USD@kraken`.
    public var qualifiedSymbol: String { symbol + "@" + venue }
}

/// All instruments the hub knows, found by id, by venue and raw symbol, or by the hub's names.
///
/// A value: threads exchange whole tables, each with a higher ``version``.
public struct InstrumentTable: Sendable {
    /// Why an instrument cannot enter the table; the table is unchanged.
    public enum Refusal: Error, Hashable, CustomStringConvertible {
        /// Two instruments of one venue may not share a name, neither the hub's nor one's with the venue's of the other.
        ///
        /// `rawSymbol` and `holder` are the venue's names of the refused one and of the one that has the name.
        case symbolTaken(symbol: String, venue: String, rawSymbol: String, holder: String)
        /// The venue's name is there already; `symbol` and `holder` are the hub's names of the refused one and of that one.
        case rawSymbolTaken(rawSymbol: String, venue: String, symbol: String, holder: String)

        public var description: String {
            switch self {
            case .symbolTaken(let symbol, let venue, let rawSymbol, let holder):
                "\(rawSymbol) of \(venue) cannot be called \(symbol): \(holder) is"
            case .rawSymbolTaken(let rawSymbol, let venue, let symbol, let holder):
                "\(rawSymbol) of \(venue) cannot be \(symbol): it is \(holder) already"
            }
        }
    }

    /// By ``InstrumentID/index``.
    public private(set) var all: [Instrument] = []
    /// Decimals that an instrument is to have at least, by qualified symbol, where they would be inferred from its first numbers:
    /// what is known of it from before is in units as fine as that.
    public var leastScales: [String: (price: UInt8, quantity: UInt8)] = [:]
    /// Rises with every change.
    public private(set) var version: UInt32 = 0
    /// Those that a process before this one knew, until a source names them.
    private var inherited: Set<InstrumentID> = []

    private var byRawSymbol: [String: [String: InstrumentID]] = [:]
    private var byQualifiedSymbol: [String: InstrumentID] = [:]
    private var bySymbol: [String: [InstrumentID]] = [:]
    private var byRawName: [String: [InstrumentID]] = [:]

    public init() {}

    public subscript(id: InstrumentID) -> Instrument { all[id.index] }

    /// Adds an instrument under the next id; the `id` given is ignored.
    ///
    /// One that was inherited is named so: it has its id already.
    public mutating func add(_ instrument: Instrument) throws(Refusal) -> InstrumentID {
        let raw = byRawSymbol[instrument.venue] ?? [:]
        if let holder = raw[instrument.rawSymbol] {
            if inherited.contains(holder), self[holder].symbol == instrument.symbol {
                let (price, quantity) = (instrument.priceScale, instrument.quantityScale)
                if self[holder].priceScale != price || self[holder].quantityScale != quantity {
                    rescale(holder, priceScale: price, quantityScale: quantity)
                }
                name(holder, as: instrument)
                return holder
            }
            throw .rawSymbolTaken(
                rawSymbol: instrument.rawSymbol,
                venue: instrument.venue,
                symbol: instrument.symbol,
                holder: self[holder].symbol
            )
        }
        // Both find an instrument, so one's name may not be the other name of another.
        let rawName = instrument.rawSymbol + "@" + instrument.venue
        for (symbol, holder) in [
            (instrument.symbol, byQualifiedSymbol[instrument.qualifiedSymbol] ?? raw[instrument.symbol]),
            (instrument.rawSymbol, byQualifiedSymbol[rawName]),
        ] {
            guard let holder else { continue }
            throw .symbolTaken(
                symbol: symbol,
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
        byRawName[added.rawSymbol, default: []].append(added.id)
        version += 1
        return added.id
    }

    /// Adds an instrument that a process before this one knew, under the id that it had there: in the same order.
    public mutating func inherit(_ instrument: Instrument) throws(Refusal) -> InstrumentID {
        let id = try add(instrument)
        inherited.insert(id)
        let known = leastScales[instrument.qualifiedSymbol] ?? (0, 0)
        leastScales[instrument.qualifiedSymbol] = (
            max(known.price, instrument.priceScale), max(known.quantity, instrument.quantityScale)
        )
        return id
    }

    /// Whether an instrument is known from a process before this one alone: no source has named it.
    public func isInherited(_ id: InstrumentID) -> Bool { inherited.contains(id) }

    /// Takes over what a source says of an inherited instrument, but for its units.
    public mutating func name(_ id: InstrumentID, as instrument: Instrument) {
        guard inherited.remove(id) != nil else { return }
        all[id.index].kind = instrument.kind
        all[id.index].terms = instrument.terms
        all[id.index].hasSingleOrders = instrument.hasSingleOrders
        if all[id.index].priceScale == instrument.priceScale { all[id.index].tick = instrument.tick }
        if all[id.index].quantityScale == instrument.quantityScale { all[id.index].lot = instrument.lot }
        version += 1
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

    /// The instrument that `name` means.
    ///
    /// The hub's names come first: `BTC-USD@kraken`, or `BTC-USD` for the first venue that was added with it. Then the
    /// venues': `XBT/USD@kraken`, or `XBT/USD` where no other venue calls something so.
    public func id(named name: String) -> InstrumentID? {
        if let id = byQualifiedSymbol[name] ?? bySymbol[name]?.first { return id }
        if let sharing = byRawName[name], sharing.count == 1 { return sharing[0] }
        guard let at = name.lastIndex(of: "@") else { return nil }
        return byRawSymbol[String(name[name.index(after: at)...])]?[String(name[..<at])]
    }

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
