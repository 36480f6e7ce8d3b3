import Synchronization

/// What a running hub takes over when its configuration is read again.
package struct ReloadedSettings: Sendable {
    package var hub: HubConfiguration
    package var gate: OriginGate
    package var trustedProxies: [AddressRange]

    package init(_ configuration: Configuration) {
        hub = configuration.hub
        gate = OriginGate(origins: configuration.listen.origins, hosts: configuration.listen.hosts)
        trustedProxies = configuration.listen.trustedProxies.compactMap(AddressRange.init)
    }
}

/// Hands newly read settings to the threads that use them: each looks when it is woken.
package final class Reloads: Sendable {
    private let settings: Guarded<ReloadedSettings>
    private let count = Atomic<Int>(1)

    package init(_ settings: ReloadedSettings) { self.settings = Guarded(settings) }

    package func publish(_ settings: ReloadedSettings) {
        self.settings.withLock { $0 = settings }
        count.wrappingAdd(1, ordering: .releasing)
    }

    package var current: ReloadedSettings { settings.withLock { $0 } }

    /// The settings when they are newer than the ones that `seen` counts.
    package func newer(than seen: inout Int) -> ReloadedSettings? {
        let now = count.load(ordering: .acquiring)
        guard now != seen else { return nil }
        seen = now
        return settings.withLock { $0 }
    }
}
