import Market

/// How subscriptions and topics end.
extension Hub {
    mutating func unsubscribe(_ request: UnsubscribeRequest, _ id: SessionID) -> Answer {
        guard request.symbols.count + request.topics.count <= settings.symbolsPerRequestMost else {
            let most = settings.symbolsPerRequestMost
            return .refused(Refusal(.tooManySymbols, "At most \(most) symbols are allowed in one request."))
        }
        let named = Set(request.symbols)
        let numbered = Set(request.topics)
        let wildcardsBefore = sessions[id.index].wildcards.count
        if let channel = request.channel {
            sessions[id.index].wildcards.removeAll { $0.view.channel == channel && named.contains($0.pattern) }
        }
        let instruments = Set(request.symbols.compactMap { table.id(named: $0) })
        var fitting: [String: Set<InstrumentID>] = [:]
        var ended: [TopicID] = []
        var isChanged = sessions[id.index].wildcards.count < wildcardsBefore
        for place in sessions[id.index].subscriptions.indices.reversed() {
            let subscription = sessions[id.index].subscriptions[place]
            let key = topics[subscription.topic.index].key
            let isMeant =
                key.view.channel == request.channel
                && (named.contains(subscription.symbol)
                    || !subscription.isFromWildcard && instruments.contains(key.instrument))
            let isNumbered = numbered.contains(subscription.topic)
            guard isMeant || isNumbered else { continue }
            isChanged = true
            if !isNumbered, let pattern = wildcard(of: id, for: key, &fitting) {
                sessions[id.index].subscriptions[place].symbol = pattern
                sessions[id.index].subscriptions[place].isFromWildcard = true
                continue
            }
            ended.append(subscription.topic)
            removeSubscription(at: place, of: id)
        }
        guard isChanged else {
            let text = "None of these is subscribed to; the subscriptions show what is."
            return .refused(Refusal(.notSubscribed, text))
        }
        return .unsubscribed(ended.sorted { $0.rawValue < $1.rawValue })
    }

    /// A wildcard of the session that means the topic; `fitting` keeps what the wildcards looked at mean.
    private func wildcard(
        of id: SessionID,
        for key: Topic.Key,
        _ fitting: inout [String: Set<InstrumentID>]
    ) -> String? {
        for wildcard in sessions[id.index].wildcards where wildcard.view == key.view {
            let fits = fitting[wildcard.pattern] ?? Set(table.ids(matching: wildcard.pattern))
            fitting[wildcard.pattern] = fits
            if fits.contains(key.instrument) { return wildcard.pattern }
        }
        return nil
    }

    /// Ends one subscription; the last of the session's takes its place, and the topic ends with its last subscriber.
    ///
    /// Where the session's connection was lost it may be asked for again soon.
    mutating func removeSubscription(at index: Int, of id: SessionID, isLost: Bool = false) {
        let subscription = sessions[id.index].subscriptions[index]
        let (topic, place) = (subscription.topic, Int(subscription.place))
        endMissing(place, of: topic, slot: id.slot)
        // Another session may have this slot before the next push.
        topics[topic.index].aheadJoiners.removeAll { $0.slot == id.slot }
        let moved = topics[topic.index].subscribers[topics[topic.index].subscribers.count - 1]
        topics[topic.index].subscribers[place] = moved
        topics[topic.index].subscribers.removeLast()
        if moved.slot != id.slot || Int(moved.place) != index {
            sessions[Int(moved.slot)].subscriptions[Int(moved.place)].place = Int32(place)
        }
        let lastIndex = sessions[id.index].subscriptions.count - 1
        let last = sessions[id.index].subscriptions[lastIndex]
        sessions[id.index].subscriptions[index] = last
        sessions[id.index].subscriptions.removeLast()
        sessions[id.index].places[topic] = nil
        if lastIndex != index {
            topics[last.topic.index].subscribers[Int(last.place)].place = Int32(index)
            sessions[id.index].places[last.topic] = Int32(index)
        }
        guard topics[topic.index].subscribers.isEmpty else { return }
        if isLost { linger(topic) } else { endTopic(topic) }
    }

    /// Forgets that a subscriber is behind, and what it missed.
    mutating func endMissing(_ place: Int, of topic: TopicID, slot: UInt32) {
        guard topics[topic.index].subscribers[place].isBehind else { return }
        topics[topic.index].subscribers[place].seen = nil
        sessions[Int(slot)].behindCount -= 1
        topics[topic.index].behindCount -= 1
        missed[Missed(topic: topic, slot: slot)] = nil
    }

    mutating func endTopic(_ id: TopicID) {
        let key = topics[id.index].key
        topicIDs[key] = nil
        let place = topics[id.index].listPlace
        if let moved = states[key.instrument.index].remove(at: place, from: key.view.channel) {
            topics[moved.index].listPlace = place
        }
        clearDirty(id)
        topics[id.index] = Topic(key: key, id: id, intervalClass: 0)
        freeTopics.append(id)
    }
}
