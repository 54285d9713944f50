"""Experiments over HTTP."""

from typing import Any

import httpx
import pytest

from recsvc.experiments.document import Experiment
from recsvc.service.experiment_schemas import (
    ExperimentsDocument,
    ResultsDocument,
    StoredExperimentDocument,
)
from tests.unit.service.fake_engine import DOCUMENT, FakeEngine

BODY: dict[str, Any] = {
    "variants": [{"name": "now", "share": 0.5}, {"name": "before", "share": 0.5, "version": 2}]
}


async def test_an_experiment_is_put_read_stopped_and_deleted(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    answers = [
        await client.put("/v1/experiments/blend", json=BODY),
        await client.get("/v1/experiments/blend"),
        await client.post("/v1/experiments/blend/stop", json={"promote": "before"}),
    ]
    found = [StoredExperimentDocument.model_validate(each.json()) for each in answers]
    assert [each.promoted for each in found] == [None, None, "before"]
    assert fake.calls == [
        ("put", "blend", DOCUMENT, None), ("find", "blend"), ("end", "blend", "before"),
    ]  # fmt: skip
    assert type(fake.calls[0][2]) is Experiment
    assert (await client.delete("/v1/experiments/blend")).status_code == 204
    listed = ExperimentsDocument.model_validate((await client.get("/v1/experiments")).json())
    assert [each.name for each in listed.experiments] == ["blend"]


async def test_the_body_of_a_stop_may_be_left_out(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    answer = await client.post("/v1/experiments/blend/stop")
    assert (answer.status_code, fake.calls) == (200, [("end", "blend", None)])


async def test_results_are_what_the_openapi_document_says(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    asked = {"kind": "purchase", "segment": "country"}
    answer = await client.get("/v1/experiments/blend/results", params=asked)
    found = ResultsDocument.model_validate(answer.json())
    (result,) = found.results
    assert (found.left_out, found.last_days) == (0, None)
    assert [(each.kind, each.name, each.number) for each in found.changed] == [
        ("scenario", "front", 4)
    ]
    assert result.value == "SE"
    now, before = result.variants
    assert now.difference is None
    assert before.difference is not None
    assert 0.0 < before.difference.low < before.difference.mean == pytest.approx(0.02)
    assert not result.mismatch
    assert fake.calls == [("results", "blend", "purchase", "country")]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"variants": BODY["variants"][:1]}, ["body", "variants"]),
        ({"variants": [{"name": "a", "share": 0.5}] * 2}, ["body"]),
        ({"variants": [{"name": "a", "share": 0.6}, {"name": "b", "share": 0.5}]}, ["body"]),
        ({"variants": [{"name": "a", "share": 0}, {"name": "b", "share": 1}]},
         ["body", "variants", 0, "share"]),
        ({**BODY, "effect": 0}, ["body", "effect"]),
        ({**BODY, "effect": 1e-200}, ["body", "effect"]),
        ({**BODY, "shares": [1]}, ["body", "shares"]),
    ],
)  # fmt: skip
async def test_what_cannot_be_run_is_refused_with_its_place(
    client: httpx.AsyncClient, fake: FakeEngine, body: dict[str, Any], where: list[str | int]
) -> None:
    answer = await client.put("/v1/experiments/blend", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["location"] == where
    assert fake.calls == []


@pytest.mark.parametrize("name", ["%20", "%20%09", "%C2%85", "%E2%80%83"])
@pytest.mark.parametrize(
    ("place", "body"), [("/v1/experiments", BODY), ("/v1/scenarios", {"k": 3})]
)
async def test_nothing_is_stored_under_a_name_of_blanks(
    client: httpx.AsyncClient, fake: FakeEngine, place: str, body: dict[str, Any], name: str
) -> None:
    refused = await client.put(f"{place}/{name}", json=body)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["location"] == ["path", "name"]
    assert "blanks only" in error["detail"]
    assert fake.calls == []
    assert (await client.get(f"{place}/{name}")).status_code == 200
    assert (await client.delete(f"{place}/{name}")).status_code == 204
