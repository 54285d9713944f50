"""What unit tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from recsvc.recommend.write_counters import WriteCounters


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """A command that ran in a test leaves its log, on an output that is closed by then."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def write_counters(tmp_path: Path) -> Iterator[WriteCounters]:
    write_counters = WriteCounters(tmp_path / "revisions")
    yield write_counters
    write_counters.close()
