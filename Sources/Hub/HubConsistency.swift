import Market

/// What must hold between any two calls.
extension Hub {
    /// Whether all lists and numbers agree with each other.
    ///
    /// Costs O(everything): for assertions and tests.
    package var isConsistent: Bool {
        sessions.indices.allSatisfy(isSessionConsistent)
            && topicIDs.allSatisfy { isTopicConsistent($1) && topics[$1.index].key == $0 }
            && topicIDs.count + freeTopics.count == topics.count
            && areDirtyListsConsistent
            && topicIDs.values.count { topics[$0.index].lingersUntilNs != nil } == lingeringCount
            && sessions.count { $0.isOpen } == sessionCount
            && missed.keys.allSatisfy { missed in
                topics[missed.topic.index].subscribers.contains { $0.slot == missed.slot && $0.isBehind }
            }
            && deals.isEmpty && pairs.isEmpty && touched.isEmpty
            && shareCounts.count == sessions.count && shareCounts.allSatisfy { $0 == 0 }
            && sessions.count { $0.isOpen && $0.isBlocked } == blockedCount
    }

    private func isSessionConsistent(_ slot: Int) -> Bool {
        let session = sessions[slot]
        guard session.isOpen || session.subscriptions.isEmpty && session.wildcards.isEmpty else { return false }
        var behindCount = 0
        for (index, subscription) in session.subscriptions.enumerated() {
            let subscribers = topics[subscription.topic.index].subscribers
            guard subscribers.indices.contains(Int(subscription.place)) else { return false }
            let subscriber = subscribers[Int(subscription.place)]
            guard Int(subscriber.slot) == slot, Int(subscriber.place) == index else { return false }
            guard session.places[subscription.topic].map(Int.init) == index else { return false }
            if subscriber.isBehind { behindCount += 1 }
        }
        return behindCount == session.behindCount
            && session.places.count == session.subscriptions.count
            && Set(session.subscriptions.map(\.topic)).count == session.subscriptions.count
    }

    private func isTopicConsistent(_ id: TopicID) -> Bool {
        let topic = topics[id.index]
        return topic.id == id && topic.subscribers.isEmpty == (topic.lingersUntilNs != nil)
            && (topic.lingersUntilNs == nil
                || lingering.contains { $0.topic == id && $0.untilNs == topic.lingersUntilNs })
            && topic.behindCount == topic.subscribers.count { $0.isBehind }
            && states[topic.key.instrument.index].topics(of: topic.key.view.channel)[topic.listPlace] == id
            && topic.subscribers.enumerated().allSatisfy { place, subscriber in
                let subscriptions = sessions[Int(subscriber.slot)].subscriptions
                guard subscriptions.indices.contains(Int(subscriber.place)) else { return false }
                let subscription = subscriptions[Int(subscriber.place)]
                return subscription.topic == id && Int(subscription.place) == place
            }
    }

    private var areDirtyListsConsistent: Bool {
        let listed = dirty.joined()
        return zip(dirty.indices, dirty).allSatisfy { index, list in
            list.enumerated().allSatisfy { place, id in
                topics[id.index].dirtyClass == index && topics[id.index].dirtyPlace == place
            }
        }
            && topics.count { $0.isDirty } == listed.count
            && zip(dirty, classDueNs).allSatisfy { !$0.isEmpty || $1 == nil }
    }
}
