package import Market

// Passes with given contents, for those who test what is made of them.

extension Push {
    package init(
        topic: TopicID,
        format: Format = .enhanced,
        channel: Channel,
        instrument: InstrumentID,
        sequence: UInt64,
        previous: UInt64,
        skipped: UInt64 = 0,
        eventNs: Int64,
        receivedNs: Int64,
        flags: EventFlags = [],
        payload: Payload
    ) {
        self.topic = topic
        self.format = format
        self.channel = channel
        self.instrument = instrument
        self.sequence = sequence
        self.previous = previous
        self.skipped = skipped
        self.eventNs = eventNs
        self.receivedNs = receivedNs
        self.flags = flags
        self.payload = payload
        levels = 0..<0
        checksum = nil
    }
}

extension Pass {
    /// Adds a push with its levels; it is no session's share.
    ///
    /// - Returns: the push as it stands in the pass.
    @discardableResult
    package mutating func append(_ push: Push, levels: [LevelChange] = []) -> Push {
        var added = push
        added.levels = Int32(self.levels.count)..<Int32(self.levels.count + levels.count)
        self.levels += levels
        pushes.append(added)
        return added
    }

    /// Adds a push with its single orders.
    @discardableResult
    package mutating func append(_ push: Push, orders: [RestingOrder]) -> Push {
        var added = push
        added.levels = Int32(self.orders.count)..<Int32(self.orders.count + orders.count)
        self.orders += orders
        pushes.append(added)
        return added
    }
}
