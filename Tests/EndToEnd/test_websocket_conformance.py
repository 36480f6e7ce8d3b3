"""RFC 6455 as the Autobahn test suite asks for it: its groups 1 to 7, 9 and 10, under its numbers, on raw sockets.

No liberty is taken that the RFC gives but one: every ping is answered, everything in the order in which it came, and whoever breaks
the protocol is told so by a close frame. What was sent just before a goodbye may be lost with the connection, as Autobahn's 7.1.6
allows as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any

import pytest

from hub import Hub
from raw import BINARY, CLOSE, PING, PONG, TEXT, RawSocket

CONTINUATION = 0
LONGEST = 16 * 1024 * 1024
GREEK = "κόσμε".encode()
# Two words of Greek with a code point in the middle that none is: a surrogate.
BROKEN = GREEK + b"\xed\xa0\x80" + b"edited"


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0) -> bytes:
    """As a client sends it; a mask of zeros leaves the payload as it is."""
    head = bytes([(128 if final else 0) | reserved << 4 | opcode])
    if len(payload) < 126:
        head += bytes([128 | len(payload)])
    elif len(payload) < 65_536:
        head += bytes([128 | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([128 | 127]) + struct.pack(">Q", len(payload))
    return head + bytes(4) + payload


def parts(opcode: int, *payloads: bytes) -> list[bytes]:
    """One message in as many frames."""
    kinds = [opcode] + [CONTINUATION] * (len(payloads) - 1)
    return [
        frame(kind, payload, final=number == len(payloads))
        for number, (kind, payload) in enumerate(zip(kinds, payloads, strict=True), 1)
    ]


def goodbye(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)


@dataclass(frozen=True)
class Case:
    number: str
    sends: list[bytes]
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    # What the hub closes with; 0 when it must not.
    closes: int = 0
    # 0: as it comes; otherwise so many bytes a write.
    chop: int = 0
    # Whether the goodbye may come in place of the last answer.
    last_may_lack: bool = False


def texts_and_binaries() -> Iterator[Case]:
    for group, opcode, letter in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for number, size in enumerate((0, 125, 126, 127, 128, 65_535, 65_536), 1):
            payload = letter * size
            yield Case(f"1.{group}.{number}", [frame(opcode, payload)], [(opcode, payload)])
        payload = letter * 65_536
        yield Case(f"1.{group}.8", [frame(opcode, payload)], [(opcode, payload)], chop=997)


def pings() -> Iterator[Case]:
    for number, payload in enumerate((b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125), 1):
        yield Case(f"2.{number}", [frame(PING, payload)], [(PONG, payload)])
    yield Case("2.5", [frame(PING, b"\xfe" * 126)], closes=1002)
    yield Case("2.6", [frame(PING, b"\xfe" * 125)], [(PONG, b"\xfe" * 125)], chop=1)
    yield Case("2.7", [frame(PONG)])
    yield Case("2.8", [frame(PONG, b"unsolicited")])
    yield Case("2.9", [frame(PONG, b"unsolicited"), frame(PING, b"ping")], [(PONG, b"ping")])
    many = [f"payload-{number}".encode() for number in range(10)]
    yield Case("2.10", [frame(PING, one) for one in many], [(PONG, one) for one in many])
    yield Case("2.11", [frame(PING, one) for one in many], [(PONG, one) for one in many], chop=1)


def reserved_bits() -> Iterator[Case]:
    hello = frame(TEXT, b"Hello, world!")
    echo = [(TEXT, b"Hello, world!")]
    yield Case("3.1", [frame(TEXT, b"Hello, world!", reserved=1)], closes=1002)
    for number, (bits, chop) in {2: (2, 0), 3: (3, 0), 4: (4, 1)}.items():
        sends = [hello, frame(TEXT, b"Hello, world!", reserved=bits), frame(PING)]
        yield Case(f"3.{number}", sends, echo, 1002, chop)
    yield Case("3.5", [frame(BINARY, b"\x00\xff\xfe", reserved=5)], closes=1002)
    yield Case("3.6", [frame(PING, b"Hello, world!", reserved=6)], closes=1002)
    yield Case("3.7", [frame(CLOSE, struct.pack(">H", 1000), reserved=7)], closes=1002)


def opcodes() -> Iterator[Case]:
    hello, echo = frame(TEXT, b"Hello, world!"), [(TEXT, b"Hello, world!")]
    for group, first in ((1, 3), (2, 11)):
        yield Case(f"4.{group}.1", [frame(first)], closes=1002)
        yield Case(f"4.{group}.2", [frame(first + 1, b"reserved opcode")], closes=1002)
        for number, (payload, chop) in {3: (b"", 0), 4: (b"reserved opcode", 0), 5: (b"reserved opcode", 1)}.items():
            sends = [hello, frame(first + number - 1, payload), frame(PING)]
            yield Case(f"4.{group}.{number}", sends, echo, 1002, chop)


def fragments() -> Iterator[Case]:
    one, two, whole = b"fragment1", b"fragment2", (TEXT, b"fragment1fragment2")
    pong = (PONG, b"ping payload")
    yield Case("5.1", parts(PING, one, two), closes=1002)
    yield Case("5.2", parts(PONG, one, two), closes=1002)
    first, last = parts(TEXT, one, two)
    for number, chop in {3: 0, 4: 0, 5: 1}.items():
        yield Case(f"5.{number}", [first, last], [whole], chop=chop)
    for number, chop in {6: 0, 7: 0, 8: 1}.items():
        yield Case(f"5.{number}", [first, frame(PING, b"ping payload"), last], [pong, whole], chop=chop)
    after = frame(TEXT, b"Hello, world!")
    for base, final in ((9, True), (12, False)):
        for offset, chop in enumerate((0, 0, 1)):
            sends = [frame(CONTINUATION, b"non-continuation payload", final=final), after]
            yield Case(f"5.{base + offset}", sends, closes=1002, chop=chop)
    sends = [first, last, frame(CONTINUATION, b"fragment3", final=False), frame(TEXT, b"fragment4")]
    yield Case("5.15", sends, [whole], 1002)
    for number, final in ((16, False), (17, True)):
        pair = [frame(CONTINUATION, b"fragment1", final=final), frame(TEXT, b"fragment2", final=True)]
        yield Case(f"5.{number}", pair * 2, closes=1002)
    yield Case("5.18", [frame(TEXT, one, final=False), frame(TEXT, two)], closes=1002)
    five = [f"fragment{number}".encode() for number in range(1, 6)]
    frames = parts(TEXT, *five)
    sends = [*frames[:2], frame(PING, b"ping1"), *frames[2:4], frame(PING, b"ping2"), frames[4]]
    answers = [(PONG, b"ping1"), (PONG, b"ping2"), (TEXT, b"".join(five))]
    yield Case("5.19", sends, answers)
    yield Case("5.20", sends, answers, chop=1)


def utf8() -> Iterator[Case]:
    def case(number: str, sends: list[bytes], payload: bytes, chop: int = 0) -> Case:
        try:
            payload.decode()
        except UnicodeDecodeError:
            return Case(number, sends, closes=1007, chop=chop)
        return Case(number, sends, [(TEXT, payload)], chop=chop)

    yield case("6.1.1", [frame(TEXT)], b"")
    yield case("6.1.2", parts(TEXT, b"", b"", b""), b"")
    yield case("6.1.3", parts(TEXT, b"", b"middle frame payload", b""), b"middle frame payload")
    text = "Hello-µ@ßöäüàá-UTF-8!!".encode()
    yield case("6.2.1", [frame(TEXT, text)], text)
    yield case("6.2.2", parts(TEXT, text[:12], text[12:]), text)
    yield case("6.2.3", parts(TEXT, *[text[at : at + 1] for at in range(len(text))]), text)
    yield case("6.2.4", parts(TEXT, *[GREEK[at : at + 1] for at in range(len(GREEK))]), GREEK)
    yield case("6.3.1", [frame(TEXT, BROKEN)], BROKEN)
    yield case("6.3.2", parts(TEXT, *[BROKEN[at : at + 1] for at in range(len(BROKEN))]), BROKEN)
    beyond = GREEK + b"\xf4\x90\x80\x80" + b"edited"
    yield case("6.4.1", parts(TEXT, GREEK, b"\xf4\x90\x80\x80", b"edited"), beyond)
    yield case("6.4.2", parts(TEXT, beyond[:12], beyond[12:]), beyond)
    yield case("6.4.3", [frame(TEXT, beyond)], beyond, chop=len(GREEK) + 6)
    yield case("6.4.4", [frame(TEXT, beyond)], beyond, chop=1)
    sequences: dict[str, list[bytes]] = {
        "5": [GREEK, b"Hello-" + GREEK + b"-UTF-8!!", "Hello-µ@ßöäüàá-UTF-8!!".encode(), GREEK * 2, text * 2],
        "6": [GREEK[:length] for length in range(1, len(GREEK) + 1)],
        "7": [b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"],
        "8": [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
        "9": [b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"],
        "10": [b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"],
        "11": [b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80"],
        "12": [b"\x80", b"\xbf", *[b"\x80\xbf" * half + b"\x80" * odd for half, odd in ((1, 0), (1, 1), (2, 0), (2, 1), (3, 0))],
               bytes(range(0x80, 0xC0))],
        "13": [b"".join(bytes([lead, 32]) for lead in leads)
               for leads in (range(0xC0, 0xE0), range(0xE0, 0xF0), range(0xF0, 0xF8), range(0xF8, 0xFC), range(0xFC, 0xFE))],
        "14": [b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80",
               b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"],
        "15": [b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf"],
        "16": [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"],
        "17": [b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"],
        "18": [b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"],
        "19": [b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"],
        "20": [b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf"],
        "21": [high + low for high in (b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf")
               for low in (b"\xed\xb0\x80", b"\xed\xbf\xbf")],
        "22": [chr(plane << 16 | last).encode() for plane in range(17) for last in (0xFFFE, 0xFFFF)],
        "23": [chr(special).encode() for special in range(0xFFF9, 0xFFFE)],
    }  # fmt: skip
    for group, payloads in sequences.items():
        for number, payload in enumerate(payloads, 1):
            yield case(f"6.{group}.{number}", [frame(TEXT, payload)], payload)


def goodbyes() -> Iterator[Case]:
    hello, echo = frame(TEXT, b"Hello World!"), [(TEXT, b"Hello World!")]
    yield Case("7.1.1", [hello], echo)
    # What follows a goodbye is not heard.
    yield Case("7.1.2", [goodbye(1000), goodbye(1000)], closes=1000)
    yield Case("7.1.3", [goodbye(1000), frame(PING)], closes=1000)
    yield Case("7.1.4", [goodbye(1000), hello], closes=1000)
    first, last = parts(TEXT, b"fragment1", b"fragment2")
    yield Case("7.1.5", [first, goodbye(1000), last], closes=1000)
    large = b"BAsd7&jh23" * 26_215
    sends = [frame(TEXT, large), frame(TEXT, b"Hello World!"), goodbye(1000), frame(PING)]
    yield Case("7.1.6", sends, [(TEXT, large), *echo], 1000, last_may_lack=True)
    yield Case("7.3.1", [frame(CLOSE)], closes=1005)
    yield Case("7.3.2", [frame(CLOSE, b"a")], closes=1002)
    yield Case("7.3.3", [goodbye(1000)], closes=1000)
    yield Case("7.3.4", [goodbye(1000, b"Hello World!")], closes=1000)
    yield Case("7.3.5", [goodbye(1000, b"*" * 123)], closes=1000)
    yield Case("7.3.6", [goodbye(1000, b"*" * 124)], closes=1002)
    yield Case("7.5.1", [goodbye(1000, BROKEN)], closes=1007)
    good = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for number, code in enumerate(good, 1):
        yield Case(f"7.7.{number}", [goodbye(code)], closes=code)
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield Case(f"7.9.{number}", [goodbye(code)], closes=1002)


def large_messages() -> Iterator[Case]:
    sizes = (64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, LONGEST)
    for group, opcode, letter in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for number, size in enumerate(sizes, 1):
            payload = letter * size
            yield Case(f"9.{group}.{number}", [frame(opcode, payload)], [(opcode, payload)])
    for group, opcode, letter in ((3, TEXT, b"*"), (4, BINARY, b"\xfe")):
        payload = letter * (4 << 20)
        # Autobahn begins at frames of 64 bytes, 65,536 of them.
        for number, size in enumerate((64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20), 1):
            pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
            yield Case(f"9.{group}.{number}", parts(opcode, *pieces), [(opcode, payload)])
    for group, opcode, letter in ((5, TEXT, b"*"), (6, BINARY, b"\xfe")):
        payload = letter * (1 << 20)
        for number, chop in enumerate((64, 128, 256, 512, 1024, 2048), 1):
            yield Case(f"9.{group}.{number}", [frame(opcode, payload)], [(opcode, payload)], chop=chop)
    for group, opcode in ((7, TEXT), (8, BINARY)):
        for number, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
            payload = b"*" * size
            yield Case(f"9.{group}.{number}", [frame(opcode, payload)] * 1_000, [(opcode, payload)] * 1_000)
    payload = b"*" * (64 << 10)
    pieces = [payload[at : at + 1_300] for at in range(0, len(payload), 1_300)]
    yield Case("10.1.1", parts(TEXT, *pieces), [(TEXT, payload)])


CASES = [
    case
    for group in (texts_and_binaries, pings, reserved_bits, opcodes, fragments, utf8, goodbyes, large_messages)
    for case in group()
]


def number_of(case: Case) -> str:
    return case.number


@pytest.fixture(scope="module")
def echo() -> Iterator[Hub]:
    hub = Hub({"diagnostics.echo": True})
    hub.start()
    yield hub
    assert hub.stop() == 0


def converse(socket: RawSocket, case: Case) -> None:
    portions = case.sends
    if case.chop:
        # Otherwise the kernel puts the pieces together again.
        socket.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        data = b"".join(case.sends)
        portions = [data[at : at + case.chop] for at in range(0, len(data), case.chop)]
    sender = socket.send_beside(portions)
    try:
        code = take_answers(socket, case)
    finally:
        sender.join()
    if code is None and not case.closes:
        socket.send(goodbye(1000))
    assert (code or socket.close_code()) == (case.closes or 1000)


def take_answers(socket: RawSocket, case: Case) -> int | None:
    """Reads all that the case wants; the code of a close frame that came in place of the last."""
    for number, (wanted_kind, wanted) in enumerate(case.answers, 1):
        kind, payload = socket.next_frame()
        if kind == CLOSE and case.last_may_lack and number == len(case.answers):
            return int.from_bytes(payload[:2], "big")
        # The payloads apart: a difference of megabytes is no text to read.
        assert kind == wanted_kind and len(payload) == len(wanted)
        assert payload == wanted
    return None


@pytest.mark.parametrize("case", CASES, ids=number_of)
def test_the_echo_endpoint_keeps_the_protocol(echo: Hub, case: Case) -> None:
    with RawSocket(echo) as socket:
        assert socket.upgrade("/echo")[0] == 101
        converse(socket, case)


# Without a message for the legacy channel: its answer to anything else is an error frame.
BARE = [case for case in CASES if all(kind == PONG for kind, _ in case.answers) and case.number[0] in "234567"]


@pytest.mark.parametrize("case", BARE, ids=number_of)
def test_the_legacy_channel_keeps_the_protocol(echo: Hub, case: Case) -> None:
    with RawSocket(echo) as socket:
        assert socket.upgrade("/ws")[0] == 101
        converse(socket, case)


def test_there_is_no_echo_unless_it_is_wanted(hub: Hub) -> None:
    with RawSocket(hub) as socket:
        assert socket.upgrade("/echo")[0] == 404
