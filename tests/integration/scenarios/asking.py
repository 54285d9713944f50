"""What tests of scenarios ask of the service and of the graph."""

from typing import Any, LiteralString

import pytest

from loaders.catalogue import Query
from loaders.gateway import Row
from tests.conftest import Served, Service

Shop = dict[str, dict[str, Any]]
"""The properties of items, by id."""


def run(served: Served, text: LiteralString) -> list[Row]:
    return served.gateway.run(Query("test/scenario", "", "write", {}, {}, text))


def put(service: Service, name: str, document: dict[str, Any]) -> int:
    answer = service.client.put(f"/v1/scenarios/{name}", json=document)
    assert answer.status_code == 200, answer.text
    return answer.json()["revision"]


def listed(service: Service, user: str = "u3", **parameters: Any) -> dict[str, Any]:
    answer = service.client.get(f"/v1/users/{user}/recommendations", params=parameters)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["degraded"] == []
    for item in document["items"]:
        assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4, abs=1e-6)
        explanation = item["explanation"]
        parts = [c["value"] for c in explanation["contributions"]] + [explanation["remainder"]]
        assert sum(parts) == pytest.approx(item["score"], rel=1e-4, abs=1e-6)
    return document


def ids(document: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in document["items"]]
