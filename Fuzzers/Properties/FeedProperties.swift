import Feeds
import Server

extension FuzzProperty {
    /// A scanner reads any bytes within their bounds.
    static let venueScanner = FuzzProperty(name: "venue-scanner", check: FuzzEntries.scan)

    /// A capture's lines are read or refused.
    static let capture = FuzzProperty(name: "capture", check: CaptureRecord.fuzz)

    /// A feed takes any lines for frames and keeps its books in order; answers to requests begin with `H`.
    static let coinbaseFeed = feed("coinbase", CoinbaseDialect())
    static let binanceFeed = feed("binance", BinanceDialect(market: .spot))
    static let binanceUSDMFeed = feed("binance-usdm", BinanceDialect(market: .perpetual))
    static let krakenFeed = feed("kraken", KrakenDialect())

    private static func feed(_ name: String, _ dialect: any VenueDialect) -> FuzzProperty {
        FuzzProperty(name: name + "-feed") { bytes in
            FuzzEntries.feed(dialect, bytes)
            FuzzEntries.listing(dialect, bytes)
        }
    }
}
