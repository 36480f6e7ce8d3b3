"""What Scripts/tally makes of the runners' reports."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tally(*arguments: str) -> tuple[int, list[str]]:
    """The exit status and the printed lines."""
    done = subprocess.run([ROOT / "Scripts" / "tally", *arguments], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout.splitlines()


def swift_report(path: Path, *events: tuple[str, str, str]) -> str:
    """An event stream that declares every test named in `events` of (kind, test, text)."""
    records = [
        {"kind": "test", "payload": {"id": f"HubTests.{test}", "kind": "function", "name": test}}
        for test in dict.fromkeys(test for _, test, _ in events)
    ]
    records += [
        {
            "kind": "event",
            "payload": {"kind": kind, "testID": f"HubTests.{test}", "messages": [{"symbol": "", "text": text}] if text else []},
        }
        for kind, test, text in events
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return f"swift={path}"


def test_counts_swift_tests_and_tells_why_one_was_skipped(tmp_path: Path) -> None:
    report = swift_report(
        tmp_path / "swift.jsonl",
        ("testStarted", "a()", ""),
        ("testEnded", "a()", ""),
        ("testSkipped", "b()", 'Test "b" skipped: "the captures are absent"'),
    )
    status, lines = tally(report)
    assert status == 0
    assert lines == ['skipped  swift  HubTests.b() "b()": the captures are absent', "1 passed, 0 failed, 1 skipped"]


def test_a_swift_test_with_an_issue_failed(tmp_path: Path) -> None:
    report = swift_report(
        tmp_path / "swift.jsonl",
        ("testStarted", "a()", ""),
        ("issueRecorded", "a()", "Expectation failed"),
        ("issueRecorded", "a()", "Expectation failed"),
        ("testEnded", "a()", ""),
    )
    assert tally(report) == (1, ["0 passed, 1 failed, 0 skipped"])


def test_a_swift_test_that_never_ended_failed(tmp_path: Path) -> None:
    report = swift_report(tmp_path / "swift.jsonl", ("testStarted", "crashes()", ""))
    assert tally(report) == (1, ["0 passed, 1 failed, 0 skipped"])


def test_a_name_with_a_line_separator_of_unicode_is_no_failure(tmp_path: Path) -> None:
    text = 'Test case passing 1 argument text -> "a\u2028b\x85c"'
    events = [{"kind": "test", "payload": {"id": "T.a()", "kind": "function", "name": "a()"}}]
    events += [
        {"kind": "event", "payload": {"kind": kind, "testID": "T.a()", "messages": [{"symbol": "", "text": text}]}}
        for kind in ("testStarted", "testEnded")
    ]
    report = tmp_path / "swift.jsonl"
    report.write_text("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events), encoding="utf-8")
    assert tally(f"swift={report}") == (0, ["1 passed, 0 failed, 0 skipped"])


def test_counts_pytest(tmp_path: Path) -> None:
    report = tmp_path / "pytest.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="c" name="a"/>'
        '<testcase classname="c" name="b"><skipped message="no Chromium"/></testcase>'
        '<testcase classname="c" name="d"><failure>x</failure></testcase></testsuite></testsuites>'
    )
    assert tally(f"pytest={report}") == (1, ["skipped  pytest  c.b: no Chromium", "1 passed, 1 failed, 1 skipped"])


def test_counts_node(tmp_path: Path) -> None:
    report = tmp_path / "node.tap"
    report.write_text(
        "TAP version 13\n# Subtest: group\n    ok 1 - a\n    ok 2 - b # SKIP no browser\nok 1 - group\n"
        "not ok 2 - c\n# tests 3\n# pass 1\n# fail 0\n# cancelled 1\n# skipped 1\n# todo 0\n"
    )
    assert tally(f"node={report}") == (1, ["skipped  node  b: no browser", "1 passed, 1 failed, 1 skipped"])


@pytest.mark.parametrize(
    ("runner", "text"),
    [
        ("swift", '{"kind":"event","payload":{"kind":"runStarted","messages":[]}}\n'),
        ("pytest", "<testsuites><testsuite/></testsuites>"),
        ("node", "TAP version 13\n1..0\n# tests 0\n# pass 0\n"),
    ],
    ids=["swift", "pytest", "node"],
)
def test_a_runner_that_counted_no_test_is_a_failure(runner: str, text: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.write_text(text)
    assert tally(f"{runner}={report}") == (1, [f"{runner}: no test was counted", "0 passed, 0 failed, 0 skipped"])


def test_a_runner_without_a_report_is_a_failure_and_the_others_still_count(tmp_path: Path) -> None:
    good = tmp_path / "pytest.xml"
    good.write_text('<testsuite><testcase classname="c" name="a"/></testsuite>')
    status, lines = tally(f"swift={tmp_path / 'absent'}", f"pytest={good}")
    assert status == 1
    assert lines[0].startswith("swift: no report of its tests")
    assert lines[-1] == "1 passed, 0 failed, 0 skipped"
