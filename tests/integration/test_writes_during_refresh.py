"""Events are posted all the while a refresh works: none is refused, none waits for long."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from loaders.catalogue import catalogue
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings
from recsvc.signals import metapath
from tests.conftest import QUICK, Served, Service
from tests.integration.test_validation_paths import Undeclared

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
LONGEST_SECONDS = 1.5
LONGEST_PART = 1 / 3
"""Of the refresh, where the machine is slow."""
TRIES = 3
"""Where it stalls; what keeps writers waiting does so each time."""


class SteadyWriter(threading.Thread):
    """Posts an event of a user and an item again and again."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.client = service.client
        self.ended = threading.Event()
        self.statuses: list[int] = []
        self.longest = 0.0

    def run(self) -> None:
        while not self.ended.wait(0.03):
            number = len(self.statuses)
            event = {
                "event_id": f"{self.name}-{number}", "user_id": f"u{number % 240}",
                "item_id": f"i{number * 7 % 180}",
            }  # fmt: skip
            began = time.monotonic()
            self.statuses.append(self.client.post("/v1/events", json=[event]).status_code)
            self.longest = max(self.longest, time.monotonic() - began)


@pytest.mark.parametrize("declared", [True, pytest.param(False, marks=pytest.mark.long)])
def test_no_event_is_refused_while_a_refresh_works(
    served: Served, service: Service, declared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not declared:  # one path whose file only Neo4j can run
        mixed = Undeclared(catalogue())
        for name, query in catalogue().items():
            mixed[name] = query if name != "metapaths/item_user_item" else replace(query, walk=None)
        monkeypatch.setattr(metapath, "catalogue", lambda: mixed)
    lengths, waits = _noted_transactions(monkeypatch), list[tuple[float, float]]()
    for _ in range(TRIES):
        lengths.clear()
        writer = SteadyWriter(service)
        writer.start()
        began = time.monotonic()
        try:
            refresh(
                served.gateway, REFRESH_OPTIONS, load_settings().events, home=served.home,
                from_scratch=True, force=True,
            )  # fmt: skip
        finally:
            writer.ended.set()
            writer.join()
        longest = max(LONGEST_SECONDS, LONGEST_PART * (time.monotonic() - began))
        assert len(writer.statuses) > 3
        assert set(writer.statuses) == {200}
        waits.append((max(writer.longest, *lengths), longest))
        if waits[-1][0] < longest:
            return
    pytest.fail(f"each time an event waited for too long: {waits}")


def _noted_transactions(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each transaction of the refresh took that can keep a writer waiting."""
    from loaders.gateway import Neo4jGateway

    lengths: list[float] = []
    managed = Neo4jGateway._managed

    def noted(self: Any, work: Any, *, writes: bool, **more: Any) -> Any:
        began = time.monotonic()
        found = managed(self, work, writes=writes, **more)
        if writes:
            lengths.append(time.monotonic() - began)
        return found

    monkeypatch.setattr(Neo4jGateway, "_managed", noted)
    return lengths
