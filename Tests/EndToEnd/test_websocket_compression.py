"""permessage-deflate (RFC 7692): what is agreed on, what goes over the wire, and what comes of bad bytes.

The cases 12 and 13 are after the Autobahn test suite's groups of these numbers: kinds of data by size and by parts, then what a client
may ask of the window. Fewer messages a case than there, and the pace of a test.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from clients import CHANNELS, LATEST, ClientFrame, ServerFrame, wait_for
from following import Followers
from hub import Hub
from raw import BINARY, CLOSE, PING, PONG, TEXT, RawSocket
from watching import metrics

CONTINUATION = 0
TAIL = b"\x00\x00\xff\xff"
OFFER = "permessage-deflate; client_max_window_bits"
MESSAGES = 12


class Compressing:
    """A connection that takes and sends compressed messages."""

    def __init__(self, hub: Hub, path: str, offer: str | None = OFFER) -> None:
        self.socket = RawSocket(hub)
        status, header, _ = self.socket.upgrade(path, Sec_WebSocket_Extensions=offer)
        assert status == 101, header
        lines = dict(line.split(": ", 1) for line in header.lower().splitlines()[1:] if ": " in line)
        self.agreement = lines.get("sec-websocket-extensions")
        self.window_bits = 15
        if self.agreement and "server_max_window_bits=" in self.agreement:
            self.window_bits = int(self.agreement.split("server_max_window_bits=")[1].split(";")[0])

    def __enter__(self) -> Compressing:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.socket.close()

    def send(self, kind: int, message: bytes, part_bytes: int = 0) -> None:
        deflater = zlib.compressobj(wbits=-15)
        data = deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH)
        self.send_raw(kind, data.removesuffix(TAIL), part_bytes)

    def send_raw(self, kind: int, data: bytes, part_bytes: int = 0, *, compressed: bool = True) -> None:
        parts = [data[at : at + part_bytes] for at in range(0, len(data), part_bytes)] if part_bytes else [data]
        for number, part in enumerate(parts, 1):
            opcode = (kind | (0x40 if compressed else 0)) if number == 1 else CONTINUATION
            self.socket.frame(opcode, part, final=number == len(parts))

    def message(self) -> tuple[int, bytes]:
        """The next message, read with the window that was agreed on and nothing of the message before."""
        while True:
            kind, payload = self.socket.next_frame()
            if kind == PING:
                self.socket.frame(PONG, payload)
                continue
            if self.socket.was_compressed:
                assert self.agreement, "nothing was agreed"
                inflater = zlib.decompressobj(wbits=-max(9, self.window_bits))
                payload = inflater.decompress(payload + TAIL) + inflater.flush()
            return kind, payload


@pytest.fixture(scope="module")
def echo() -> object:
    hub = Hub({"diagnostics.echo": True})
    hub.start()
    yield hub
    assert hub.stop() == 0


# ---- Autobahn's groups 12 and 13 ---------------------------------------------------------------------------------------

SIZES = [(size, 0) for size in (16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072)]
SIZES += [(8192, 256), (16_384, 256), (32_768, 256), (65_536, 256), (131_072, 256)]
SIZES += [(131_072, 1024), (131_072, 4096), (131_072, 32_768)]


def data_of(kind: int, size: int, number: int) -> bytes:
    """Five kinds of data, from what shrinks to a hundredth to what does not shrink at all."""
    noise = random.Random(size * 1000 + number)
    if kind == 1:
        text = json.dumps({"type": "trades", "price": f"{50_000 + number}", "quantity": "1.5", "side": "buy"}).encode()
    elif kind == 2:
        text = json.dumps([noise.randrange(10**6) for _ in range(64)]).encode()
    elif kind == 3:
        text = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. κόσμε ".encode()
    elif kind == 4:
        text = b"\x00\x01\x02\x03" * 16
    else:
        return noise.randbytes(size)
    data = (text * (size // len(text) + 1))[:size]
    # Text is cut between characters.
    return data.decode(errors="ignore").encode() if kind == 3 else data


@dataclass(frozen=True)
class Case:
    number: str
    kind: int
    size: int
    part_bytes: int
    offer: str


def offer(no_takeover: bool, window_bits: int) -> str:
    text = "permessage-deflate; client_max_window_bits"
    if no_takeover:
        text += "; server_no_context_takeover"
    return text + (f"; server_max_window_bits={window_bits}" if window_bits else "")


WINDOWS = [
    offer(False, 0),
    offer(True, 0),
    offer(False, 9),
    offer(False, 15),
    offer(True, 9),
    offer(True, 15),
    ", ".join([offer(True, 9), offer(True, 0), offer(False, 0)]),
]
CASES = [
    Case(f"12.{kind}.{number}", kind, size, part_bytes, OFFER)
    for kind in range(1, 6)
    for number, (size, part_bytes) in enumerate(SIZES, 1)
] + [
    Case(f"13.{group}.{number}", 1, size, part_bytes, wish)
    for group, wish in enumerate(WINDOWS, 1)
    for number, (size, part_bytes) in enumerate(SIZES, 1)
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
def test_the_echo_endpoint_compresses_as_it_was_agreed(echo: Hub, case: Case) -> None:
    kind = TEXT if case.kind <= 3 else BINARY
    with Compressing(echo, "/echo", case.offer) as client:
        assert client.agreement, "an offer that can be met is declined"
        compressed = 0
        for number in range(MESSAGES if case.size <= 16_384 else 3):
            message = data_of(case.kind, case.size, number)
            client.send(kind, message, case.part_bytes)
            got, payload = client.message()
            compressed += client.socket.was_compressed
            assert got == kind and len(payload) == len(message)
            assert payload == message
        # What repeats, is no shorter than a word and fits into the window comes back compressed.
        if case.kind in (1, 3, 4) and 256 <= case.size <= 1 << client.window_bits:
            assert compressed > 0


# ---- what is agreed on -------------------------------------------------------------------------------------------------

BARE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("wish", "agreement"),
    [
        ("permessage-deflate", BARE),
        ("permessage-deflate; client_max_window_bits", BARE),
        ("permessage-deflate; client_max_window_bits=10; client_no_context_takeover", BARE),
        ("permessage-deflate; server_no_context_takeover", BARE),
        ("permessage-deflate; server_max_window_bits=10", BARE + "; server_max_window_bits=10"),
        ('permessage-deflate; server_max_window_bits="12"', BARE + "; server_max_window_bits=12"),
        ("permessage-deflate ;server_max_window_bits = 8", BARE + "; server_max_window_bits=8"),
        ("x-unknown, permessage-deflate; mystery, permessage-deflate", BARE),
        ("permessage-deflate; mystery", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=08", None),
        ("permessage-deflate; client_max_window_bits=x", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("permessage-deflat", None),
        ("", None),
        (None, None),
    ],
)
def test_an_offer_is_met_or_declined(echo: Hub, wish: str | None, agreement: str | None) -> None:
    with Compressing(echo, "/ws", wish) as client:
        assert client.agreement == agreement
        client.send_raw(TEXT, b'{"type":"ping","id":1}', compressed=False)
        assert client.message() == (TEXT, b'{"type":"pong","id":1}')


@pytest.mark.parametrize(
    ("deflate", "agreed"), [("off", [False, False]), ("json", [True, False]), ("all", [True, True])]
)
def test_which_channels_compress_is_configured(start_hub: Callable[..., Hub], deflate: str, agreed: list[bool]) -> None:
    hub = start_hub({"transport.deflate": deflate})
    for path, is_agreed in zip(("/ws", "/ws/v2"), agreed, strict=True):
        with Compressing(hub, path) as client:
            assert (client.agreement is not None) == is_agreed


# ---- market data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.settings({"sources.synthetic.eventsPerSecond": 2_000})
def test_public_data_are_deflated_and_mean_the_same(hub: Hub, batch: bool) -> None:
    with Compressing(hub, "/ws") as client, Compressing(hub, "/ws", None) as plain:
        for one in (client, plain):
            request = {"type": "subscribe", "channel": "book", "symbols": ["*"], "depth": 25, "batch": batch}
            one.send_raw(TEXT, json.dumps(request).encode(), compressed=False)
        heard: list[dict[str, str]] = []
        compressed = 0
        for one in (client, plain):
            told = {}
            # Until both must have heard some of the same.
            while len(told) < 600:
                kind, payload = one.message()
                assert kind == TEXT
                compressed += one.socket.was_compressed
                value = json.loads(payload)
                for datum in value if isinstance(value, list) else [value]:
                    if datum["type"] == "book" and datum["data"]["kind"] == "update":
                        told[f"{datum['symbol']} {datum['data']['sequence']}"] = json.dumps(datum)
            heard.append(told)
        both = heard[0].keys() & heard[1].keys()
        assert compressed > 0 and len(both) > 50
        differing = [name for name in both if heard[0][name] != heard[1][name]]
        # One that was told several changes as one names another push before it.
        assert len(differing) <= len(both) // 20, differing[:3]


@pytest.mark.settings({"transport.deflate": "all", "sources.synthetic.eventsPerSecond": 2_000})
def test_the_enhanced_channel_compresses_when_told_to(hub: Hub) -> None:
    with Compressing(hub, "/ws/v2") as client:
        frame = ClientFrame()
        frame.commands.add(id=1, connect={"timings": True})
        # Whole books: a difference of a few levels is no shorter when it is deflated.
        latest = {"delivery": LATEST, "interval_ms": 20}
        frame.commands.add(id=2, subscribe={"channel": CHANNELS["book"], "symbols": ["*"], "depth": 100, **latest})
        client.send(BINARY, frame.SerializeToString())
        followers = Followers()
        compressed = 0
        while sum(one.checksum_count for one in followers.by_id.values()) < 500:
            kind, payload = client.message()
            assert kind == BINARY
            compressed += client.socket.was_compressed
            told = ServerFrame.FromString(payload)
            for reply in told.replies:
                followers.add([result.topic for result in reply.subscribe.results])
            followers.take(told.pushes)
            if told.pushes:
                assert max(push.received_ns for push in told.pushes) <= told.encoded_ns <= told.sent_ns
        assert compressed > 10


# ---- bad bytes ---------------------------------------------------------------------------------------------------------


def closing_code(client: Compressing) -> int:
    while True:
        kind, payload = client.message()
        if kind == CLOSE:
            return int.from_bytes(payload[:2], "big")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xff\xff\xff", 1007),
        (b"\x07", 1007),
        (zlib.compress(b" " * 200_000, 9, -15), 1009),
        (zlib.compress(b"\xff" * 10, 9, -15), 1007),
    ],
    ids=["nothing that was deflated", "an unknown kind of block", "a bomb", "no UTF-8 inside"],
)
def test_what_cannot_be_inflated_closes_with_a_code(hub: Hub, data: bytes, code: int) -> None:
    with Compressing(hub, "/ws") as client:
        client.send_raw(TEXT, data)
        assert closing_code(client) == code
    wait_for(lambda: metrics(hub)("market_hub_connections_closed_total", code=str(code)) >= 1, "it is counted")


def test_a_bomb_of_bombs_costs_no_memory(echo: Hub) -> None:
    with Compressing(echo, "/echo") as client:
        client.send_raw(BINARY, zlib.compress(bytes(200_000_000), 9, -15))
        assert closing_code(client) == 1009
    assert metrics(echo)("process_resident_memory_bytes") < 150_000_000


@pytest.mark.parametrize("opcode", [CLOSE | 0x40, PING | 0x40, CONTINUATION | 0x40, TEXT | 0x20, TEXT | 0x10])
def test_only_the_first_frame_of_a_message_says_that_it_is_compressed(hub: Hub, opcode: int) -> None:
    with Compressing(hub, "/ws") as client:
        if opcode == CONTINUATION | 0x40:
            client.socket.frame(TEXT, b"{", final=False)
        client.socket.frame(opcode, b"")
        assert closing_code(client) == 1002


def test_a_message_may_end_with_a_last_block(hub: Hub) -> None:
    """RFC 7692, section 7.2.3.5."""
    with Compressing(hub, "/ws") as client:
        client.send_raw(TEXT, zlib.compress(b'{"type":"ping"}', 9, -15) + b"\x00")
        assert client.message() == (TEXT, b'{"type":"pong"}')
