import Market

/// The newest pushes of all topics of a loop, within bounds, for clients who missed some of a topic's.
///
/// Each topic's pushes are chained from the newest on, so that what a client missed is found in the time that its own pushes
/// take. The oldest give way to the newest, whichever topics they are of.
struct RecentPushes: Sendable {
    /// A push as it was told to all who listened.
    struct Entry: Sendable {
        var stamp: Topic.Stamp
        var previous: UInt64
        var payload: Push.Payload
        var checksum: UInt32?
        /// Where its levels stand among all there ever were; negative count where they are not kept.
        var firstStep: UInt64
        var stepCount: Int
        /// The topic's entry before this one; 0 for none.
        var before: UInt64
    }

    /// A level that a push changed, and what it was before, where that is known.
    struct Step: Sendable {
        var change: LevelChange
        var old: Quantity
    }

    /// Entries that are kept, and levels in all of them.
    let pushesMost: Int
    let stepsMost: Int
    private var entries: [Entry] = []
    private var steps: [Step] = []
    /// Numbers count from 1.
    private var nextEntry: UInt64 = 1
    private var nextStep: UInt64 = 0

    /// Four levels a push: most change one or two.
    init(pushesMost: Int) {
        self.pushesMost = pushesMost
        stepsMost = 4 * pushesMost
    }

    /// Keeps a push.
    ///
    /// A push with more levels than a quarter of all that are kept is kept without them: nobody can be given it again.
    /// - Returns: the number of its entry.
    mutating func append(
        _ push: Push,
        _ levels: ArraySlice<LevelChange>,
        before: UInt64,
        old: (LevelChange) -> Quantity
    ) -> UInt64 {
        let isKept = levels.count <= stepsMost / 4
        let entry = Entry(
            stamp: push.stamp,
            previous: push.previous,
            payload: push.payload,
            checksum: push.checksum,
            firstStep: nextStep,
            stepCount: isKept ? levels.count : -1,
            before: before
        )
        if isKept { for change in levels { keep(Step(change: change, old: old(change))) } }
        return keep(entry)
    }

    /// Keeps what another ring kept.
    mutating func append(_ known: Entry, _ steps: [Step], before: UInt64) -> UInt64 {
        var entry = known
        (entry.firstStep, entry.before) = (nextStep, before)
        entry.stepCount = steps.count <= stepsMost / 4 ? steps.count : -1
        if entry.stepCount > 0 { for step in steps { keep(step) } }
        return keep(entry)
    }

    private mutating func keep(_ entry: Entry) -> UInt64 {
        let place = Int((nextEntry - 1) % UInt64(pushesMost))
        if place < entries.count { entries[place] = entry } else { entries.append(entry) }
        nextEntry += 1
        return nextEntry - 1
    }

    private mutating func keep(_ step: Step) {
        let place = Int(nextStep % UInt64(stepsMost))
        if place < steps.count { steps[place] = step } else { steps.append(step) }
        nextStep += 1
    }

    /// An entry that is kept still, with all its levels.
    subscript(number: UInt64) -> Entry? {
        guard number > 0, number < nextEntry, nextEntry - number <= UInt64(pushesMost) else { return nil }
        let entry = entries[Int((number - 1) % UInt64(pushesMost))]
        guard entry.stepCount >= 0, entry.stepCount == 0 || nextStep - entry.firstStep <= UInt64(stepsMost) else {
            return nil
        }
        return entry
    }

    /// Calls `body` with each level of an entry that is kept still.
    func forEachStep(of entry: Entry, _ body: (Step) -> Void) {
        for offset in 0..<max(0, entry.stepCount) {
            body(steps[Int((entry.firstStep + UInt64(offset)) % UInt64(stepsMost))])
        }
    }

    /// A push that is kept, by itself.
    struct Kept: Sendable {
        var number: UInt64
        var entry: Entry
        var steps: [Step]
    }

    /// What is kept still of the chain that ends with `newest`, oldest first.
    func kept(to newest: UInt64) -> [Kept] {
        var (found, number): ([Kept], UInt64) = ([], newest)
        while let entry = self[number] {
            var steps: [Step] = []
            forEachStep(of: entry) { steps.append($0) }
            found.append(Kept(number: number, entry: entry, steps: steps))
            number = entry.before
        }
        return found.reversed()
    }

    /// Why a chain does not lead to a push.
    enum Break: Error {
        /// What follows the push is not kept any more, or is more than was asked for.
        case tooOld
        /// The push is none of the topic's.
        case unknown
    }

    /// The entries that follow the push with the number `sequence`, oldest first, on the chain that ends with `newest`; at most
    /// so many.
    func chain(to newest: UInt64, behind sequence: UInt64, most: Int) throws(Break) -> [Entry] {
        var found: [Entry] = []
        var number = newest
        while true {
            guard found.count < most, let entry = self[number] else { throw .tooOld }
            guard entry.previous >= sequence else { throw .unknown }
            found.append(entry)
            if entry.previous == sequence { break }
            number = entry.before
        }
        found.reverse()
        return found
    }
}

extension Push {
    var stamp: Topic.Stamp {
        Topic.Stamp(sequence: sequence, eventNs: eventNs, receivedNs: receivedNs, flags: flags)
    }
}
