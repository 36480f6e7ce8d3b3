import Feeds
package import Market
import Transport

/// Something that brings messages of ITCH to an intake.
protocol ITCHBringer: AnyObject {
    var state: HealthState.SourceState { get }
    func start()
    func sweep()
    /// The time by which its messages happen.
    func clockNs(_ nowNs: Int64) -> Int64
}

extension ITCHBringer {
    func sweep() {}
    func clockNs(_ nowNs: Int64) -> Int64 { nowNs }
}

/// Nasdaq TotalView-ITCH 5.0 from files, SoupBinTCP or MoldUDP64; see Docs/feeds/itch.md.
package final class ITCHSource: MarketSource {
    package let name = ITCHFeed.venue
    private let configuration: ITCHConfiguration
    private let tap: RecordingTap
    private var intake: ITCHIntake?
    private var bringer: (any ITCHBringer)?

    package init(_ configuration: ITCHConfiguration, tap: RecordingTap = .none) {
        self.configuration = configuration
        self.tap = tap
    }

    /// Whether it brings something that could not be had again: not from files.
    static func isLive(_ configuration: ITCHConfiguration) -> Bool {
        configuration.mode == "soupbin" || configuration.mode == "moldudp64"
    }

    package var state: HealthState.SourceState { bringer?.state ?? .connecting }

    package func start(on feed: FeedLoop) {
        let intake = ITCHIntake(configuration, on: feed, tap: tap)
        self.intake = intake
        let bringer: any ITCHBringer =
            switch configuration.mode {
            case "soupbin": SoupBinSession(intake, on: feed)
            case "moldudp64": MoldLines(intake, on: feed)
            default: ITCHFilePlayer(intake, on: feed)
            }
        self.bringer = bringer
        bringer.start()
    }

    package var instruments: [InstrumentID] { intake?.feed.instruments ?? [] }

    package func book(of id: InstrumentID) -> OrderBook? { intake?.feed.book(of: id) }

    package func orders(of id: InstrumentID) -> [RestingOrder]? {
        guard configuration.orders, let feed = intake?.feed, feed.book(of: id) != nil else { return nil }
        return feed.orders(of: id)
    }

    package func clockNs(_ nowNs: Int64) -> Int64 { bringer?.clockNs(nowNs) ?? nowNs }

    package func sweep(on feed: FeedLoop) {
        bringer?.sweep()
        intake?.count()
    }
}
