/// Why a loop cannot be made or cannot listen.
public enum TransportError: Error, Equatable, Sendable {
    /// Another process listens on that address.
    case portBusy(host: String, port: UInt16)
    /// The host is no numeric address of this machine.
    case address(host: String)
    /// The certificate or its key cannot be read, or do not belong together.
    case certificate(path: String, keyPath: String, message: String)
    /// libwebsockets cannot start; most often the package libwebsockets-evlib-uv is missing.
    case context(message: String)
    /// The kernel refused; `code` is its error number.
    case system(operation: String, code: Int32)
}
