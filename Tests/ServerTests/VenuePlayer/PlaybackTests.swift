import Server
import Testing

@Suite("Playing a recording to one client")
struct PlaybackTests {
    private static func lines(_ playback: inout Playback, _ recording: Recording, atNs now: Int64) -> [Int] {
        var lines: [Int] = []
        while let frame = playback.next(of: recording, atNs: now) { lines.append(frame.line) }
        return lines
    }

    @Test("frames come as far apart as they were recorded, divided by the speed", arguments: [1.0, 2.0, 10.0])
    func spacing(speedFactor: Double) throws {
        let recording = try Played.kraken()
        var playback = Playback(speedFactor: speedFactor)
        #expect(playback.nextNs(of: recording) == nil)
        playback.begin(Played.trades("A/X", "B/X"), of: recording, atNs: 500)
        #expect(Self.lines(&playback, recording, atNs: 500) == [5])
        let step = Int64(10_000_000 / speedFactor)
        #expect(playback.nextNs(of: recording) == 500 + step)
        #expect(Self.lines(&playback, recording, atNs: 499 + step) == [])
        #expect(Self.lines(&playback, recording, atNs: 500 + step) == [6])
        #expect(Self.lines(&playback, recording, atNs: 500 + 2 * step) == [8])
        #expect(playback.isAtEnd(of: recording))
        #expect(playback.nextNs(of: recording) == nil)
    }

    @Test("a speed of zero plays all at once, in order")
    func fullSpeed() throws {
        let recording = try Played.kraken()
        var playback = Playback(speedFactor: 0)
        playback.begin(Played.trades("A/X", "B/X"), of: recording, atNs: 7)
        #expect(Self.lines(&playback, recording, atNs: 7) == [5, 6, 8])
    }

    @Test("only what was subscribed to is played")
    func filters() throws {
        let recording = try Played.kraken()
        var playback = Playback(speedFactor: 0)
        playback.begin(Played.trades("B/X"), of: recording, atNs: 0)
        #expect(Self.lines(&playback, recording, atNs: 0) == [6])
    }

    @Test("a later subscription has a time of its own, from its first frame on")
    func laterSubscription() throws {
        let recording = try Played.kraken()
        var playback = Playback(speedFactor: 1)
        playback.begin(Played.trades("A/X"), of: recording, atNs: 0)
        #expect(Self.lines(&playback, recording, atNs: 0) == [5])
        playback.begin(Played.trades("B/X"), of: recording, atNs: 5_000_000)
        #expect(Self.lines(&playback, recording, atNs: 14_999_999) == [])
        #expect(Self.lines(&playback, recording, atNs: 15_000_000) == [6])
        #expect(Self.lines(&playback, recording, atNs: 20_000_000) == [8])
    }

    @Test("a stream that is subscribed to again begins again, and the others go on")
    func again() throws {
        let recording = try Played.kraken()
        var playback = Playback(speedFactor: 1)
        playback.begin(Played.trades("A/X", "B/X"), of: recording, atNs: 0)
        #expect(Self.lines(&playback, recording, atNs: 0) == [5])
        playback.end(Played.trades("A/X"), of: recording)
        playback.begin(Played.trades("A/X"), of: recording, atNs: 1_000_000)
        #expect(Self.lines(&playback, recording, atNs: 100_000_000) == [5, 6, 8])
    }

    @Test("what was unsubscribed from is played no more")
    func unsubscribed() throws {
        let recording = try Played.kraken()
        var playback = Playback(speedFactor: 1)
        playback.begin(Played.trades("A/X", "B/X"), of: recording, atNs: 0)
        playback.end(Played.trades("A/X"), of: recording)
        #expect(Self.lines(&playback, recording, atNs: 100_000_000) == [6])
        playback.end(Played.trades("B/X"), of: recording)
        #expect(!playback.isAtEnd(of: recording))
    }

    @Test("rewinding begins what is at its end again")
    func rewinds() throws {
        let recording = try Played.kraken()
        var playback = Playback(speedFactor: 1)
        playback.begin(Played.trades("A/X", "B/X"), of: recording, atNs: 0)
        #expect(Self.lines(&playback, recording, atNs: 100_000_000).count == 3)
        playback.rewind(of: recording, atNs: 100_000_000)
        #expect(Self.lines(&playback, recording, atNs: 110_000_000) == [5, 6])
    }
}
