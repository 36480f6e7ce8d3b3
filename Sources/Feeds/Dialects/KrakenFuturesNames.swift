public import Market

/// The names of Kraken Futures: `PI_XBTUSD`, `PF_SOLUSD`, `FI_ETHUSD_211231`.
///
/// The first letter is P for perpetual and F for fixed maturity, the second I for inverse, F for flexible (paid in dollars with
/// any collateral) and V for vanilla (paid in the quote); behind it stand the pair and the day of maturity.
extension KrakenFuturesDialect {
    private struct Parts {
        var kind: Instrument.Kind
        var terms = Instrument.Terms()
    }

    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        guard let parts = parts(ofRaw: rawSymbol) else { return VenueSymbol(rawSymbol, .index) }
        return VenueSymbol(parts.terms, parts.kind)
    }

    /// Nil for what is no contract, such as an index.
    private func parts(ofRaw rawSymbol: String) -> Parts? {
        let words = rawSymbol.uppercased().split(separator: "_", omittingEmptySubsequences: false)
        guard words.count == 2 || words.count == 3, words[0].count == 2, words[1].count > 3 else { return nil }
        var parts = Parts(kind: .perpetual)
        switch (words[0].first, words.count) {
        case ("P", 2): break
        case ("F", 3):
            guard let day = CalendarDate(digits: words[2]) else { return nil }
            parts.kind = .future
            parts.terms.expiryNs = day.startNs
        default: return nil
        }
        parts.terms.base = VenueSymbol.commonAsset(words[1].dropLast(3))
        parts.terms.quote = VenueSymbol.commonAsset(words[1].suffix(3))
        switch words[0].last {
        case "I":
            parts.terms.isInverse = true
            parts.terms.settle = parts.terms.base
        case "F", "V": parts.terms.settle = parts.terms.quote
        default: return nil
        }
        return parts
    }

    /// An entry of `/derivatives/api/v3/instruments`, which writes in small letters what the feed writes in capitals.
    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let (text, none) = (scanner.text, FrameValue.none)
        var (name, tick, size, decimals, ends, tradeable) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { name = value }
            if key.equals("tickSize", in: text) { tick = value }
            if key.equals("contractSize", in: text) { size = value }
            if key.equals("contractValueTradePrecision", in: text) { decimals = value }
            if key.equals("lastTradingTime", in: text) { ends = value }
            if key.equals("tradeable", in: text) { tradeable = value }
            isMore = try scanner.nextMember()
        }
        // What cannot be traded, such as an index, has no feed.
        guard name.isString(in: text), tick.isPresent, !tradeable.isWord("false", in: text) else { return nil }
        let rawSymbol = name.string(in: text).uppercased()
        guard var parts = parts(ofRaw: rawSymbol) else { return nil }
        if size.isPresent {
            let size = try scanner.number(in: size, named: "contractSize")
            parts.terms.contractSize = Decimal(digits: size.digits, scale: size.scale)
        }
        // The day of the name is that of the last trading; the list also tells the hour.
        if ends.isPresent { parts.terms.expiryNs = try JSONScanner.isoTimeNs(ends, in: text) }
        return Instrument(
            venue: venue,
            rawSymbol: rawSymbol,
            kind: parts.kind,
            terms: parts.terms,
            tick: try scanner.number(in: tick, named: "tickSize"),
            lot: decimals.isPresent ? try lot(ofDecimals: decimals, scanner) : whole(1)
        )
    }

    /// The step of quantities with so many decimals; fewer than none means tens, hundreds and so on.
    private func lot(ofDecimals value: FrameValue, _ scanner: JSONScanner) throws(FrameFault) -> VenueNumber {
        let decimals = try scanner.number(in: value, named: "contractValueTradePrecision")
        guard decimals.scale == 0, (-18...18).contains(decimals.digits) else {
            throw .wrong(field: "contractValueTradePrecision")
        }
        let count = UInt8(decimals.digits.magnitude)
        return decimals.digits < 0 ? whole(powerOfTen(count)) : VenueNumber(digits: 1, scale: count, written: count)
    }

    private func whole(_ number: Int64) -> VenueNumber { VenueNumber(digits: number, scale: 0, written: 0) }
}
