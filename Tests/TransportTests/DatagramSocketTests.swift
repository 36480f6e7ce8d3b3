import Glibc
import Testing

@testable import Transport

extension WithLoops {
    @Suite("A UDP socket")
    struct DatagramSocketTests {
        private static let listener = ListenerSettings(host: "127.0.0.1", port: 0, tag: 9, kind: .rawTCP)

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
