import Market

/// The places of a definition's fields, which differ between versions.
private struct DefinitionLayout {
    var bytesLeast: Int
    var strike: Int
    var size: Int
    var lot: Int
    var currency: Int
    var symbol: (place: Int, bytes: Int)
    var asset: (place: Int, bytes: Int)
    var instrumentClass: Int

    init(version: UInt8) {
        switch version {
        case 1: self.init(360, strike: 328, size: 88, lot: 148, 186, (200, 22), (248, 7), 325)
        case 2: self.init(400, strike: 112, size: 88, lot: 156, 186, (200, 71), (297, 7), 374)
        default: self.init(520, strike: 104, size: 80, lot: 168, 224, (238, 71), (335, 11), 487)
        }
    }

    private init(
        _ bytesLeast: Int,
        strike: Int,
        size: Int,
        lot: Int,
        _ currency: Int,
        _ symbol: (Int, Int),
        _ asset: (Int, Int),
        _ instrumentClass: Int
    ) {
        (self.bytesLeast, self.strike, self.size, self.lot) = (bytesLeast, strike, size, lot)
        (self.currency, self.symbol, self.asset, self.instrumentClass) = (currency, symbol, asset, instrumentClass)
    }
}

extension DBNRecord {
    /// The instrument that a definition tells of.
    ///
    /// - Throws: when the record is shorter than its version has it, or has no symbol.
    func definition(version: UInt8, venue: String) throws(FrameFault) -> Instrument {
        let layout = DefinitionLayout(version: version)
        guard bytes.count >= layout.bytesLeast else { throw .truncated }
        let rawSymbol = Self.name(of: text(layout.symbol.place, layout.symbol.bytes))
        guard VenueSymbol.isName(rawSymbol) else { throw .unknownSymbol }
        var terms = Instrument.Terms()
        terms.base = text(layout.asset.place, layout.asset.bytes)
        terms.quote = text(layout.currency, 4)
        let settle = text(layout.currency + 4, 4)
        terms.settle = settle.isEmpty ? terms.quote : settle
        terms.expiryNs = time(40)
        terms.contractSize = price(layout.size).map { Decimal(digits: $0.digits, scale: $0.scale) }
        let kind: Instrument.Kind
        // Spreads and shares have no terms of their own: they go by the venue's name.
        var isNamedByTerms = !terms.base.isEmpty && !terms.quote.isEmpty
        switch bytes[layout.instrumentClass] {
        case UInt8(ascii: "F"):
            kind = .future
            isNamedByTerms = isNamedByTerms && terms.expiryNs > 0
        case UInt8(ascii: "C"), UInt8(ascii: "P"):
            kind = .option
            terms.strike = price(layout.strike).map { Decimal(digits: $0.digits, scale: $0.scale) }
            terms.right = bytes[layout.instrumentClass] == UInt8(ascii: "C") ? .call : .put
            isNamedByTerms = isNamedByTerms && terms.expiryNs > 0 && terms.strike != nil
        case UInt8(ascii: "S"):
            kind = .future
            isNamedByTerms = false
        case UInt8(ascii: "T"), UInt8(ascii: "M"):
            kind = .option
            isNamedByTerms = false
        case UInt8(ascii: "I"):
            kind = .index
            isNamedByTerms = false
        case UInt8(ascii: "X"), UInt8(ascii: "Y"): kind = .spot
        default:
            kind = .spot
            isNamedByTerms = false
        }
        let one = VenueNumber(digits: 1, scale: 0, written: 0)
        let lot: Int32 = number(layout.lot)
        var instrument = Instrument(
            venue: venue,
            rawSymbol: rawSymbol,
            symbol: isNamedByTerms ? VenueSymbol(terms, kind) : VenueSymbol(rawSymbol, kind),
            tick: price(24) ?? one,
            lot: lot > 0 && lot < .max ? VenueNumber(digits: Int64(lot), scale: 0, written: 0) : one
        )
        instrument.terms = terms
        return instrument
    }

    /// The symbol that a record gives an instrument from now on.
    func mappedSymbol(version: UInt8) throws(FrameFault) -> String {
        guard bytes.count >= (version == 1 ? 80 : 176) else { throw .truncated }
        return version == 1 ? text(38, 22) : text(89, 71)
    }
}
