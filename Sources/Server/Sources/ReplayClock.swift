/// What recordings that are played together go by: where they begin, how fast they run, and whether they begin again.
///
/// Each source runs silently to the point where playing begins, and waits there for the others. Lives on the feed thread.
package final class ReplayClock {
    /// 0 is as fast as it goes.
    package let speedFactor: Double
    package let isLooping: Bool
    /// Records of before are taken without anybody hearing of them; nil plays from the first record on.
    package let seekNs: Int64?
    /// Records of then and later are not played.
    package let untilNs: Int64?

    /// How long a source leaves the thread to others: a timer that is due at once would keep it for itself.
    static let turnNs: UInt64 = 200_000
    private var sources: [CaptureSource] = []
    private var seekingCount = 0
    private var playingCount = 0
    /// The recorded time at which playing began, and the monotonic time of it.
    private var zeroNs: Int64?
    private var startedNs: Int64 = 0

    package init(speedFactor: Double, isLooping: Bool, seekNs: Int64? = nil, untilNs: Int64? = nil) {
        self.speedFactor = speedFactor
        self.isLooping = isLooping
        self.seekNs = seekNs
        self.untilNs = untilNs
    }

    /// To be called by every source when it is made.
    func join(_ source: CaptureSource) {
        sources.append(source)
        seekingCount += 1
        playingCount += 1
    }

    // MARK: What sources tell

    /// A source has come to where playing begins; `firstNs` is the time of its first record there, nil when there is none.
    func arrived(firstNs: Int64?, on feedLoop: FeedLoop) {
        if let firstNs { zeroNs = min(zeroNs ?? .max, firstNs) }
        seekingCount -= 1
        startIfAllAreThere(on: feedLoop)
    }

    /// A source has nothing more to play in this round.
    func ended(on feedLoop: FeedLoop) {
        playingCount -= 1
        guard playingCount == 0, isLooping else { return }
        let again = sources.filter(\.canBeginAgain)
        guard !again.isEmpty else { return }
        (seekingCount, playingCount, zeroNs) = (again.count, again.count, nil)
        for source in again { source.beginRound(on: feedLoop) }
    }

    /// A source has failed and plays no more.
    func failed(whileSeeking isSeeking: Bool, on feedLoop: FeedLoop) {
        if isSeeking {
            seekingCount -= 1
            startIfAllAreThere(on: feedLoop)
        }
        ended(on: feedLoop)
    }

    private func startIfAllAreThere(on feedLoop: FeedLoop) {
        guard seekingCount == 0 else { return }
        startedNs = HubClock.monotonicNs
        if let seekNs {
            zeroNs = seekNs
            feedLoop.unmute(atNs: seekNs)
        }
        for source in sources { source.playingBegan(on: feedLoop) }
    }

    // MARK: Time

    /// At full speed a source waits for others that are behind, so that times run forth together.
    func isDue(_ receivedNs: Int64, of source: CaptureSource) -> Bool {
        guard speedFactor > 0 else {
            return sources.count == 1 || sources.allSatisfy { $0 === source || $0.nextNs >= receivedNs }
        }
        guard let zeroNs else { return true }
        return Double(receivedNs &- zeroNs) <= Double(HubClock.monotonicNs - startedNs) * speedFactor
    }

    /// How long a record must wait still; at most an hour, because a damaged time may lie in any year.
    func waitNs(for receivedNs: Int64) -> UInt64 {
        // The other sources' turn, and that of the loops that take what was played.
        guard speedFactor > 0, let zeroNs else { return Self.turnNs }
        let left = Double(receivedNs &- zeroNs) / speedFactor - Double(HubClock.monotonicNs - startedNs)
        return UInt64(min(max(0, left), 3_600e9))
    }
}
