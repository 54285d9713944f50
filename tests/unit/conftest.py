"""What unit tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recsvc.revisions import Revisions


@pytest.fixture
def revisions(tmp_path: Path) -> Iterator[Revisions]:
    revisions = Revisions(tmp_path / "revisions")
    yield revisions
    revisions.close()
