import Market

/// What fuzzers feed with bytes; nothing here may trap, whatever the bytes are.
package enum FuzzEntries {
    /// One whole JSON value.
    package static func scan(_ text: UnsafeRawBufferPointer) {
        var scanner = JSONScanner(text)
        _ = try? scanner.value()
        try? scanner.finish()
        var numbers = JSONScanner(text)
        _ = try? numbers.number()
        var times = JSONScanner(text)
        if let value = try? times.value() {
            _ = try? JSONScanner.isoTimeNs(value, in: text)
            _ = value.string(in: text)
        }
    }

    /// Lines for a feed of the venue: those that begin with `H` are answers to a request for the book of `X`.
    package static func feed(_ dialect: any VenueDialect, _ text: UnsafeRawBufferPointer) {
        var feed = VenueFeed(dialect)
        var instruments = InstrumentTable()
        var actions: [FeedAction] = []
        var sink = Forgetful()
        for (number, line) in text.split(separator: UInt8(ascii: "\n")).enumerated() {
            let bytes = UnsafeRawBufferPointer(rebasing: line)
            if bytes.first == UInt8(ascii: "H") {
                try? feed.receiveSnapshot(
                    UnsafeRawBufferPointer(rebasing: bytes.dropFirst()),
                    rawSymbol: "X",
                    connection: 0,
                    atNs: Int64(number),
                    instruments: &instruments,
                    actions: &actions,
                    into: &sink
                )
            } else {
                try? feed.receive(
                    bytes,
                    connection: 1,
                    atNs: Int64(number),
                    instruments: &instruments,
                    actions: &actions,
                    into: &sink
                )
            }
            actions.removeAll(keepingCapacity: true)
        }
        for id in feed.instruments {
            if let book = feed.book(of: id) { precondition(book.isConsistent) }
        }
    }

    /// A list of instruments.
    package static func listing(_ dialect: any VenueDialect, _ text: UnsafeRawBufferPointer) {
        _ = try? VenueListing.instruments(in: text, of: dialect)
    }

    private struct Forgetful: MarketEventSink {
        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {}
    }
}
