"""The table that Scripts/long-checks keeps in Docs/PERFORMANCE.md."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("long_checks", str(ROOT / "Scripts" / "long-checks"))
    spec = importlib.util.spec_from_loader("long_checks", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["long_checks"] = module
    was, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = was
    return module


def row(name: str, figures: str) -> list[str]:
    return [name, "`command`", "passed", figures, "1.0", "abc1234", "2026-01-01"]


def test_replaces_a_row_and_keeps_the_others_and_the_page(script: ModuleType) -> None:
    empty = f"# Page\n\n{script.BEGIN}\n{script.END}\n\nThe end.\n"
    first = script.with_rows(empty, {"a": row("a", "1"), "b": row("b", "2")})
    assert script.table_rows(first) == {"a": row("a", "1"), "b": row("b", "2")}
    second = script.with_rows(first, {**script.table_rows(first), "b": row("b", "3")})
    assert script.table_rows(second) == {"a": row("a", "1"), "b": row("b", "3")}
    assert second.startswith("# Page\n\n")
    assert second.endswith("\n\nThe end.\n")


def test_refuses_a_page_without_the_marks(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="lacks the marks"):
        script.with_rows("# Page\n", {})


def test_the_page_has_the_marks(script: ModuleType) -> None:
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.with_rows(page, script.table_rows(page)) == page
