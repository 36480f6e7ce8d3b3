"""Fixtures for tests that speak to the built hub as its clients do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub import ROOT, Hub

# Fixtures that several files use.
from played_venues import authority, follow  # noqa: F401

CAPTURES = ROOT.parent / "shared" / "captures"


@pytest.fixture
def start_hub() -> Iterator[Callable[..., Hub]]:
    """Starts hubs with the given settings: `start_hub({"sources.synthetic.seed": 7})`.

    Those that still run at the end of the test are stopped by SIGTERM and must end with status 0.
    """
    started: list[Hub] = []

    def start(settings: dict[str, object] | None = None, *arguments: str, **options: object) -> Hub:
        hub = Hub(settings or {}, arguments, **options)  # type: ignore[arg-type]
        hub.start()
        started.append(hub)
        return hub

    yield start
    # All are stopped before the first complaint, so that nothing is left running.
    ended = []
    for hub in started:
        try:
            ended.append((hub, hub.stop()))
        except AssertionError as failure:
            ended.append((hub, str(failure)))
    for hub, status in ended:
        assert status == 0, f"the hub ended with {status}\n{hub.log_end}"


@pytest.fixture
def hub(start_hub: Callable[..., Hub], request: pytest.FixtureRequest) -> Hub:
    """A hub with the synthetic source; `@pytest.mark.settings({...})` on the test adds to its settings."""
    marker = request.node.get_closest_marker("settings")
    return start_hub(marker.args[0] if marker else {})


@pytest.fixture(scope="session")
def captures() -> Path:
    """The recorded venue traffic, which lies beside the repository."""
    if not CAPTURES.is_dir():
        pytest.skip("the recorded captures are not there (../shared/captures)")
    return CAPTURES
