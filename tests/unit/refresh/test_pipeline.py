"""What a refresh refuses before it takes the lease."""

from pathlib import Path
from typing import Any, cast

import pytest

from recsvc.errors import TrainingError
from recsvc.refresh.parts import RefreshOptions
from recsvc.refresh.pipeline import refresh


def test_a_device_that_is_not_there_is_refused_before_anything(tmp_path: Path) -> None:
    no_graph = cast(Any, None)
    with pytest.raises(TrainingError, match="device 'tpu'"):
        refresh(no_graph, RefreshOptions(device="tpu"), {}, home=tmp_path)
    assert list(tmp_path.iterdir()) == []
