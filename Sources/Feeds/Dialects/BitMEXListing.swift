public import Market

/// BitMEX's names of instruments, and its list of them (`GET /api/v1/instrument/active`).
extension BitMEXDialect {
    /// Quote currencies, longer ones first where one ends with another.
    private static let quotes = ["USDT", "USDC", "USD", "EUR", "XBT", "ETH"]

    /// `XBTUSD` and `ETHUSDT` are perpetual, `XBT_USDT` is spot, `.BXBT` an index, `XBTU21` and `ETHUSDTZ25` end on the last
    /// Friday of September 2021 and of December 2025.
    ///
    /// A dated contract that names no quote is paid in USD when it is bitcoin's, in bitcoin otherwise.
    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        if rawSymbol.hasPrefix(".") { return VenueSymbol(rawSymbol, .index) }
        var terms = Instrument.Terms()
        let parts = rawSymbol.split(separator: "_", omittingEmptySubsequences: false)
        if parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty {
            terms.base = VenueSymbol.commonAsset(parts[0])
            terms.quote = VenueSymbol.commonAsset(parts[1])
            return VenueSymbol(terms, .spot)
        }
        let dated = dated(rawSymbol)
        let name = dated?.name ?? rawSymbol[...]
        if let quote = Self.quotes.first(where: { name.hasSuffix($0) && name.count > $0.count }) {
            terms.base = VenueSymbol.commonAsset(name.dropLast(quote.count))
            terms.quote = VenueSymbol.commonAsset(quote)
        } else if dated != nil {
            terms.base = VenueSymbol.commonAsset(name)
            terms.quote = terms.base == "BTC" ? "USD" : "BTC"
        } else {
            return VenueSymbol(rawSymbol, .perpetual)
        }
        terms.expiryNs = dated?.date.startNs ?? 0
        return VenueSymbol(terms, dated == nil ? .perpetual : .future)
    }

    /// The name before a month's letter and two digits of a year, and the day that they mean.
    private func dated(_ rawSymbol: String) -> (name: Substring, date: CalendarDate)? {
        let digits = rawSymbol.suffix(2)
        guard rawSymbol.utf8.count > 3, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let year = Int(digits),
            let month = rawSymbol.dropLast(2).last.flatMap(CalendarDate.month(ofLetter:)),
            let date = CalendarDate.lastFriday(year: 2_000 + year, month: month)
        else { return nil }
        return (rawSymbol.dropLast(3), date)
    }

    /// The values of an entry.
    private struct Entry {
        var (symbol, type, underlying, quote, settle, expiry) = (none, none, none, none, none, none)
        var (tick, lot, strike, multiplier, perUnit, isInverse, isQuanto) = (none, none, none, none, none, none, none)
        private static let none = FrameValue.none

        mutating func take(_ key: FrameValue, _ value: FrameValue, in text: UnsafeRawBufferPointer) {
            if value.isWord("null", in: text) { return }
            if key.equals("symbol", in: text) { symbol = value }
            if key.equals("typ", in: text) { type = value }
            if key.equals("underlying", in: text) { underlying = value }
            if key.equals("quoteCurrency", in: text) { quote = value }
            if key.equals("settlCurrency", in: text) { settle = value }
            if key.equals("expiry", in: text) { expiry = value }
            if key.equals("tickSize", in: text) { tick = value }
            if key.equals("lotSize", in: text) { lot = value }
            if key.equals("optionStrikePrice", in: text) { strike = value }
            if key.equals("multiplier", in: text) { multiplier = value }
            if key.equals("underlyingToPositionMultiplier", in: text) { perUnit = value }
            if key.equals("isInverse", in: text) { isInverse = value }
            if key.equals("isQuanto", in: text) { isQuanto = value }
        }
    }

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let text = scanner.text
        var entry = Entry()
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            entry.take(key, try scanner.value(), in: text)
            isMore = try scanner.nextMember()
        }
        guard entry.symbol.isString(in: text), entry.tick.isPresent, entry.underlying.isString(in: text),
            entry.quote.isString(in: text), let kind = kind(ofType: entry.type.string(in: text))
        else { return nil }
        var terms = Instrument.Terms()
        terms.base = VenueSymbol.commonAsset(entry.underlying.string(in: text))
        terms.quote = VenueSymbol.commonAsset(entry.quote.string(in: text))
        guard !terms.base.isEmpty, !terms.quote.isEmpty else { return nil }
        terms.settle = VenueSymbol.commonAsset(entry.settle.string(in: text))
        terms.isInverse = entry.isInverse.isWord("true", in: text)
        terms.contractSize = try contractSize(entry, scanner)
        if kind == .future || kind == .option {
            guard entry.expiry.isPresent else { return nil }
            terms.expiryNs = try JSONScanner.isoTimeNs(entry.expiry, in: text)
        }
        if kind == .option {
            guard entry.strike.isPresent else { return nil }
            let strike = try scanner.number(in: entry.strike, named: "optionStrikePrice")
            terms.strike = Decimal(digits: strike.digits, scale: strike.scale)
            terms.right = entry.type.string(in: text).hasPrefix("OP") ? .put : .call
        }
        let lot = VenueNumber(digits: 1, scale: 0, written: 0)
        return Instrument(
            venue: venue,
            rawSymbol: entry.symbol.string(in: text),
            kind: kind,
            terms: terms,
            tick: try scanner.quantity(in: entry.tick, named: "tickSize"),
            lot: entry.lot.isPresent ? try scanner.quantity(in: entry.lot, named: "lotSize") : lot
        )
    }

    /// By the classification of the venue's page on instruments; nil for what has no book.
    private func kind(ofType type: String) -> Instrument.Kind? {
        if type == "IFXXXP" { return .spot }
        if type.hasPrefix("FFW") { return .perpetual }
        if type.hasPrefix("FFC") { return .future }
        if type.hasPrefix("OC") || type.hasPrefix("OP") { return .option }
        return nil
    }

    /// What one contract is.
    ///
    /// A linear contract is a part of the underlying. An inverse one is worth `multiplier` satoshis at a price of 1, a quanto
    /// one pays `multiplier` satoshis for each unit of the quote.
    private func contractSize(_ entry: Entry, _ scanner: JSONScanner) throws(FrameFault) -> Decimal? {
        let isInverse = entry.isInverse.isWord("true", in: scanner.text)
        if isInverse || entry.isQuanto.isWord("true", in: scanner.text) {
            guard entry.multiplier.isPresent else { return nil }
            let multiplier = try scanner.number(in: entry.multiplier, named: "multiplier")
            guard multiplier.scale <= 10, multiplier.digits != .min else { return nil }
            var (digits, scale) = (abs(multiplier.digits), multiplier.scale + 8)
            while scale > 0, digits % 10 == 0 { (digits, scale) = (digits / 10, scale - 1) }
            return Decimal(digits: digits, scale: scale)
        }
        guard entry.perUnit.isPresent else { return nil }
        let perUnit = try scanner.unsigned(in: entry.perUnit, named: "underlyingToPositionMultiplier")
        // A power of ten in all of the venue's instruments.
        var (rest, scale) = (perUnit, UInt8(0))
        while rest > 1, rest % 10 == 0, scale < 18 { (rest, scale) = (rest / 10, scale + 1) }
        return rest == 1 ? Decimal(digits: 1, scale: scale) : nil
    }
}
