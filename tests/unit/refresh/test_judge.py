"""What the gate does where the log of outcomes cannot be read."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loaders.errors import LeaseLostError
from recsvc.refresh import judge


class BrokenGateway:
    """A graph whose queries fail."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, *_: Any, **__: Any) -> Any:
        raise self.error


def by_log(error: Exception) -> dict[str, Any]:
    """What is noted where reading the log fails."""
    noted: dict[str, Any] = {}
    record = SimpleNamespace(note=noted.update)
    run = SimpleNamespace(
        log=object(), gateway=BrokenGateway(error), record=record, step=lambda _: nullcontext()
    )
    some = cast(Any, object())
    assert vars(judge)["_by_log"](run, some, some, some) == []
    return noted


def test_a_log_that_cannot_be_read_is_noted_and_ends_no_refresh() -> None:
    # A text that is not ours may tell of users.
    assert by_log(ValueError("in pieces")) == {"by_log_error": "ValueError"}
    assert by_log(OSError("in pieces")) == {"by_log_error": "OSError: in pieces"}


def test_a_lost_lease_ends_it() -> None:
    with pytest.raises(LeaseLostError):
        by_log(LeaseLostError("another refresh took over"))
