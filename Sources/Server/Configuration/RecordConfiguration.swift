/// Raw traffic of live sources, written to files.
package struct RecordConfiguration: ConfigurationSection {
    package var directory = ""
    package var fileBytesMost = 268_435_456
    package var fileSecondsMost = 3_600
    package var diskBytesMost = 10_737_418_240
    package var syncSeconds = 10
    package var ringBytes = 33_554_432

    package init() {}

    package var isEnabled: Bool { !directory.isEmpty }

    package static let keys = [
        ConfigurationKey(
            "directory",
            .text,
            "Where recordings go; made if need be, used by one hub at a time. Empty: nothing is recorded."
        ),
        ConfigurationKey("fileBytesMost", .integer(4_096...1_099_511_627_776), "A file of this size is finished."),
        ConfigurationKey("fileSecondsMost", .integer(1...604_800), "A file of this age is finished."),
        ConfigurationKey(
            "diskBytesMost",
            .integer(65_536...1_125_899_906_842_624),
            "All recordings in the directory; above it the oldest finished files are removed."
        ),
        ConfigurationKey(
            "syncSeconds",
            .integer(0...3_600),
            "How often what was written is forced to the disk, against loss of power. 0: when a file is finished."
        ),
        ConfigurationKey(
            "ringBytes",
            .integer(65_536...1_073_741_824),
            "Traffic that waits for the recorder's thread; when it is full, records are left out and counted."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        guard diskBytesMost < 2 * fileBytesMost, isEnabled else { return [] }
        return [
            ConfigurationComplaint(
                "diskBytesMost",
                "is \(diskBytesMost); it must be at least twice record.fileBytesMost (\(fileBytesMost)), "
                    + "or nothing finished is left to remove"
            )
        ]
    }
}
