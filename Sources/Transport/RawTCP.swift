internal import CLibWebSockets

/// Connections on listeners for raw TCP, plain or TLS: bytes in both directions, nothing else.
extension IOLoop {
    /// LWS_CALLBACK_RAW_ADOPT.
    func rawAdopted(_ id: ConnectionID) -> Int32 {
        // A CONNECT request turns an HTTP connection raw; nobody wants that.
        guard sockets[id].role == .raw else { return -1 }
        let settings = listeners[Int(sockets[id].listener)].settings
        sockets[id].phase = .open
        sockets[id].tag = settings.tag
        sockets[id].deadlineNs = 0
        handler?.rawOpened(id, peerAddress: sockets[id].peerAddress, tag: settings.tag, on: self)
        if !isServing { sayGoodbye(id) }
        return 0
    }

    /// LWS_CALLBACK_RAW_RX.
    func rawArrived(_ id: ConnectionID, _ bytes: UnsafeRawBufferPointer) -> Int32 {
        guard sockets[id].role == .raw else { return -1 }
        guard sockets[id].phase == .open else { return 0 }
        handler?.rawReceived(bytes, from: id, on: self)
        return 0
    }

    /// Stops or resumes reading from a raw connection; meanwhile its sender fills the kernel's buffers and then waits.
    ///
    /// What was read already may still be handed over once.
    public func setReading(_ isReading: Bool, from connection: ConnectionID) {
        guard sockets.contains(connection), sockets[connection].role == .raw, sockets[connection].phase == .open,
            let wsi = sockets[connection].wsi
        else { return }
        lws_rx_flow_control(wsi, isReading ? 1 : 0)
    }
}
