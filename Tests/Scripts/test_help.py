"""Every script says what it is for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path for path in (ROOT / "Scripts").iterdir() if path.is_file() and not path.name.startswith("."))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help_names_the_usage_and_does_nothing(script: Path) -> None:
    done = subprocess.run([script, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert f"usage: scripts/{script.name}" in done.stdout.lower()
