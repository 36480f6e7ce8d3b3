#!/usr/bin/env python3
"""Writes the golden bytes that the codec's tests read: vectors/NAME.bin, and vectors/expected.json with what they mean.

Run by hand when the contract grows: `.build/venv/bin/python web-client/test/unit/make_vectors.py`. The bytes come from
Google's protobuf, so that our reader and writer are not tested against each other alone.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "Tests" / "EndToEnd"))
from fake_hub import proto  # noqa: E402

OUT = Path(__file__).parent / "vectors"
# 2026-11-20 10:00:00.123456789 UTC.
NOW_NS = 1_795_168_800_123_456_789
MOST = 2**53 - 1


def server_frame(**fields):
    return proto["ServerFrame"](**fields)


def push(**fields):
    return server_frame(pushes=[proto["Push"](**fields)])


VECTORS = {
    "empty": (server_frame(), {"replies": [], "pushes": [], "sentUs": 0}),
    "ticker": (
        push(
            topic=7, sequence=300, previous=297, skipped=2, event_ns=NOW_NS - 1, received_ns=NOW_NS, flags=256,
            ticker=proto["Ticker"](
                bid_price=9_741_234, bid_quantity=1, ask_price=9_741_235, ask_quantity=MOST, last_price=-64,
                last_quantity=128, day_open=-9_000_000_000_000, day_high=MOST, day_low=-MOST, day_volume=2**32,
            ),
        ),
        {"pushes": [{
            "topic": 7, "sequence": 300, "previous": 297, "skipped": 2, "eventUs": (NOW_NS - 1) // 1000,
            "receivedUs": NOW_NS // 1000, "flags": 256,
            "ticker": {
                "bidPrice": 9_741_234, "bidQuantity": 1, "askPrice": 9_741_235, "askQuantity": MOST, "lastPrice": -64,
                "lastQuantity": 128, "dayOpen": -9_000_000_000_000, "dayHigh": MOST, "dayLow": -MOST,
                "dayVolume": 2**32,
            },
        }]},
    ),
    "trade": (
        push(topic=2**32 - 1, trade=proto["Trade"](price=-1, quantity=5, aggressor=2, id=b"\x00\xff42")),
        {"pushes": [{
            "topic": 2**32 - 1, "trade": {"price": -1, "quantity": 5, "aggressor": 2, "id": [0, 255, 52, 50]},
        }]},
    ),
    "book": (
        push(book_delta=proto["Book"](
            bids=[proto["Level"](price=2**31, quantity=0), proto["Level"](price=-(2**31), quantity=2**31)],
            asks=[proto["Level"](price=2**32 + 1, quantity=1)], crc32=0xFFFFFFFE,
        )),
        {"pushes": [{"bookDelta": {
            "bids": [{"price": 2**31, "quantity": 0}, {"price": -(2**31), "quantity": 2**31}],
            "asks": [{"price": 2**32 + 1, "quantity": 1}], "crc32": 0xFFFFFFFE,
        }}]},
    ),
    # A checksum of 0 is present all the same: it is the member of a oneof.
    "book_crc_zero": (push(book_snapshot=proto["Book"](crc32=0)), {"pushes": [{"bookSnapshot": {"crc32": 0}}]}),
    "replies": (
        server_frame(
            replies=[
                proto["Reply"](id=1, connect=proto["ConnectResult"](
                    server_ns=NOW_NS, version="0.1.0 \u00b5\u2713\U0001f980", epoch=MOST,
                    limits=proto["Limits"](frame_bytes_most=65_536),
                ), timing=proto["Timing"](received_ns=1_999, done_ns=2_000)),
                proto["Reply"](id=300, error=proto["Error"](
                    code=102, reason="unknown_symbol", temporary=True,
                    fields=[proto["FieldError"](field="symbols[0]", message="No instrument fits XYZ")],
                )),
                proto["Reply"](id=2, unsubscribe=proto["UnsubscribeResult"](topics=[1, 128, 2**32 - 1])),
            ],
            sent_ns=NOW_NS,
        ),
        {
            "replies": [
                {"id": 1, "connect": {
                    "serverUs": NOW_NS // 1000, "version": "0.1.0 \u00b5\u2713\U0001f980", "epoch": MOST,
                    "limits": {"frameBytesMost": 65_536},
                }, "timing": {"receivedUs": 1, "doneUs": 2}},
                {"id": 300, "error": {
                    "code": 102, "reason": "unknown_symbol", "temporary": True,
                    "fields": [{"field": "symbols[0]", "message": "No instrument fits XYZ"}],
                }},
                {"id": 2, "unsubscribe": {"topics": [1, 128, 2**32 - 1]}},
            ],
            "sentUs": NOW_NS // 1000,
        },
    ),
}

COMMANDS = proto["ClientFrame"](commands=[
    proto["Command"](id=1, connect=proto["Connect"](client="test", pass_ms=25)),
    proto["Command"](id=2, subscribe=proto["Subscribe"](channel=1, symbols=["*", "BTC-USD@kraken"])),
    proto["Command"](id=3, unsubscribe=proto["Unsubscribe"](topics=[1, 300])),
    proto["Command"](id=4, list=proto["ListInstruments"](**{"from": 1000})),
    # Whole microseconds: that is what the page writes.
    proto["Command"](id=5, ping=proto["Ping"](client_ns=NOW_NS // 1000 * 1000)),
])


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for name, (message, _) in VECTORS.items():
        (OUT / f"{name}.bin").write_bytes(message.SerializeToString(deterministic=True))
    (OUT / "commands.bin").write_bytes(COMMANDS.SerializeToString(deterministic=True))
    expected = {name: meaning for name, (_, meaning) in VECTORS.items()}
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


main()
