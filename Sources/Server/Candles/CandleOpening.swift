import Market

extension MarketHubServer {
    /// Reads the candles that an earlier run left and makes what keeps those of this one.
    ///
    /// Neither a damaged file nor a directory that cannot be used is a reason not to start; both are told.
    static func openCandles(
        _ configuration: Configuration,
        handed: [UInt8],
        log: Log,
        nowNs: Int64
    ) -> (CandleStore, CandleThread?) {
        let settings = configuration.candles
        // What a recording says again must not be counted twice, nor be late for what is kept of the present.
        let capture = configuration.sources.capture
        let passed: Set<String> = capture.files.isEmpty ? [] : [capture.venue]
        guard !settings.directory.isEmpty else {
            var loader = CandleLoader(bytesMost: settings.bytesMost)
            if !handed.isEmpty { _ = CandleRecords.read(handed) { loader.take($0) } }
            return (CandleStore(bytesMost: settings.bytesMost, kept: loader.histories, passedVenues: passed), nil)
        }
        do throws(CandleFiles.Failure) {
            var files = try CandleFiles(directory: settings.directory)
            let (histories, findings, lostCount) = files.load(bytesMost: settings.bytesMost, nowNs: nowNs)
            for finding in findings { tell(finding, log) }
            log.info("candles-read", ["instruments": .count(histories.count), "lost": .count(lostCount)])
            let store = CandleStore(bytesMost: settings.bytesMost, kept: histories, passedVenues: passed)
            return (store, CandleThread(store: store, files: files, log: log))
        } catch {
            log.error(
                "candles-not-kept",
                ["problem": .text(error.message), "remedy": "name another candles.directory, or none"]
            )
            return (CandleStore(bytesMost: settings.bytesMost, passedVenues: passed), nil)
        }
    }

    private static func tell(_ finding: CandleFiles.Finding, _ log: Log) {
        switch finding {
        case .torn(let file, let bytes):
            log.info("candles-end-missing", ["file": .text(file), "bytes": .count(bytes)])
        case .damaged(let file, let badBlocks, let aside):
            log.error(
                "candles-damaged",
                ["file": .text(file), "badBlocks": .count(badBlocks), "setAsideAs": .text(aside)]
            )
        case .unreadable(let file, let reason):
            log.error("candles-unreadable", ["file": .text(file), "problem": .text(reason)])
        }
    }
}
