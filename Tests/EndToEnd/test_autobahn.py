"""The Autobahn test suite itself against the echo endpoint; its own cases are in test_websocket_conformance.py for every run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hub import ROOT, Hub

# The last release for CPython 2.7, which alone it runs on.
SUITE = "autobahntestsuite==0.8.2"
FOLDER = ROOT / ".build" / "autobahn"
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.*", "13.*"]
GOOD = {"OK", "INFORMATIONAL"}
# What the suite itself calls good enough: how early a fault is seen.
LENIENT = ("5.15", "6.4.")
MINUTES_MOST = 45


def python_2() -> str | None:
    """An interpreter that is CPython 2.7: named by PYTHON27, on the path, or among those of pyenv."""
    candidates = [os.environ.get("PYTHON27"), shutil.which("python2.7")]
    candidates += map(str, Path.home().glob(".pyenv/versions/2.7*/bin/python2.7"))
    for candidate in filter(None, candidates):
        asked = subprocess.run([candidate, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
        if asked.stdout.strip() == "(2, 7)":
            return candidate
    return None


def suite() -> Path:
    """The suite's program, installed once into an environment of its own."""
    program = FOLDER / "bin" / "wstest"
    if program.exists():
        return program
    python = python_2()
    if python is None:
        pytest.skip("no CPython 2.7 is there, which the Autobahn suite needs (PYTHON27 names one)")
    # A copy of virtualenv that still makes environments of 2.7, in a folder of its own so that nothing of the system changes.
    tools = FOLDER.with_name("autobahn-tools")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", tools, "virtualenv==20.15.1"], check=True, stdout=subprocess.DEVNULL)
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    subprocess.run([python, "-m", "virtualenv", "--quiet", FOLDER], check=True, env=environment, stdout=subprocess.DEVNULL)
    subprocess.run([FOLDER / "bin" / "pip", "install", "--quiet", SUITE], check=True, stdout=subprocess.DEVNULL)
    return program


@pytest.mark.long
def test_the_original_suite_finds_nothing(start_hub: Callable[..., Hub], tmp_path: Path) -> None:
    wstest = suite()
    hub = start_hub({"diagnostics.echo": True, "sources.synthetic.enabled": False})
    specification = tmp_path / "fuzzingclient.json"
    server = {"agent": "market-hub", "url": f"ws://{hub.listeners['web']}/echo"}
    wanted = {"outdir": str(tmp_path / "report"), "servers": [server], "cases": CASES, "exclude-cases": [], "exclude-agent-cases": {}}
    specification.write_text(json.dumps(wanted))
    # It ends with status 0 whatever it finds: what counts is its report.
    with (FOLDER / "wstest.log").open("w") as log:
        subprocess.run(
            [wstest, "--mode", "fuzzingclient", "--spec", specification],
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=MINUTES_MOST * 60,
        )
    report = json.loads((tmp_path / "report" / "index.json").read_text())["market-hub"]
    assert len(report) >= 500, f"only {len(report)} cases were run, see {FOLDER / 'wstest.log'}"
    faults = {
        case: (found["behavior"], found["behaviorClose"])
        for case, found in report.items()
        if not is_good(case, found["behavior"]) or not is_good(case, found["behaviorClose"])
    }
    counts = Counter(found["behavior"] for found in report.values())
    print("autobahn: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    assert not faults, faults


def is_good(case: str, behavior: str) -> bool:
    return behavior in GOOD or behavior == "NON-STRICT" and case.startswith(LENIENT)
