/// How a source reads what is recorded of it, as far as a reader must know to say the same: values by their names.
///
/// What is as usual has no value. A reader lets values be that it does not know.
package struct RecordedSettings: Hashable, Sendable {
    private var values: [String: String] = [:]

    package init() {}

    /// From the fields of a mark, each a name, `=` and a value; others mean nothing.
    init(fields: some Sequence<String>) {
        for field in fields {
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
        }
    }

    /// As they stand in a mark, in the order of their names.
    var fields: [String] { values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } }

    var isEmpty: Bool { values.isEmpty }

    /// A value without tabs and line feeds.
    subscript(name: String) -> String? {
        get { values[name] }
        set { values[name] = newValue }
    }
}
