import Foundation
import Server

/// Small recordings, made for one test each.
enum Played {
    /// A recording of these lines; fields are parted by tabs.
    static func recording(_ lines: String...) throws -> Recording {
        let path = FileManager.default.temporaryDirectory.appending(path: "venue-\(UUID().uuidString).cap").path
        try Data(lines.joined(separator: "\n").utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try Recording(paths: [path])
    }

    /// Two streams of Kraken, a frame each 10 ms from the first on: trades of A, trades of B, trades of A.
    static func kraken() throws -> Recording {
        try recording(
            "1000\t1\tC\twss://ws.kraken.com",
            "2000\t1\tS\t{\"event\":\"subscribe\",\"pair\":[\"A/X\",\"B/X\"],\"subscription\":{\"name\":\"trade\"}}",
            "3000\t1\tR\t{\"connectionID\":5,\"event\":\"systemStatus\",\"status\":\"online\",\"version\":\"1.8.3\"}",
            "4000\t1\tR\t{\"channelID\":7,\"channelName\":\"trade\",\"event\":\"subscriptionStatus\",\"pair\":\"A/X\","
                + "\"status\":\"subscribed\",\"subscription\":{\"name\":\"trade\"}}",
            "5000000\t1\tR\t[7,[[\"1\"]],\"trade\",\"A/X\"]",
            "15000000\t1\tR\t[8,[[\"2\"]],\"trade\",\"B/X\"]",
            "15000000\t1\tR\t{\"event\":\"heartbeat\"}",
            "25000000\t1\tR\t[7,[[\"3\"]],\"trade\",\"A/X\"]"
        )
    }

    static func trades(_ symbols: String...) -> Set<PlayedStream> {
        Set(symbols.map { PlayedStream(channel: "trade", symbol: $0) })
    }

    static func request(_ text: String, of manner: any VenueManner) throws(MeaningFault) -> VenueRequest {
        var result: Result<VenueRequest, MeaningFault> = .failure(.notJSON)
        Array(text.utf8).withUnsafeBytes { bytes in
            result = Result { () throws(MeaningFault) in try manner.request(bytes) }
        }
        return try result.get()
    }
}
