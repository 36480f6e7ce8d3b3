public import Market

/// Binance's names and its lists of instruments, `exchangeInfo`.
extension BinanceDialect {
    /// Quote currencies, longer ones first where one ends with another.
    private static let quotes = [
        "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "BIDR", "IDRT", "BVND", "DAI", "PAX", "USDS", "USD1", "BKRW",
        "USD", "EUR", "GBP", "TRY", "BRL", "AUD", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "CZK", "JPY", "MXN",
        "COP", "IDR", "BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL", "VAI",
    ]

    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        let parts = rawSymbol.split(separator: "_", maxSplits: 1)
        guard let name = parts.first else { return VenueSymbol(rawSymbol) }
        let quote = Self.quotes.first { name.hasSuffix($0) && name.count > $0.count }
        let pair = quote.map { name.dropLast($0.count) + "-" + $0 } ?? String(name)
        guard market != .spot else { return VenueSymbol(String(pair)) }
        // COIN-M says it, `BTCUSD_PERP`; USD-M does not.
        guard parts.count > 1, parts[1] != "PERP" else { return VenueSymbol(pair + "-PERP", .perpetual) }
        // A delivery date as YYMMDD.
        return VenueSymbol(pair + "-20" + parts[1], .future)
    }

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let text = scanner.text
        let none = FrameValue.none
        var (id, base, quote, contract, filters) = (none, none, none, none, none)
        var (margin, delivery, size) = (none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { id = value }
            if key.equals("baseAsset", in: text) { base = value }
            if key.equals("quoteAsset", in: text) { quote = value }
            if key.equals("contractType", in: text) { contract = value }
            if key.equals("filters", in: text) { filters = value }
            if key.equals("marginAsset", in: text) { margin = value }
            if key.equals("deliveryDate", in: text) { delivery = value }
            if key.equals("contractSize", in: text) { size = value }
            isMore = try scanner.nextMember()
        }
        guard id.isString(in: text), base.isString(in: text), quote.isString(in: text), filters.isPresent,
            let steps = try steps(in: filters, text)
        else { return nil }
        let rawSymbol = id.string(in: text)
        var terms = Instrument.Terms()
        (terms.base, terms.quote) = (base.string(in: text), quote.string(in: text))
        terms.settle = margin.isPresent ? margin.string(in: text) : terms.quote
        let pair = terms.base + "-" + terms.quote
        let symbol: VenueSymbol
        if market == .spot {
            symbol = VenueSymbol(pair)
        } else if contract.equals("PERPETUAL", in: text) {
            symbol = VenueSymbol(pair + "-PERP", .perpetual)
        } else {
            symbol = VenueSymbol(pair + "-20" + (rawSymbol.split(separator: "_").dropFirst().first ?? "0"), .future)
            terms.expiryNs = try scanner.millisecondsNs(in: delivery)
        }
        if market == .coinMargined {
            let contractSize = try scanner.number(in: size, named: "contractSize")
            terms.contractSize = Decimal(digits: contractSize.digits, scale: contractSize.scale)
            terms.isInverse = true
        }
        var instrument = Instrument(
            venue: venue,
            rawSymbol: rawSymbol,
            symbol: symbol,
            tick: steps.tick,
            lot: steps.lot
        )
        instrument.terms = terms
        return instrument
    }

    /// `tickSize` and `stepSize` of an entry's filters.
    private func steps(
        in filters: FrameValue,
        _ text: UnsafeRawBufferPointer
    ) throws(FrameFault) -> (tick: VenueNumber, lot: VenueNumber)? {
        var scanner = JSONScanner(text, at: filters)
        var (tick, lot): (VenueNumber?, VenueNumber?)
        var isMore = try scanner.beginArray()
        while isMore {
            var (type, tickSize, stepSize) = (FrameValue.none, FrameValue.none, FrameValue.none)
            var isMoreFields = try scanner.beginObject()
            while isMoreFields {
                let key = try scanner.key()
                let value = try scanner.value()
                if key.equals("filterType", in: text) { type = value }
                if key.equals("tickSize", in: text) { tickSize = value }
                if key.equals("stepSize", in: text) { stepSize = value }
                isMoreFields = try scanner.nextMember()
            }
            if type.equals("PRICE_FILTER", in: text) { tick = try scanner.number(in: tickSize, named: "tickSize") }
            if type.equals("LOT_SIZE", in: text) { lot = try scanner.number(in: stepSize, named: "stepSize") }
            isMore = try scanner.nextElement()
        }
        guard let tick, let lot else { return nil }
        return (tick, lot)
    }
}
