import Glibc
import Testing

@testable import Transport

/// Keeps what a stream socket tells.
private final class StreamNotes: StreamSocketHandler, @unchecked Sendable {
    let bytes = Guarded<[UInt8]>([])
    let ends = Guarded<[String]>([])
    private let greeting: [UInt8]

    init(greeting: [UInt8] = []) { self.greeting = greeting }

    func connected(_ socket: StreamSocket) { if !greeting.isEmpty { socket.send(greeting) } }

    func received(_ bytes: UnsafeRawBufferPointer, from socket: StreamSocket) {
        self.bytes.withLock { $0.append(contentsOf: bytes) }
    }

    func ended(_ socket: StreamSocket, reason: String) { ends.withLock { $0.append(reason) } }
}

extension WithLoops {
    @Suite("A socket that libuv reads")
    struct LoopSocketTests {
        private static let listener = ListenerSettings(host: "127.0.0.1", port: 0, tag: 9, kind: .rawTCP)

        @Test("carries a TCP stream both ways, as much as there is")
        func stream() throws {
            let greeting = (0..<900_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            let notes = StreamNotes(greeting: greeting)
            try withServer(settings: Self.listener) { port, loops, handler in
                handler.perform(on: loops[0]) { loop in
                    _ = try? StreamSocket.connect(to: "127.0.0.1", port: port, on: loop, handler: notes)
                }
                #expect(eventually { notes.bytes.withLock { $0.count } == greeting.count })
                #expect(notes.bytes.withLock { $0 } == greeting && notes.ends.withLock { $0.isEmpty })
            }
            // The loop closed it with itself, which is no news.
            #expect(notes.ends.withLock { $0.count } <= 1)
        }

        @Test("says that nobody listens, and what is no address")
        func refused() throws {
            let notes = StreamNotes()
            let problems = Guarded<[TransportError]>([])
            try withServer(settings: Self.listener) { _, loops, handler in
                handler.perform(on: loops[0]) { loop in
                    // Port 1 of this machine is nobody's.
                    _ = try? StreamSocket.connect(to: "127.0.0.1", port: 1, on: loop, handler: notes)
                    do throws(TransportError) {
                        _ = try StreamSocket.connect(to: "localhost", port: 1, on: loop, handler: notes)
                    } catch {
                        problems.withLock { $0.append(error) }
                    }
                }
                #expect(eventually { notes.ends.withLock { $0.count } == 1 })
                #expect(notes.ends.withLock { $0 } == ["connection refused"])
                #expect(problems.withLock { $0 } == [.address(host: "localhost")])
            }
        }

        @Test("carries datagrams whole, empty ones too, and answers from its own port")
        func datagrams() throws {
            let heard = Guarded<[[UInt8]]>([])
            let port = Guarded<UInt16>(0)
            let problems = Guarded<[TransportError]>([])
            let sent: [[UInt8]] = [[1], [], Array(repeating: 7, count: 60_000), [2, 3]]
            try withServer(settings: Self.listener) { _, loops, handler in
                handler.perform(on: loops[0]) { loop in
                    do throws(TransportError) {
                        let receiver = try DatagramSocket.open(
                            on: loop,
                            host: "127.0.0.1",
                            port: 0,
                            receiveBufferBytes: 1 << 20
                        ) { packet in heard.withLock { $0.append(Array(packet)) } }
                        port.withLock { $0 = receiver.port }
                        let sender = try DatagramSocket.open(on: loop, host: "127.0.0.1", port: 0) { _ in }
                        for packet in sent { sender.send(packet, to: "127.0.0.1", port: receiver.port) }
                        // Taken already, and not to be shared: only groups are.
                        _ = try DatagramSocket.open(on: loop, host: "127.0.0.1", port: receiver.port) { _ in }
                    } catch {
                        problems.withLock { $0.append(error) }
                    }
                }
                #expect(eventually { heard.withLock { $0.count } == sent.count })
                #expect(heard.withLock { $0 } == sent)
                #expect(problems.withLock { $0 } == [.portBusy(host: "127.0.0.1", port: port.withLock { $0 })])
            }
        }

        @Test("tells nothing after it was closed")
        func closes() throws {
            let heard = Guarded(0)
            let isClosed = Guarded(false)
            try withServer(settings: Self.listener) { _, loops, handler in
                handler.perform(on: loops[0]) { loop in
                    guard
                        let receiver = try? DatagramSocket.open(
                            on: loop,
                            host: "127.0.0.1",
                            port: 0,
                            received: { _ in heard.withLock { $0 += 1 } }
                        ),
                        let sender = try? DatagramSocket.open(on: loop, host: "127.0.0.1", port: 0, received: { _ in })
                    else { return }
                    sender.send([1], to: "127.0.0.1", port: receiver.port)
                    receiver.close()
                    receiver.close()
                    isClosed.withLock { $0 = !receiver.send([1], to: "127.0.0.1", port: sender.port) }
                }
                #expect(eventually { isClosed.withLock { $0 } })
                usleep(50_000)
                #expect(heard.withLock { $0 } == 0)
            }
        }
    }
}
