"""What operators see of a hub: its metrics and health, and its memory."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path

from hub import Hub

SERIES = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, and body; any status is an answer."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, {name.lower(): value for name, value in answer.headers.items()}, answer.read()


class Metrics:
    """One scrape, read strictly as Prometheus' text format 0.0.4."""

    def __init__(self, text: str) -> None:
        self.kinds: dict[str, str] = {}
        self.helps: dict[str, str] = {}
        self.series: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        assert text.endswith("\n")
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name, _, words = line.removeprefix("# HELP ").partition(" ")
                assert name not in self.helps and words, line
                self.helps[name] = words
            elif line.startswith("# TYPE "):
                name, _, kind = line.removeprefix("# TYPE ").partition(" ")
                assert name not in self.kinds and kind in ("counter", "gauge", "histogram"), line
                self.kinds[name] = kind
            else:
                found = SERIES.match(line)
                assert found, f"no line of the format: {line!r}"
                name, labels, value = found.groups()
                family = name if name in self.kinds else re.sub("_(bucket|sum|count)$", "", name)
                assert family in self.kinds, f"{name} came before its TYPE"
                key = (name, frozenset(LABEL.findall(labels or "")))
                assert key not in self.series, f"twice: {line}"
                self.series[key] = float(value)

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of all series that have these labels; 0 when there is none."""
        wanted = set(labels.items())
        return sum(value for (key, has), value in self.series.items() if key == name and wanted <= has)


def metrics(hub: Hub) -> Metrics:
    status, headers, body = get(hub.admin_url + "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    return Metrics(body.decode())


def resident_bytes(hub: Hub) -> int:
    for line in Path(f"/proc/{hub.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not say how much memory the hub has")
