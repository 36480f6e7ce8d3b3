public import Market

extension Instrument {
    /// An instrument of a venue's list, in the units that its smallest steps need.
    init(venue: String, rawSymbol: String, symbol: VenueSymbol, tick: VenueNumber, lot: VenueNumber) {
        self.init(
            id: InstrumentID(0),
            venue: venue,
            symbol: symbol.symbol,
            rawSymbol: rawSymbol,
            kind: symbol.kind,
            priceScale: tick.scale,
            quantityScale: lot.scale,
            tick: max(1, tick.digits),
            lot: max(1, lot.digits)
        )
    }
}

/// Reads venues' lists of instruments.
public enum VenueListing {
    /// More entries than this are not read.
    public static let entriesMost = 100_000

    /// All entries of a list: the venue's own answer, or a collection of entries under `entries`.
    ///
    /// Lists come as `[entry...]`, or as an object in which `entries`, `symbols`, `result`, `data`, `instruments` or `products`
    /// holds the entries as an array or by name.
    public static func instruments(
        in text: UnsafeRawBufferPointer,
        of dialect: any VenueDialect
    ) throws(FrameFault) -> [Instrument] {
        var scanner = JSONScanner(text)
        var found: [Instrument] = []
        scanner.skipSpace()
        if scanner.isAtArray {
            try readEntries(&scanner, dialect, &found)
        } else {
            var isMore = try scanner.beginObject()
            while isMore {
                let key = try scanner.key()
                let holdsEntries =
                    key.equals("entries", in: text) || key.equals("symbols", in: text)
                    || key.equals("result", in: text) || key.equals("data", in: text)
                    || key.equals("instruments", in: text) || key.equals("products", in: text)
                if holdsEntries, scanner.isAtArray || scanner.isAtObject {
                    try readEntries(&scanner, dialect, &found)
                } else {
                    try scanner.skip()
                }
                isMore = try scanner.nextMember()
            }
        }
        try scanner.finish()
        return found
    }

    private static func readEntries(
        _ scanner: inout JSONScanner,
        _ dialect: any VenueDialect,
        _ found: inout [Instrument]
    ) throws(FrameFault) {
        let isArray = scanner.isAtArray
        var isMore = try isArray ? scanner.beginArray() : scanner.beginObject()
        while isMore {
            if !isArray { _ = try scanner.key() }
            if scanner.isAtObject {
                guard found.count < entriesMost else { throw .tooManyInstruments }
                // What the feed would not follow by its name is no use.
                if let instrument = try dialect.listing(&scanner), VenueSymbol.isName(instrument.rawSymbol) {
                    found.append(instrument)
                }
            } else if !isArray, scanner.isAtArray {
                // Bybit's answer: the entries are one member of the result.
                try readEntries(&scanner, dialect, &found)
            } else {
                try scanner.skip()
            }
            isMore = try isArray ? scanner.nextElement() : scanner.nextMember()
        }
    }
}
