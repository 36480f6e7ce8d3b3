/// What the owner of a loop does when something happens on it; always called on the loop's thread.
///
/// An identity names the same connection from `opened` (or `rawOpened`) to `closed`; every connection that was opened
/// is closed exactly once.
public protocol IOLoopHandler: AnyObject {
    /// Some thread called ``IOLoop/wake()``: read the rings.
    func wake(on loop: IOLoop)
    /// Once a turn, after all that was ready has been handled: the place of a fan-out pass.
    func turnEnded(on loop: IOLoop)
    /// Every 100 ms, for all timers that need not be exact.
    func sweep(on loop: IOLoop)
    /// The time given to ``IOLoop/schedulePass(afterNs:)`` is over.
    func passDue(on loop: IOLoop)

    /// Answers an HTTP request; the body is complete.
    func respond(to request: HTTPRequest, on loop: IOLoop) -> HTTPResponse
    /// Decides on a well-formed WebSocket upgrade.
    func admit(_ request: HTTPRequest, on loop: IOLoop) -> UpgradeDecision
    /// An admitted upgrade is done; `tag` is the decision's.
    func opened(_ connection: ConnectionID, tag: UInt8, request: HTTPRequest, on loop: IOLoop)
    /// A whole message; the bytes are valid during the call only.
    func received(
        _ message: UnsafeRawBufferPointer,
        isText: Bool,
        from connection: ConnectionID,
        on loop: IOLoop
    )
    /// The answer to a ping of ours (or a pong nobody asked for).
    func ponged(_ payload: UnsafeRawBufferPointer, from connection: ConnectionID, on loop: IOLoop)
    /// The remainder of a write that reported ``WriteResult/blocked`` has left.
    func writable(_ connection: ConnectionID, on loop: IOLoop)
    /// The connection is gone, whoever ended it.
    func closed(_ connection: ConnectionID, on loop: IOLoop)
    /// The same with the WebSocket code it was closed with: ours, else the peer's, else 1006 for an end without one.
    func closed(_ connection: ConnectionID, code: UInt16, on loop: IOLoop)
    /// A connection ended without having become anything; nothing else is told of it.
    func turnedAway(_ reason: TurnedAway, on loop: IOLoop)

    /// What a request is told that the transport refuses by itself: `detail` says why, in words for a person.
    func refusal(_ status: Int, _ detail: String, on loop: IOLoop) -> HTTPResponse

    /// A listener's certificate was read anew: ``IOLoop/requestCertificates()``.
    func readCertificate(_ reading: CertificateReading, on loop: IOLoop)

    /// A connection on a listener for raw TCP; `tag` is the listener's.
    func rawOpened(_ connection: ConnectionID, peerAddress: String, tag: UInt8, on loop: IOLoop)
    /// Bytes as they came, in order and cut anywhere; valid during the call only.
    func rawReceived(_ bytes: UnsafeRawBufferPointer, from connection: ConnectionID, on loop: IOLoop)
}

extension IOLoopHandler {
    public func wake(on loop: IOLoop) {}
    public func turnEnded(on loop: IOLoop) {}
    public func sweep(on loop: IOLoop) {}
    public func passDue(on loop: IOLoop) {}
    public func ponged(_ payload: UnsafeRawBufferPointer, from connection: ConnectionID, on loop: IOLoop) {}
    public func writable(_ connection: ConnectionID, on loop: IOLoop) {}
    public func closed(_ connection: ConnectionID, code: UInt16, on loop: IOLoop) { closed(connection, on: loop) }
    public func turnedAway(_ reason: TurnedAway, on loop: IOLoop) {}
    public func refusal(_ status: Int, _ detail: String, on loop: IOLoop) -> HTTPResponse {
        HTTPResponse(status: status, text: detail + "\n")
    }
    public func readCertificate(_ reading: CertificateReading, on loop: IOLoop) {}
    public func rawOpened(_ connection: ConnectionID, peerAddress: String, tag: UInt8, on loop: IOLoop) {}
    public func rawReceived(_ bytes: UnsafeRawBufferPointer, from connection: ConnectionID, on loop: IOLoop) {}
}

/// Why the transport let a connection go before anybody was asked.
public enum TurnedAway: String, Sendable {
    /// More connections than ``IOLoop/connectionsMost``.
    case tooManyConnections = "too_many_connections"
    /// The request header took longer than it may.
    case slowHeader = "slow_header"
    /// It ended before its request header was complete, or that was too long or no HTTP.
    case noRequest = "no_request"
    /// The request could be understood in two ways, or says what no request may.
    case badRequest = "bad_request"
}

/// The answer to a request to become a WebSocket.
public enum UpgradeDecision {
    /// Goes ahead. `subprotocol` must be one that was offered, or nil.
    case accept(subprotocol: String?, tag: UInt8, SocketClass)
    /// Sends this instead of 101, and closes.
    case refuse(HTTPResponse)
}

/// How much may lie in the kernel for a connection, and how much it may say at once.
public struct SocketClass: Sendable, Equatable {
    /// SO_SNDBUF; zero leaves the kernel's choice.
    public var sendBufferBytes: Int
    /// TCP_NOTSENT_LOWAT: stale data hides below this mark only.
    public var notSentLowWaterBytes: Int
    /// A longer message closes the connection with 1009, before or after inflating.
    public var messageBytesMost: Int
    /// Whether permessage-deflate is agreed to when it is offered.
    public var compresses: Bool

    public init(sendBufferBytes: Int, notSentLowWaterBytes: Int, messageBytesMost: Int, compresses: Bool = false) {
        self.compresses = compresses
        self.sendBufferBytes = sendBufferBytes
        self.notSentLowWaterBytes = notSentLowWaterBytes
        self.messageBytesMost = messageBytesMost
    }

    /// A person's page: little lies in the kernel, so that what is seen is fresh.
    public static func browser(messageBytesMost: Int) -> SocketClass {
        SocketClass(sendBufferBytes: 64 * 1024, notSentLowWaterBytes: 16 * 1024, messageBytesMost: messageBytesMost)
    }

    /// A program that reads fast and wants few interruptions of a burst.
    public static func bot(messageBytesMost: Int) -> SocketClass {
        SocketClass(sendBufferBytes: 256 * 1024, notSentLowWaterBytes: 32 * 1024, messageBytesMost: messageBytesMost)
    }
}

/// What became of a write.
public enum WriteResult: Sendable, Equatable {
    /// The kernel has it.
    case sent
    /// Taken, but a remainder waits: write nothing more until ``IOLoopHandler/writable(_:on:)``.
    case blocked
    /// Not taken, because the remainder of an earlier write still waits.
    case refused
    /// The connection is closing or gone.
    case gone
}
