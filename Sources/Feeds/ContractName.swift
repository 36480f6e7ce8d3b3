import Market

/// The hub's names of what is traded, made of its terms.
extension VenueSymbol {
    /// `BASE-QUOTE`, and behind it `-PERP`, `-YYYYMMDD` or `-YYYYMMDD-STRIKE-C` (or `-P`), as the kind has it.
    init(_ terms: Instrument.Terms, _ kind: Instrument.Kind) {
        var name = terms.quote.isEmpty ? terms.base : terms.base + "-" + terms.quote
        if kind == .perpetual { name += "-PERP" }
        if kind == .future || kind == .option, terms.expiryNs > 0 {
            name += "-" + CalendarDate(ofNs: terms.expiryNs).text
        }
        if kind == .option, let strike = terms.strike { name += "-" + strike.text }
        if kind == .option, let right = terms.right { name += right == .call ? "-C" : "-P" }
        self.init(name, kind)
    }

    /// The name that other venues have for an asset: Kraken and BitMEX say XBT and XDG for BTC and DOGE.
    static func commonAsset(_ name: some StringProtocol) -> String {
        switch name.uppercased() {
        case "XBT": "BTC"
        case "XDG": "DOGE"
        case let other: other
        }
    }
}

extension Instrument {
    /// An instrument of a venue's list, named by its terms, in the units that its smallest steps need.
    init(
        venue: String,
        rawSymbol: String,
        kind: Instrument.Kind,
        terms: Terms,
        tick: VenueNumber,
        lot: VenueNumber
    ) {
        self.init(venue: venue, rawSymbol: rawSymbol, symbol: VenueSymbol(terms, kind), tick: tick, lot: lot)
        self.terms = terms
    }
}
