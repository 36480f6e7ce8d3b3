"""Options for all Python tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long, and only those")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --long the long tests are left out, with it the others: neither counts as skipped."""
    wants_long = bool(config.getoption("--long"))
    chosen = [item for item in items if (item.get_closest_marker("long") is not None) == wants_long]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen
