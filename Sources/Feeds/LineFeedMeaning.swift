import Market

/// A price and a quantity as a line gives them.
struct LineFeedAmount {
    var price: Decimal
    var quantity: Decimal
    var priceKey: LineFeedKey
    var quantityKey: LineFeedKey
}

/// The decimals of an instrument's prices and quantities.
struct LineFeedScales: Equatable {
    var price: UInt8 = 0
    var quantity: UInt8 = 0

    /// Those of an instrument that is named for the first time, before its first number.
    init(ofNew instrument: FeedIdentity, in table: InstrumentTable) {
        guard !table.leastScales.isEmpty,
            let least = table.leastScales["\(instrument.symbol)@\(instrument.venue)"]
        else { return }
        price = min(least.price, LineFeed.scaleMost)
        quantity = min(least.quantity, LineFeed.scaleMost)
    }

    init() {}

    init(price: UInt8, quantity: UInt8) {
        self.price = price
        self.quantity = quantity
    }

    init(of id: InstrumentID, in table: InstrumentTable) {
        price = table.all[id.index].priceScale
        quantity = table.all[id.index].quantityScale
    }

    /// Takes in the decimals of a line: as written for a new instrument, those that are not zero for a known one.
    mutating func widen(for amount: LineFeedAmount, isNew: Bool) throws(LineFeedError) {
        if isNew || amount.price.scale > price {
            price = try Self.widened(price, for: amount.price, isNew, amount.priceKey)
        }
        if isNew || amount.quantity.scale > quantity {
            quantity = try Self.widened(quantity, for: amount.quantity, isNew, amount.quantityKey)
        }
    }

    private static func widened(
        _ scale: UInt8,
        for number: Decimal,
        _ isNew: Bool,
        _ key: LineFeedKey
    ) throws(LineFeedError) -> UInt8 {
        if !isNew, number.units(atScale: scale) != nil { return scale }
        var exact = number
        while !isNew, exact.scale > scale, exact.digits % 10 == 0 {
            exact.digits /= 10
            exact.scale -= 1
        }
        let wanted = max(scale, exact.scale)
        // A thousand times as much must fit as well, or one number with many decimals would shut the later ones out.
        guard wanted <= LineFeed.scaleMost, let units = number.units(atScale: wanted), units <= .max / 1_000 else {
            throw .tooManyDecimals(key)
        }
        return wanted
    }

    /// The amount in these units, which are fine enough for it; no price where there is no quantity.
    func level(_ amount: LineFeedAmount?) throws(LineFeedError) -> Level {
        guard let amount, amount.quantity.digits > 0 else { return Quote.none.bid }
        guard let ticks = amount.price.units(atScale: price) else { throw .tooLarge(amount.priceKey) }
        guard let lots = amount.quantity.units(atScale: quantity) else { throw .tooLarge(amount.quantityKey) }
        return Level(price: Price(ticks: ticks), quantity: Quantity(lots: lots))
    }
}

/// What the values of a line mean, each by itself.
extension LineFeedSyntax {
    enum Kind {
        case trade
        case quote
        case snapshot
        case delta
        case instrument
        case status
        case hello
        case heartbeat
        case error
    }

    func kind() throws(LineFeedError) -> Kind {
        guard let kind = try kindIfAny() else { throw .missing(.type) }
        return kind
    }

    func kindIfAny() throws(LineFeedError) -> Kind? {
        try text(
            .type,
            { Self.equals($0, "trade") ? Kind.trade : Self.equals($0, "quote") ? .quote : Self.rarerKind($0) }
        )
    }

    private static func rarerKind(_ name: UnsafeRawBufferPointer) -> Kind? {
        if equals(name, "delta") { return .delta }
        if equals(name, "snapshot") { return .snapshot }
        if equals(name, "heartbeat") { return .heartbeat }
        if equals(name, "instrument") { return .instrument }
        if equals(name, "status") { return .status }
        if equals(name, "hello") { return .hello }
        return equals(name, "error") ? .error : nil
    }

    func symbol() throws(LineFeedError) -> LineFeedSymbols.Symbol {
        guard let symbol = try text(.symbol, { LineFeedSymbols.Symbol($0) }) else { throw .missing(.symbol) }
        return symbol
    }

    func aggressor() throws(LineFeedError) -> Aggressor {
        try text(.side) { Self.equals($0, "buy") ? .buyer : Self.equals($0, "sell") ? .seller : nil } ?? .unknown
    }

    /// The id as it is written, or no id.
    func tradeID() throws(LineFeedError) -> TradeID {
        guard self[.id].kind == .number else {
            return try text(.id) { $0.contains { $0 < 0x20 || $0 == 0x7F } ? nil : TradeID($0) } ?? TradeID()
        }
        guard let id = TradeID(bytes(of: self[.id])) else { throw .malformed(.id) }
        return id
    }

    func time(atMost latestNs: Int64) throws(LineFeedError) -> Int64? {
        guard let decimal = try decimal(.time) else { return nil }
        guard let timeNs = decimal.units(atScale: 0), timeNs > 0 else { throw .malformed(.time) }
        guard timeNs <= latestNs else { throw .fromTheFuture }
        return timeNs
    }

    /// Nil when neither is there; one alone is an error.
    func amount(_ priceKey: LineFeedKey, _ quantityKey: LineFeedKey) throws(LineFeedError) -> LineFeedAmount? {
        switch (try decimal(priceKey), try decimal(quantityKey)) {
        case (nil, nil):
            return nil
        case (nil, _):
            throw .missing(priceKey)
        case (_, nil):
            throw .missing(quantityKey)
        case (let price?, let quantity?):
            guard price.digits > 0 else { throw .notPositive(priceKey) }
            guard quantity.digits >= 0 else { throw .notPositive(quantityKey) }
            return LineFeedAmount(price: price, quantity: quantity, priceKey: priceKey, quantityKey: quantityKey)
        }
    }

    /// A number, or one as text.
    func decimal(_ key: LineFeedKey) throws(LineFeedError) -> Decimal? {
        guard self[key].kind == .number else { return try text(key) { Decimal($0) } }
        guard let decimal = Decimal(bytes(of: self[key])) else { throw .malformed(key) }
        return decimal
    }

    /// A whole number of zero or more, up to `most`; nil when it is not there.
    func whole(_ key: LineFeedKey, most: UInt64) throws(LineFeedError) -> UInt64? {
        let read: (UnsafeRawBufferPointer) -> UInt64? = { digits in
            guard (1...20).contains(digits.count), digits.count == 1 || digits[0] != UInt8(ascii: "0") else {
                return nil
            }
            var total: UInt64 = 0
            for byte in digits {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                let (tenfold, overflow) = total.multipliedReportingOverflow(by: 10)
                let (sum, carried) = tenfold.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
                guard !overflow, !carried else { return nil }
                total = sum
            }
            return total <= most ? total : nil
        }
        guard self[key].kind == .number else { return try text(key, read) }
        guard let number = read(bytes(of: self[key])) else { throw .malformed(key) }
        return number
    }

    /// What `read` makes of the text; nil when the key is absent, an error when it is no text or `read` refuses it.
    func text<Meaning>(
        _ key: LineFeedKey,
        _ read: (UnsafeRawBufferPointer) -> Meaning?
    ) throws(LineFeedError) -> Meaning? {
        let value = self[key]
        let meaning: Meaning?
        switch value.kind {
        case .absent: return nil
        case .text: meaning = read(bytes(of: value))
        case .escapedText: meaning = Self.unescaped(bytes(of: value)).withUnsafeBytes(read)
        case .number, .list, .other: throw .malformed(key)
        }
        guard let meaning else { throw .malformed(key) }
        return meaning
    }
}
