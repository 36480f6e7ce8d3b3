import FuzzProperties

/// The property under test, chosen once by the argument `--property=NAME`; libFuzzer ignores what begins with two dashes.
nonisolated(unsafe) private var chosen: FuzzProperty?

/// Called by libFuzzer before anything else.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    count: UnsafeMutablePointer<CInt>,
    arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>
) -> CInt {
    for index in 0..<Int(count.pointee) {
        guard let pointer = arguments.pointee[index] else { continue }
        let argument = String(cString: pointer)
        guard argument.hasPrefix("--property=") else { continue }
        let name = argument.dropFirst("--property=".count)
        chosen = fuzzProperties.first { $0.name == name }
    }
    guard chosen != nil else { fatalError("--property is one of \(fuzzProperties.map(\.name))") }
    return 0
}

/// Called by libFuzzer with each input; the property stops the process when it does not hold.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(start: UnsafePointer<UInt8>?, count: Int) -> CInt {
    chosen?.check(UnsafeRawBufferPointer(start: start, count: count))
    return 0
}
