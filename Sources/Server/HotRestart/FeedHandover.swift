package import Market

/// What the feed thread hands on: instruments in the order of their ids, and where each one's numbers are.
extension FeedPublisher {
    /// Writes what ``goOn(from:atNs:)`` reads; candles go their own way (``CandleStore/records``).
    package func append(to state: inout StateWriter) {
        state.append(UInt64(streams.count))
        for (instrument, stream) in zip(table.all, streams) {
            instrument.append(to: &state)
            stream.append(to: &state)
        }
    }

    /// Goes on where another process ended; before any source has begun.
    ///
    /// Every instrument is said to be disconnected until its source has begun anew, which is true.
    /// - Throws: when it is not what was written; nothing has changed then.
    package mutating func goOn(from state: inout StateReader, atNs now: Int64) throws(StateReader.Malformed) {
        var known: [(instrument: Instrument, numbers: StateReader)] = []
        var names = InstrumentTable()
        for _ in 0..<(try state.read(UInt64.self)) {
            let instrument = try Instrument(from: &state)
            let numbers = state
            var stream = MarketStream(instrument: InstrumentID(0))
            _ = try stream.goOn(from: &state)
            guard (try? names.add(instrument)) != nil else { throw StateReader.Malformed() }
            known.append((instrument, numbers))
        }
        takenOverNs = now
        for (instrument, var numbers) in known { try goOn(inherit(instrument), from: &numbers, atNs: now) }
    }
}
