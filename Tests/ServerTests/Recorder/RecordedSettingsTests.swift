import Feeds
import Market
import Testing

@testable import Server

@Suite("Settings in recordings")
struct RecordedSettingsTests {
    @Test("of a venue are those that are not as usual, and are read as they were written")
    func venue() {
        var configuration = VenueConfiguration()
        #expect(VenueReading(configuration).recorded.isEmpty)
        configuration.checksum = "count"
        configuration.quietMs = 250
        let reading = VenueReading(configuration)
        #expect(reading.recorded.fields == ["checksum=count", "quietMs=250"])
        #expect(VenueReading(reading.recorded) == reading)
        #expect(VenueReading(RecordedSettings(fields: ["quietMs=often"])).quietMs == 0)
    }

    @Test("of a FIX server are those that its configuration has")
    func fix() {
        var configuration = FIXConfiguration()
        #expect(VenueReading(configuration).recorded.isEmpty)
        configuration.quietMs = 5_000
        configuration.instrumentsMost = 9
        let reading = VenueReading(configuration)
        #expect(reading.recorded.fields == ["instrumentsMost=9", "quietMs=5000"])
        #expect(VenueReading(reading.recorded) == reading)
        let limits = reading.feed(FIXMarketDataDialect(venue: "fix-x")).limits
        #expect(limits.instrumentsMost == 9 && limits.quietMostNs == 5_000_000_000)
    }

    @Test("of ITCH are the stocks and the bounds; single orders are the reader's affair")
    func itch() {
        var configuration = ITCHConfiguration()
        configuration.orders = false
        #expect(ITCHFeed.Settings(configuration).recorded.isEmpty)
        configuration.symbols = ["MSFT", "AAPL"]
        configuration.instrumentsMost = 7
        configuration.ordersMost = 40_000
        let recorded = ITCHFeed.Settings(configuration).recorded
        #expect(recorded.fields == ["instrumentsMost=7", "ordersMost=40000", "symbols=AAPL,MSFT"])
        let settings = ITCHFeed.Settings(recorded, tellsOrders: true)
        #expect(settings.tellsOrders && settings.recorded == recorded)
        #expect(settings.ledger.levelsMost == 10_000)
        let broken = ITCHFeed.Settings(
            RecordedSettings(fields: ["instrumentsMost=-1", "ordersMost=0"]),
            tellsOrders: true
        )
        #expect(broken.instrumentsMost == 1 && broken.ledger.ordersMost == 1)
    }
}
