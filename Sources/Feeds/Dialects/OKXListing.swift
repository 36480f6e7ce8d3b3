public import Market

/// OKX's list of instruments, `/api/v5/public/instruments`.
extension OKXDialect {
    private struct Entry {
        var (id, type, base, quote, settle, underlying) = (none, none, none, none, none, none)
        var (tick, lot, size, multiplier, contract) = (none, none, none, none, none)
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
            if key.equals("instId", in: text) { entry.id = value }
            if key.equals("instType", in: text) { entry.type = value }
            if key.equals("baseCcy", in: text) { entry.base = value }
            if key.equals("quoteCcy", in: text) { entry.quote = value }
            if key.equals("settleCcy", in: text) { entry.settle = value }
            if key.equals("uly", in: text) { entry.underlying = value }
            if key.equals("tickSz", in: text) { entry.tick = value }
            if key.equals("lotSz", in: text) { entry.lot = value }
            if key.equals("ctVal", in: text) { entry.size = value }
            if key.equals("ctMult", in: text) { entry.multiplier = value }
            if key.equals("ctType", in: text) { entry.contract = value }
            if key.equals("expTime", in: text) { entry.expiry = value }
            if key.equals("stk", in: text) { entry.strike = value }
            if key.equals("optType", in: text) { entry.right = value }
            isMore = try scanner.nextMember()
        }
        // What is announced but not yet traded has no steps.
        guard entry.id.isString(in: text), let kind = kind(entry.type, text), isFilled(entry.tick, text),
            isFilled(entry.lot, text)
        else { return nil }
        return Instrument(
            venue: venue,
            rawSymbol: entry.id.string(in: text),
            kind: kind,
            terms: try terms(entry, kind, scanner),
            tick: try scanner.number(in: entry.tick, named: "tickSz"),
            lot: try scanner.number(in: entry.lot, named: "lotSz")
        )
    }

    /// Nil for what is no instrument of its own: `MARGIN` is a way to trade one that is listed as `SPOT` too.
    private func kind(_ type: FrameValue, _ text: UnsafeRawBufferPointer) -> Instrument.Kind? {
        if type.equals("SPOT", in: text) { return .spot }
        if type.equals("SWAP", in: text) { return .perpetual }
        if type.equals("FUTURES", in: text) { return .future }
        return type.equals("OPTION", in: text) ? .option : nil
    }

    private func isFilled(_ value: FrameValue, _ text: UnsafeRawBufferPointer) -> Bool {
        value.isPresent && !value.equals("", in: text)
    }

    private func terms(
        _ entry: Entry,
        _ kind: Instrument.Kind,
        _ scanner: JSONScanner
    ) throws(FrameFault) -> Instrument.Terms {
        let text = scanner.text
        var terms = Instrument.Terms()
        if kind == .spot {
            terms.base = VenueSymbol.commonAsset(entry.base.string(in: text))
            terms.quote = VenueSymbol.commonAsset(entry.quote.string(in: text))
            terms.settle = terms.quote
            return terms
        }
        // A derivative names its underlying, `UNI-USD`, and no base.
        let pair = entry.underlying.string(in: text).split(separator: "-").map(VenueSymbol.commonAsset)
        guard pair.count == 2 else { throw .wrong(field: "uly") }
        (terms.base, terms.quote) = (pair[0], pair[1])
        terms.settle = VenueSymbol.commonAsset(entry.settle.string(in: text))
        terms.contractSize = try contractSize(entry, scanner)
        terms.isInverse = entry.contract.equals("inverse", in: text)
        guard kind != .perpetual else { return terms }
        terms.expiryNs = try scanner.millisecondsNs(in: entry.expiry)
        guard kind == .option else { return terms }
        let strike = try scanner.number(in: entry.strike, named: "stk")
        terms.strike = Decimal(digits: strike.digits, scale: strike.scale)
        terms.right = entry.right.equals("C", in: text) ? .call : .put
        guard terms.right == .call || entry.right.equals("P", in: text) else { throw .wrong(field: "optType") }
        return terms
    }

    /// The value of a contract times its multiplier, which is 1 but for options.
    private func contractSize(_ entry: Entry, _ scanner: JSONScanner) throws(FrameFault) -> Decimal? {
        guard isFilled(entry.size, scanner.text) else { return nil }
        let size = try scanner.number(in: entry.size, named: "ctVal")
        guard isFilled(entry.multiplier, scanner.text) else { return Decimal(digits: size.digits, scale: size.scale) }
        let multiplier = try scanner.number(in: entry.multiplier, named: "ctMult")
        let (digits, overflow) = size.digits.multipliedReportingOverflow(by: multiplier.digits)
        guard !overflow, size.scale + multiplier.scale <= 18 else { throw .wrong(field: "ctMult") }
        return Decimal(digits: digits, scale: size.scale + multiplier.scale)
    }
}
