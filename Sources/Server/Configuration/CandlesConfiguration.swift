/// Past candles and where they are kept.
package struct CandlesConfiguration: ConfigurationSection {
    package var directory = ""
    package var bytesMost = 268_435_456

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "directory",
            .text,
            "Where candles are kept from one run to the next; made if it is not there. Empty: in memory only."
        ),
        ConfigurationKey(
            "bytesMost",
            .integer(0...1_099_511_627_776),
            "Memory for past candles of all instruments together; when it is full, the oldest candles give way."
        ),
    ]
}
