/// A clock that only moves when a test says so, and what is to happen when.
///
/// Things due at one time happen in the order in which they were asked for.
public struct VirtualTime<Task>: Sendable where Task: Sendable {
    private struct Entry: Sendable {
        var dueNs: Int64
        var order: UInt64
        var task: Task
    }

    /// Nanoseconds since 1970 UTC.
    public private(set) var nowNs: Int64
    /// The next to happen last.
    private var waiting: [Entry] = []
    private var asked: UInt64 = 0

    /// - Parameter nowNs: by default 2026-01-01 00:00 UTC, a whole minute, hour and day.
    public init(nowNs: Int64 = 1_767_225_600_000_000_000) { self.nowNs = nowNs }

    public var nextDueNs: Int64? { waiting.last?.dueNs }

    /// Lets `task` happen at a time; at once when that is past.
    public mutating func schedule(_ task: Task, atNs dueNs: Int64) {
        let entry = Entry(dueNs: max(dueNs, nowNs), order: asked, task: task)
        asked += 1
        let index = waiting.partitioningIndex { $0.dueNs <= entry.dueNs }
        waiting.insert(entry, at: index)
    }

    public mutating func schedule(_ task: Task, afterNs delayNs: Int64) { schedule(task, atNs: nowNs + delayNs) }

    /// Moves the clock to the next thing due until `untilNs` and returns it; without one, moves it to `untilNs`.
    public mutating func next(untilNs: Int64) -> Task? {
        guard let entry = waiting.last, entry.dueNs <= untilNs else {
            nowNs = max(nowNs, untilNs)
            return nil
        }
        waiting.removeLast()
        nowNs = entry.dueNs
        return entry.task
    }
}

extension Array {
    /// The first index whose element fulfils a condition that all elements behind it fulfil too.
    fileprivate func partitioningIndex(where isBehind: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) >> 1
            if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
