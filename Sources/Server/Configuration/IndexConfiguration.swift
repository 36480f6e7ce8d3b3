/// One price over several venues.
package struct IndexConfiguration: ConfigurationSection {
    package var symbol = ""
    package var sources: [String] = []
    package var staleMs = 10_000
    package var leastSources = 1
    package var intervalMs = 250
    package var outlierBasisPoints = 0
    package var decimals = 8

    package init() {}

    package static let keys = [
        ConfigurationKey("symbol", .text, "What is priced, such as BTC-USD; clients find it as BTC-USD@index."),
        ConfigurationKey(
            "sources",
            .texts(countMost: 32),
            "Venues that trade the symbol, such as kraken, or instruments of another name, such as BTC-USDT@binance."
        ),
        ConfigurationKey(
            "staleMs",
            .integer(10...3_600_000),
            "A source whose book was silent for longer does not count."
        ),
        ConfigurationKey("leastSources", .integer(1...32), "With fewer sources that count the index is stale."),
        ConfigurationKey("intervalMs", .integer(10...60_000), "It is computed at most once in so many milliseconds."),
        ConfigurationKey(
            "outlierBasisPoints",
            .integer(0...10_000),
            "Of three and more, a source further than this from their median is left out. 0: none is."
        ),
        ConfigurationKey("decimals", .integer(0...12), "Decimals that the index is rounded to."),
    ]

    /// The names of the instruments that count, `BTC-USD@kraken`.
    package var sourceNames: [String] { sources.map { $0.contains("@") ? $0 : "\(symbol)@\($0)" } }

    package func validate() -> [ConfigurationComplaint] {
        var complaints: [ConfigurationComplaint] = []
        if symbol.isEmpty || symbol.contains(where: { "@*/ ".contains($0) }) || symbol.utf8.count > 64 {
            complaints.append(
                ConfigurationComplaint("symbol", "is \(JSONText.quoted(symbol)); write a symbol such as BTC-USD")
            )
        }
        if sources.isEmpty {
            complaints.append(ConfigurationComplaint("sources", "is empty; name at least one venue of the symbol"))
        }
        for (index, name) in sourceNames.enumerated() where sourceNames.firstIndex(of: name) != index {
            complaints.append(ConfigurationComplaint("sources[\(index)]", "is named twice; name each source once"))
        }
        if leastSources > sources.count, !sources.isEmpty {
            complaints.append(
                ConfigurationComplaint(
                    "leastSources",
                    "is \(leastSources); it must not be above the number of sources (\(sources.count))"
                )
            )
        }
        return complaints
    }
}
