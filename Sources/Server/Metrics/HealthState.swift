internal import Synchronization

/// What `/livez` and `/readyz` say of the hub, gathered from all threads.
///
/// Alive: every watched thread gave a sign of life lately. Ready: alive, started, not going down, and data flows from
/// at least one source (or none is configured). One venue's failure is shown but does not take the hub out of service.
package final class HealthState: Sendable {
    /// Where the process is in its life.
    package enum Phase: String, Sendable {
        case starting
        case serving
        case draining
    }

    /// What a source of market data does now.
    package enum SourceState: Hashable, Sendable {
        case live
        case connecting
        /// Connected, yet its data must not be relied on.
        case stale(reason: String)
        case failed(reason: String)
        /// It has come to its end: a recording that does not begin again.
        case finished
    }

    private struct State {
        var phase = Phase.starting
        var heartbeats: [Heartbeat] = []
        var sources: [(name: String, state: SourceState)] = []
        var stallNs: Int64
    }

    private let state: Guarded<State>

    /// `stallMs` is how long a thread may be silent.
    package init(stallMs: Int) {
        state = Guarded(State(stallNs: Int64(stallMs) * 1_000_000))
    }

    // MARK: What threads tell

    /// A thread's sign of life; `now` is when it was begun to be watched.
    package func watch(thread name: String, atNs now: Int64) -> Heartbeat {
        let heartbeat = Heartbeat(name: name, atNs: now)
        state.withLock { $0.heartbeats.append(heartbeat) }
        return heartbeat
    }

    /// A thread that ended as it should is watched no more.
    package func forget(_ heartbeat: Heartbeat) {
        state.withLock { $0.heartbeats.removeAll { $0 === heartbeat } }
    }

    package func setPhase(_ phase: Phase) { state.withLock { $0.phase = phase } }

    package func setStall(ms: Int) { state.withLock { $0.stallNs = Int64(ms) * 1_000_000 } }

    /// Sources are shown in the order they were first set.
    package func setSource(_ name: String, _ new: SourceState) {
        state.withLock { state in
            if let index = state.sources.firstIndex(where: { $0.name == name }) {
                state.sources[index].state = new
            } else {
                state.sources.append((name, new))
            }
        }
    }

    // MARK: What is reported

    package enum Question: String, Sendable {
        case live = "livez"
        case ready = "readyz"
    }

    /// An answer for an HTTP listener.
    package struct Report: Hashable, Sendable {
        /// 200 or 503.
        package var status: Int
        /// Plain text, each line ended.
        package var text: String
    }

    /// The answer to a question at a time; `isVerbose` lists every check, as a failure always does.
    package func report(_ question: Question, isVerbose: Bool, atNs now: Int64) -> Report {
        let state = state.withLock { $0 }
        var checks = state.heartbeats.map { heartbeat -> Check in
            let age = max(0, now - heartbeat.lastNs)
            let note = "last sign of life \(age / 1_000_000) ms ago"
            return Check(name: "thread \(heartbeat.name)", isPassed: age <= state.stallNs, note: note)
        }
        if question == .ready {
            checks.append(Check(name: "phase", isPassed: state.phase == .serving, note: state.phase.rawValue))
            let isAnyFlowing = state.sources.isEmpty || state.sources.contains { $0.state.isFlowing }
            let flowing = state.sources.filter { $0.state.isFlowing }.count
            let note = "\(flowing) of \(state.sources.count) deliver"
            checks.append(Check(name: "sources", isPassed: isAnyFlowing, note: note))
        }
        let isPassed = checks.allSatisfy(\.isPassed)
        var lines: [String] = []
        if isVerbose || !isPassed {
            lines = checks.map(\.line)
            if question == .ready { lines += state.sources.map { "    source \($0.name): \($0.state.note)" } }
        }
        lines.append(isPassed ? "\(question.rawValue) check passed" : "\(question.rawValue) check failed")
        return Report(status: isPassed ? 200 : 503, text: lines.joined(separator: "\n") + "\n")
    }

    private struct Check {
        var name: String
        var isPassed: Bool
        var note: String

        var line: String { "[\(isPassed ? "+" : "-")] \(name): \(note)" }
    }
}

/// A thread's last sign of life.
package final class Heartbeat: Sendable {
    package let name: String
    private let last: Atomic<Int64>

    fileprivate init(name: String, atNs now: Int64) {
        self.name = name
        last = Atomic(now)
    }

    /// Tells that the thread is alive: one relaxed store.
    package func beat(atNs now: Int64) { last.store(now, ordering: .relaxed) }

    fileprivate var lastNs: Int64 { last.load(ordering: .relaxed) }
}

extension HealthState.SourceState {
    fileprivate var isFlowing: Bool {
        switch self {
        case .live, .finished: true
        case .connecting, .stale, .failed: false
        }
    }

    fileprivate var note: String {
        switch self {
        case .live: "live"
        case .connecting: "connecting"
        case .stale(let reason): "stale, \(Self.oneLine(reason))"
        case .failed(let reason): "failed, \(Self.oneLine(reason))"
        case .finished: "finished"
        }
    }

    /// Reasons may quote what a venue sent.
    private static func oneLine(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 }.prefix(200))
    }
}
