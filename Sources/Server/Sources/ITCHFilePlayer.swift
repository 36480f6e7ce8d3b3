import Feeds
import Market
import Transport

/// Plays ITCH files by the times of their messages, or as fast as the loops take it.
final class ITCHFilePlayer: ITCHBringer {
    private(set) var state = HealthState.SourceState.connecting

    private let intake: ITCHIntake
    private unowned let feedLoop: FeedLoop
    private let configuration: ITCHConfiguration
    private let midnightNs: Int64
    private var fileIndex = 0
    private var reader: ITCHFileReader?
    private var messageNumber: UInt64 = 0
    private var timer: LoopTimer?
    /// The time of the newest message, of the round's first, and the monotonic time at which that was played.
    private var playedNs: Int64 = 0
    private var firstNs: Int64?
    private var startedNs: Int64 = 0
    /// Messages played before other work gets its turn.
    private static let messagesMost = 2_000

    init(_ intake: ITCHIntake, on feedLoop: FeedLoop) {
        self.intake = intake
        self.feedLoop = feedLoop
        configuration = intake.configuration
        midnightNs = EasternTime.midnightNs(of: configuration.date) ?? 0
        playedNs = midnightNs
    }

    func start() {
        guard openFile() else { return }
        state = .live
        play()
    }

    func clockNs(_ nowNs: Int64) -> Int64 { playedNs }

    // MARK: Files

    /// A file is a session of its own.
    private func openFile() -> Bool {
        do throws(CaptureReader.Failure) {
            reader = try ITCHFileReader(path: configuration.files[fileIndex])
        } catch {
            fail(NormalizeError(error).description)
            return false
        }
        messageNumber = 0
        (firstNs, startedNs) = (nil, HubClock.monotonicNs)
        intake.beginSession(configuration.files[fileIndex], isWhole: true, atNs: midnightNs)
        return true
    }

    private func fail(_ problem: String) {
        state = .failed(reason: problem)
        reader = nil
        feedLoop.log.error("itch-file-failed", ["problem": .text(problem)])
        intake.disconnected(.connectionLost, atNs: playedNs)
    }

    private func endFile(unfinishedBytes: Int) {
        if unfinishedBytes > 0 {
            feedLoop.log.warning(
                "itch-file-cut",
                ["file": .text(configuration.files[fileIndex]), "messages": .count(messageNumber)]
            )
        }
        reader = nil
        fileIndex += 1
        if fileIndex == configuration.files.count {
            intake.disconnected(.replayEnded, atNs: playedNs)
            guard configuration.loop else {
                state = .finished
                feedLoop.log.info("itch-files-finished", ["messages": .count(messageNumber)])
                return
            }
            fileIndex = 0
        }
        if openFile() { pause(0) }
    }

    // MARK: Messages

    private func play() {
        var next = Next.more
        intake.takeMessages(atNs: nil) { take in
            var left = Self.messagesMost
            while left > 0 {
                left -= 1
                next = playOne(take)
                guard case .more = next else { return }
            }
        }
        switch next {
        case .more: pause(0)
        case .wait(let ns): pause(ns)
        case .end(let unfinishedBytes): endFile(unfinishedBytes: unfinishedBytes)
        case .failed(let problem): fail(problem)
        }
    }

    private enum Next {
        case more
        case wait(ns: Int64)
        case end(unfinishedBytes: Int)
        case failed(String)
    }

    private func playOne(_ take: (UnsafeRawBufferPointer, UInt64) -> Void) -> Next {
        // At full speed only the slowest reader of the rings sets the pace.
        if configuration.speedFactor == 0, feedLoop.publisher.isCrowded { return .wait(ns: 1_000_000) }
        do throws(CaptureReader.Failure) {
            guard let message = try reader?.peek() else { return .end(unfinishedBytes: reader?.unfinishedBytes ?? 0) }
            if let timeNs = ITCHMessage.timeNs(of: message) {
                let eventNs = midnightNs + timeNs
                let early = earlyNs(eventNs)
                guard early <= 0 else { return .wait(ns: early) }
                playedNs = max(playedNs, eventNs)
            }
            messageNumber += 1
            // The end of a session is a message of no length.
            if !message.isEmpty { take(message, messageNumber) }
            reader?.advance()
            return .more
        } catch {
            return .failed(NormalizeError(error).description)
        }
    }

    /// How much too early it would be to play a message of this time now.
    private func earlyNs(_ eventNs: Int64) -> Int64 {
        guard configuration.speedFactor > 0 else { return 0 }
        guard let firstNs else {
            self.firstNs = eventNs
            return 0
        }
        let due = Double(eventNs - firstNs) / configuration.speedFactor
        return Int64(min(due - Double(HubClock.monotonicNs - startedNs), 3_600e9))
    }

    private func pause(_ ns: Int64) {
        timer = feedLoop.loop?.after(UInt64(max(0, ns))) { [weak self] in self?.play() }
    }
}

/// Hands out the messages of a file one by one, without ever holding more than one and a chunk.
struct ITCHFileReader: ~Copyable {
    private var chunks: BinaryFileReader
    /// Room for a chunk behind the longest unfinished message.
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: BinaryFileReader.chunkBytes + 65_537,
        alignment: 16
    )
    private var ready = 0..<0

    init(path: String) throws(CaptureReader.Failure) { chunks = try BinaryFileReader(path: path) }

    deinit { buffer.deallocate() }

    /// Bytes behind the last whole message.
    var unfinishedBytes: Int { ready.count }

    /// The next message without its length, valid until the next call; nil at the end of the file.
    mutating func peek() throws(CaptureReader.Failure) -> UnsafeRawBufferPointer? {
        while ready.count < 2 || ready.count < 2 + length {
            guard let chunk = try chunks.next() else { return nil }
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[ready]))
            UnsafeMutableRawBufferPointer(rebasing: buffer[ready.count...]).copyMemory(from: chunk)
            ready = 0..<(ready.count + chunk.count)
        }
        let start = ready.lowerBound + 2
        return UnsafeRawBufferPointer(rebasing: buffer[start..<(start + length)])
    }

    /// Goes on to the message behind the one that ``peek()`` gave.
    mutating func advance() { ready = (ready.lowerBound + 2 + length)..<ready.upperBound }

    private var length: Int { Int(buffer[ready.lowerBound]) << 8 | Int(buffer[ready.lowerBound + 1]) }
}
