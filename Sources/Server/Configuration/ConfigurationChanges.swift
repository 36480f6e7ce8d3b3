/// What differs between a running configuration and a newly read one.
package struct ConfigurationChanges: Hashable, Sendable {
    /// Paths whose new values a running hub takes over.
    package var reloadable: [String] = []
    /// Paths whose new values count from the next start.
    package var needingRestart: [String] = []

    package init(from old: EffectiveConfiguration, to new: EffectiveConfiguration) {
        for (before, after) in zip(old.settings, new.settings) where !before.node.means(after.node) {
            if after.leaf.key.isReloadable {
                reloadable.append(after.leaf.path)
            } else {
                needingRestart.append(after.leaf.path)
            }
        }
    }

    package var isEmpty: Bool { reloadable.isEmpty && needingRestart.isEmpty }
}

extension JSON5Node {
    /// Whether both say the same, wherever they stand.
    fileprivate func means(_ other: JSON5Node) -> Bool {
        JSONText.compact(value) == JSONText.compact(other.value)
    }
}
