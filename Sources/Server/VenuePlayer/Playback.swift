/// What one connection hears of a recording, and when.
///
/// Every subscription begins a track: the frames of its streams from the first on, as far apart as they were recorded. Tracks
/// of one connection are merged by time.
package struct Playback: Sendable {
    fileprivate struct Track: Sendable {
        /// By the streams' places.
        var isPlayed: [Bool]
        var startNs: Int64
        /// The place of the frame that is next; the number of frames at the end.
        var next: Int
    }

    private let speedFactor: Double
    private var tracks: [Track] = []

    /// - Parameter speedFactor: 0 is as fast as it goes.
    package init(speedFactor: Double) { self.speedFactor = speedFactor }

    /// Begins to play streams; those that are played already begin again.
    package mutating func begin(_ streams: Set<PlayedStream>, of recording: Recording, atNs now: Int64) {
        guard !streams.isEmpty else { return }
        end(streams, of: recording)
        var track = Track(isPlayed: Array(repeating: false, count: recording.streams.count), startNs: now, next: 0)
        for stream in streams {
            if let place = recording.place(of: stream) { track.isPlayed[place] = true }
        }
        track.skip(recording)
        tracks.append(track)
    }

    package mutating func end(_ streams: Set<PlayedStream>, of recording: Recording) {
        let places = streams.compactMap(recording.place)
        for index in tracks.indices {
            for place in places { tracks[index].isPlayed[place] = false }
            tracks[index].skip(recording)
        }
        tracks.removeAll { !$0.isPlayed.contains(true) }
    }

    /// Plays every track that is at its end again from the start.
    package mutating func rewind(of recording: Recording, atNs now: Int64) {
        for index in tracks.indices where tracks[index].next == recording.frames.count {
            tracks[index].startNs = now
            tracks[index].next = 0
            tracks[index].skip(recording)
        }
    }

    /// Whether something was played to its end, and nothing is left.
    package func isAtEnd(of recording: Recording) -> Bool {
        !tracks.isEmpty && tracks.allSatisfy { $0.next == recording.frames.count }
    }

    /// When the next frame is due; nil when nothing is left.
    package func nextNs(of recording: Recording) -> Int64? { nextTrack(recording).map { due($0, recording) } }

    /// The next frame, if it is due.
    package mutating func next(of recording: Recording, atNs now: Int64) -> Recording.Frame? {
        guard let index = nextTrack(recording), due(index, recording) <= now else { return nil }
        let frame = recording.frames[tracks[index].next]
        tracks[index].next += 1
        tracks[index].skip(recording)
        return frame
    }

    private func due(_ track: Int, _ recording: Recording) -> Int64 {
        let track = tracks[track]
        guard speedFactor > 0 else { return track.startNs }
        return track.startNs + Int64(Double(recording.frames[track.next].afterNs) / speedFactor)
    }

    /// The track whose frame is due first; of those due together the one that is behind.
    private func nextTrack(_ recording: Recording) -> Int? {
        var best: Int?
        for index in tracks.indices where tracks[index].next < recording.frames.count {
            guard let chosen = best else {
                best = index
                continue
            }
            let order = (due(index, recording), tracks[index].next)
            if order < (due(chosen, recording), tracks[chosen].next) { best = index }
        }
        return best
    }
}

extension Playback.Track {
    /// Goes on to the next frame of its streams.
    fileprivate mutating func skip(_ recording: Recording) {
        while next < recording.frames.count, !isPlayed[recording.frames[next].stream] { next += 1 }
    }
}
