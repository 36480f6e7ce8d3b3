public import Market

/// Deribit's names and its list of instruments, `public/get_instruments`.
extension DeribitDialect {
    /// `BTC-PERPETUAL`, `BTC-24SEP21`, `BTC-24SEP21-8000-P`, `XRP_USDC-30JUN23-0d625-C`, `BTC_USDC`.
    ///
    /// What names one asset is in US dollars.
    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        guard let (terms, kind) = terms(ofRaw: rawSymbol) else { return VenueSymbol(rawSymbol) }
        return VenueSymbol(terms, kind)
    }

    private func terms(ofRaw rawSymbol: String) -> (terms: Instrument.Terms, kind: Instrument.Kind)? {
        let parts = rawSymbol.split(separator: "-", omittingEmptySubsequences: false)
        guard let assets = parts.first?.split(separator: "_", omittingEmptySubsequences: false),
            assets.count <= 2, assets.allSatisfy({ !$0.isEmpty })
        else { return nil }
        var terms = Instrument.Terms()
        terms.base = VenueSymbol.commonAsset(assets[0])
        terms.quote = assets.count == 2 ? VenueSymbol.commonAsset(assets[1]) : "USD"
        if parts.count == 1 { return assets.count == 2 ? (terms, .spot) : nil }
        if parts.count == 2, parts[1] == "PERPETUAL" { return (terms, .perpetual) }
        guard let date = date(parts[1]) else { return nil }
        terms.expiryNs = date.startNs
        if parts.count == 2 { return (terms, .future) }
        guard parts.count == 4, parts[3] == "C" || parts[3] == "P",
            let strike = Decimal(String(parts[2].replacing("d", with: ".")))
        else { return nil }
        terms.strike = strike
        terms.right = parts[3] == "C" ? .call : .put
        return (terms, .option)
    }

    /// `24SEP21`, `3JAN25`.
    private func date(_ text: Substring) -> CalendarDate? {
        guard text.count == 6 || text.count == 7, let year = Int(text.suffix(2)), let day = Int(text.dropLast(5)),
            let month = CalendarDate.month(named: text.dropLast(2).suffix(3))
        else { return nil }
        return CalendarDate(year: 2_000 + year, month: month, day: day)
    }

    private struct Entry {
        var (id, kind, base, counter, settlement) = (none, none, none, none, none)
        var (period, tick, amount, type) = (none, none, none, none)
        var (expiry, strike, right) = (none, none, none)
        private static let none = FrameValue.none
    }

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let text = scanner.text
        var entry = Entry()
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("instrument_name", in: text) { entry.id = value }
            if key.equals("kind", in: text) { entry.kind = value }
            if key.equals("base_currency", in: text) { entry.base = value }
            if key.equals("counter_currency", in: text) { entry.counter = value }
            if key.equals("settlement_currency", in: text) { entry.settlement = value }
            if key.equals("settlement_period", in: text) { entry.period = value }
            if key.equals("instrument_type", in: text) { entry.type = value }
            if key.equals("tick_size", in: text) { entry.tick = value }
            if key.equals("min_trade_amount", in: text) { entry.amount = value }
            if key.equals("expiration_timestamp", in: text) { entry.expiry = value }
            if key.equals("strike", in: text) { entry.strike = value }
            if key.equals("option_type", in: text) { entry.right = value }
            isMore = try scanner.nextMember()
        }
        guard entry.id.isString(in: text), let kind = kind(entry, text) else { return nil }
        return Instrument(
            venue: venue,
            rawSymbol: entry.id.string(in: text),
            kind: kind,
            terms: try terms(entry, kind, scanner),
            tick: try scanner.number(in: entry.tick, named: "tick_size"),
            lot: try scanner.number(in: entry.amount, named: "min_trade_amount")
        )
    }

    /// Nil for combinations of instruments.
    private func kind(_ entry: Entry, _ text: UnsafeRawBufferPointer) -> Instrument.Kind? {
        if entry.kind.equals("option", in: text) { return .option }
        if entry.kind.equals("spot", in: text) { return .spot }
        guard entry.kind.equals("future", in: text) else { return nil }
        return entry.period.equals("perpetual", in: text) ? .perpetual : .future
    }

    private func terms(
        _ entry: Entry,
        _ kind: Instrument.Kind,
        _ scanner: JSONScanner
    ) throws(FrameFault) -> Instrument.Terms {
        let text = scanner.text
        let named = self.terms(ofRaw: entry.id.string(in: text))?.terms
        var terms = Instrument.Terms()
        terms.base = VenueSymbol.commonAsset(entry.base.string(in: text))
        // An option's `quote_currency` is what its price is in; the strike is in the counter currency, as the name has it.
        terms.quote =
            entry.counter.isString(in: text)
            ? VenueSymbol.commonAsset(entry.counter.string(in: text)) : named?.quote ?? "USD"
        let isReversed = entry.type.isPresent ? entry.type.equals("reversed", in: text) : terms.quote == "USD"
        terms.settle =
            entry.settlement.isString(in: text)
            ? VenueSymbol.commonAsset(entry.settlement.string(in: text)) : isReversed ? terms.base : terms.quote
        if isReversed, kind == .perpetual || kind == .future {
            terms.isInverse = true
            // Amounts are dollars, not the contracts of ten or one that `contract_size` tells of.
            terms.contractSize = Decimal(digits: 1, scale: 0)
        }
        guard kind == .future || kind == .option else { return terms }
        guard entry.expiry.isPresent else { throw .missing(field: "expiration_timestamp") }
        terms.expiryNs = try scanner.millisecondsNs(in: entry.expiry)
        guard kind == .option else { return terms }
        let strike = try scanner.number(in: entry.strike, named: "strike")
        terms.strike = Decimal(digits: strike.digits, scale: strike.scale)
        terms.right = entry.right.equals("call", in: text) ? .call : .put
        guard terms.right == .call || entry.right.equals("put", in: text) else { throw .wrong(field: "option_type") }
        return terms
    }
}
