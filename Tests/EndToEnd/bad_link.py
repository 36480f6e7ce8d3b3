"""A link between a client and the hub that freezes and breaks, by a seed."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import struct
import threading
import time

PIECE = 4_096
RESET = struct.pack("ii", 1, 0)


class BadLink:
    """Takes connections and passes bytes on both ways; after random numbers of bytes it freezes for a while, or cuts.

    Bytes are counted on the way to the client. Looks enough like a hub for a client to connect to.
    """

    def __init__(self, address: str, seed: int) -> None:
        self.random = random.Random(seed)
        host, port = address.rsplit(":", 1)
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.enhanced_url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/ws/v2"
        self.is_bad = True
        self.is_done = threading.Event()
        self.cuts = 0
        self.freezes = 0
        self.threads: list[threading.Thread] = []
        self._start(self._take_connections)

    def heal(self) -> None:
        """From now on nothing happens any more."""
        self.is_bad = False

    def close(self) -> None:
        self.is_done.set()
        self.listener.close()
        for thread in self.threads:
            thread.join()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self.threads.append(thread)

    def _take_connections(self) -> None:
        self.listener.settimeout(0.05)
        while not self.is_done.is_set():
            try:
                near, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._start(self._pass_on, near, self.random.randrange(1 << 30))

    def _pass_on(self, near: socket.socket, seed: int) -> None:
        dice = random.Random(seed)
        far = socket.create_connection(self.target)
        with near, far, selectors.DefaultSelector() as ready:
            for one in (near, far):
                one.setblocking(True)
                ready.register(one, selectors.EVENT_READ)
            passed, trouble = 0, dice.randrange(200, 60_000)
            while not self.is_done.is_set():
                for key, _ in ready.select(0.05):
                    source, sink = (near, far) if key.fileobj is near else (far, near)
                    data = b""
                    with contextlib.suppress(ConnectionResetError):
                        data = source.recv(PIECE)
                    if not data:
                        return
                    if source is far and self.is_bad and passed + len(data) >= trouble:
                        # At the very byte, which may be in the middle of a frame's header.
                        with contextlib.suppress(OSError):
                            sink.sendall(data[: trouble - passed])
                        if dice.random() < 0.4:
                            self.cuts += 1
                            for one in (near, far):
                                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                            return
                        self.freezes += 1
                        time.sleep(dice.uniform(0.02, 0.3))  # What a frozen link is.
                        data, passed = data[trouble - passed :], trouble
                        trouble += dice.randrange(200, 60_000)
                    try:
                        sink.sendall(data)
                    except OSError:
                        return
                    passed += len(data) if source is far else 0
