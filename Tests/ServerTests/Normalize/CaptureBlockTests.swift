import Foundation
import Testing

@testable import Server

private func block(_ text: String) -> [UInt8] {
    var packer = CaptureBlockPacker()
    var block: [UInt8] = []
    Array(text.utf8).withUnsafeBytes { packer.pack($0, into: &block) }
    return block
}

private struct Reading: Equatable {
    var lines: [String] = []
    var losses: [CaptureLoss] = []
}

private func read(_ bytes: [UInt8]) throws -> Reading {
    let path = FileManager.default.temporaryDirectory.appending(path: "blocks-\(UUID().uuidString).cap.gz").path
    try Data(bytes).write(to: URL(filePath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    var reading = Reading()
    var reader = try CaptureReader(path: path)
    while let line = try reader.next() {
        switch line {
        case .text(let text): reading.lines.append(String(decoding: text, as: UTF8.self))
        case .tooLong: Issue.record("a line is too long")
        case .lost(let loss): reading.losses.append(loss)
        }
    }
    #expect(reader.lossCount == reading.losses.count)
    return reading
}

@Suite("Blocks of a recording")
struct CaptureBlockTests {
    private let first = block("1\t1\tR\ta\n2\t1\tR\tb\n")
    private let second = block("3\t1\tR\tc\n")
    private let third = block("4\t1\tR\td\n5\t1\tR\te\n")
    private let lines = ["1\t1\tR\ta", "2\t1\tR\tb", "3\t1\tR\tc", "4\t1\tR\td", "5\t1\tR\te"]

    @Test("are read in order, one behind the other")
    func whole() throws {
        #expect(try read(first + second + third) == Reading(lines: lines))
        #expect(try read(block("")) == Reading())
    }

    @Test("are packed as gzip reads them")
    func gzip() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "packed-\(UUID().uuidString).gz").path
        try Data(first + second + third).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        // Not by Foundation's Process, which leaks a weak reference.
        let gzip = try #require(popen("gzip -dc '\(path)'", "r"))
        var unpacked = [UInt8](repeating: 0, count: 4096)
        unpacked.removeLast(unpacked.count - fread(&unpacked, 1, unpacked.count, gzip))
        #expect(pclose(gzip) == 0)
        #expect(String(decoding: unpacked, as: UTF8.self) == lines.map { $0 + "\n" }.joined())
    }

    @Test("of a file cut anywhere: all whole ones are read, and the rest is named")
    func cut() throws {
        let file = first + second + third
        for length in 16..<file.count {
            let reading = try read(Array(file[..<length]))
            let whole = length >= first.count + second.count ? 3 : length >= first.count ? 2 : 0
            let start = [0, 0, first.count, first.count + second.count][whole]
            #expect(reading.lines == Array(lines[..<whole]), "cut at \(length)")
            guard start < length else {
                #expect(reading.losses.isEmpty, "cut at \(length)")
                continue
            }
            let loss = try #require(reading.losses.first)
            #expect(reading.losses.count == 1 && loss.isTail)
            #expect(loss.offset == start && loss.byteCount == length - start)
            #expect(loss.description.contains("the last \(length - start) bytes, from \(start) on, are no whole block"))
        }
    }

    @Test("behind a damaged one are read, wherever the damage is")
    func damaged() throws {
        let file = first + second + third
        let damaged = first.count..<(first.count + second.count)
        for place in damaged {
            var bytes = file
            bytes[place] ^= 0x40
            let reading = try read(bytes)
            // The bits that fill the last byte of the packed data mean nothing.
            if place == damaged.upperBound - 9, reading == Reading(lines: lines) { continue }
            #expect(reading.lines == lines.filter { $0 != lines[2] }, "byte \(place)")
            #expect(reading.losses.map(\.offset) == [damaged.lowerBound], "byte \(place)")
            #expect(reading.losses.map(\.byteCount) == [damaged.count], "byte \(place)")
            #expect(reading.losses.allSatisfy { !$0.isTail })
        }
    }

    @Test("a length that lies costs its block alone", arguments: [0, 27, 40, 1 << 30, 0xFFFF_FFFF] as [UInt32])
    func lengths(length: UInt32) throws {
        var bytes = first + second + third
        for place in 0..<4 { bytes[first.count + 16 + place] = UInt8(length >> (8 * UInt32(place)) & 0xFF) }
        #expect(try read(bytes).lines == lines.filter { $0 != lines[2] })
    }

    @Test("hold lines longer than the reader's room")
    func long() throws {
        let long = String(repeating: "x", count: 3_000_000)
        let reading = try read(first + block("\(long)\nshort\n") + third)
        #expect(reading.lines.count == 6 && reading.lines[2] == long && reading.lines[3] == "short")
        #expect(reading.losses.isEmpty)
    }
}

@Suite("Packed records")
struct PackedRecordTests {
    private let room = UnpackingRoom()

    private func unpacked(_ line: String) throws -> (CaptureRecord.Kind, isBinary: Bool, [UInt8]) {
        try Array(line.utf8).withUnsafeBytes { bytes in
            let record = try CaptureRecord(bytes).unpacked(in: room)
            return (record.kind, record.isBinary, [UInt8](record.payload))
        }
    }

    @Test(
        "give any bytes back",
        arguments: [[], [0], [10], [9, 10], [0xFF, 0xFE, 10], Array(0...255), Array(repeating: 10, count: 10_000)]
            as [[UInt8]],
        [true, false]
    )
    func roundTrip(payload: [UInt8], isBinary: Bool) throws {
        var line: [UInt8] = []
        let head = RecordHead(.received, connection: 7, isBinary: isBinary, atNs: 5)
        payload.withUnsafeBytes { CaptureLine.append(head, $0, to: &line) }
        #expect(line.last == 10 && !line.dropLast().contains(10))
        let read = try unpacked(String(decoding: line.dropLast(), as: UTF8.self))
        #expect(read.0 == .received && read.isBinary == isBinary && read.2 == payload)
    }

    @Test("stay lines of text where they can be", arguments: ["", "{}", "a\tb", "é", #"{"a":"\n"}"#])
    func text(payload: String) {
        var line: [UInt8] = []
        let head = RecordHead(.sent, connection: 1, atNs: 5)
        Array(payload.utf8).withUnsafeBytes { CaptureLine.append(head, $0, to: &line) }
        #expect(String(decoding: line, as: UTF8.self) == "5\t1\tS\t\(payload)\n")
    }

    @Test(
        "that hold nothing are refused",
        arguments: ["", "r", "r\tAAA", "r\tAAF=", "B\tAAAA", "q\tAAAA", "rr\tAAAA", "r\tA A="]
    )
    func bad(payload: String) {
        #expect(throws: CaptureRecord.Fault.badPacking) { try unpacked("5\t1\tB\t\(payload)") }
    }
}

@Suite("Marks of a recorder")
struct RecordingMarkTests {
    private func mark(_ text: String) -> RecordingMark? { Array(text.utf8).withUnsafeBytes { RecordingMark($0) } }

    @Test(
        "are read as they were written",
        arguments: [
            .file(source: "kraken", venue: "kraken", run: 17, number: 3), .open(url: "wss://a/b?c"),
            .lost(reason: "gap"), .ended, .watched,
            .settings(RecordedSettings(fields: ["quietMs=5", "symbols=A,B=C"])),
            .gap(records: 9),
            .missed(messages: 7), .kept(message: "8=FIX.4.4\u{1}9=5\u{1}58=a\tb"),
        ] as [RecordingMark]
    )
    func roundTrip(written: RecordingMark) { #expect(mark(written.payload) == written) }

    @Test(
        "of another time mean nothing",
        arguments: ["", "word", "gap", "gap\t0", "gap\tx", "file\ta\tb\t1", "file\ta\tb\t1\t0"]
    )
    func unknown(text: String) { #expect(mark(text) == nil) }

    @Test("name settings in the same order, and let words be that are none")
    func settings() throws {
        var settings = RecordedSettings()
        settings["quietMs"] = "5"
        settings["checksum"] = "off"
        #expect(RecordingMark.settings(settings).payload == "settings\tchecksum=off\tquietMs=5")
        #expect(mark("settings\tquietMs=5\tword\tchecksum=off") == .settings(settings))
    }

    @Test("say which file follows which")
    func follows() {
        let first = RecordingMark.file(source: "a", venue: "b", run: 1, number: 1)
        #expect(RecordingMark.file(source: "a", venue: "b", run: 1, number: 2).follows(first))
        #expect(!RecordingMark.file(source: "a", venue: "b", run: 1, number: 3).follows(first))
        #expect(!RecordingMark.file(source: "a", venue: "b", run: 2, number: 2).follows(first))
        #expect(!RecordingMark.file(source: "c", venue: "b", run: 1, number: 2).follows(first))
        #expect(!first.follows(nil))
    }
}
