public import Market

/// The names of Coinbase Advanced Trade: `BTC-USD`, `BTC-PERP-INTX`, `BIT-28JUL23-CDE`.
extension CoinbaseAdvancedDialect {
    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        let words = rawSymbol.split(separator: "-", omittingEmptySubsequences: false)
        guard words.count == 3 else { return VenueSymbol(rawSymbol) }
        // Perpetual contracts of the international exchange are quoted and paid in USDC.
        guard words[1] == "PERP", words[2] == "INTX", !words[0].isEmpty else { return VenueSymbol(rawSymbol, .future) }
        var terms = Instrument.Terms()
        (terms.base, terms.quote) = (String(words[0]), "USDC")
        return VenueSymbol(terms, .perpetual)
    }

    /// An entry of `/api/v3/brokerage/market/products`, or of the older exchange's `/products`.
    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let (text, none) = (scanner.text, FrameValue.none)
        var (name, price, quote, base) = (none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("product_id", in: text) || key.equals("id", in: text) { name = value }
            if key.equals("price_increment", in: text) { price = value }
            if key.equals("quote_increment", in: text) { quote = value }
            if key.equals("base_increment", in: text) { base = value }
            isMore = try scanner.nextMember()
        }
        let tick = price.isPresent ? price : quote
        guard name.isString(in: text), tick.isPresent, base.isPresent else { return nil }
        let rawSymbol = name.string(in: text)
        return Instrument(
            venue: venue,
            rawSymbol: rawSymbol,
            symbol: symbol(ofRaw: rawSymbol),
            tick: try scanner.number(in: tick, named: "price_increment"),
            lot: try scanner.number(in: base, named: "base_increment")
        )
    }
}
