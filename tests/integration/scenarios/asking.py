"""What tests of scenarios ask of the service and of the graph."""

import pytest

from loaders.catalogue import Query


def run(served, text):
    return served.gateway.run(Query("test/scenario", "", "write", {}, {}, text))


def put(service, name, document):
    answer = service.client.put(f"/v1/scenarios/{name}", json=document)
    assert answer.status_code == 200, answer.text
    return answer.json()["revision"]


def listed(service, user="u3", **parameters):
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


def ids(document):
    return [item["item_id"] for item in document["items"]]
