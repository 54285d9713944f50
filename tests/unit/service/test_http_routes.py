import inspect
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from recsvc.recommend.engine import Engine
from recsvc.recommend.nodes import Nodes
from recsvc.recommend.query import STATED, RecommendationQuery, StatedEvidence
from recsvc.recommend.readiness import Readiness
from recsvc.service.app import create_app
from recsvc.service.documents import (
    BatchDocument,
    EvidenceAnswerDocument,
    ExplainedItemDocument,
    ModelsDocument,
    RecommendationsDocument,
    SimilarDocument,
)
from recsvc.service.export_schemas import ExportDocument
from recsvc.service.recourse_schemas import ItemRecourseDocument, RecourseDocument
from tests.conftest import key_ring
from tests.unit.service.fake_engine import VERSION, FakeEngine, FakeNodes
from tests.unit.service.fake_refresh import fake_refreshes


async def test_recommendations_have_the_defaults_of_the_contract(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    response = await client.get("/v1/users/2/recommendations")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert fake.calls == [("recommend", "2", RecommendationQuery())]


async def test_recommendations_pass_every_option_on(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    options: list[tuple[str, str | int]] = [
        ("k", 500),
        ("category", "pop"),
        ("category", "a/b ü"),
        ("exclude_seen", "false"),
        ("explain", "none"),
        ("exclude", "1"),
        ("exclude", "2"),
        ("diversity", "0.25"),
        ("without", "item:55"),
        ("without", "category:a:b/ü"),
    ]
    await client.get("/v1/users/2/recommendations", params=httpx.QueryParams(options))
    without = (("item", "55"), ("category", "a:b/ü"))
    query = RecommendationQuery(
        500, ("pop", "a/b ü"), False, "none", 0.25, ("1", "2"), without, stated=STATED
    )
    assert fake.calls == [("recommend", "2", query)]


@pytest.mark.parametrize("explain", ["none", "summary", "full"])
async def test_an_answer_is_what_the_openapi_document_says(
    client: httpx.AsyncClient, explain: str
) -> None:
    response = await client.get("/v1/users/2/recommendations", params={"explain": explain})
    answer = RecommendationsDocument.model_validate(response.json())
    assert answer.model_dump(by_alias=True, exclude_unset=True) == response.json()
    (item,) = response.json()["items"]
    assert ("explanation" in item) == (explain != "none")
    assert ("paths" in item.get("explanation", {})) == (explain == "full")


async def test_the_answer_bears_the_request_id(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/users/2/recommendations", headers={"X-Request-Id": "abc"})
    assert response.headers["X-Request-Id"] == response.json()["request_id"] == "abc"


async def test_recommendations_for_stated_evidence(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    body = {
        "evidence": [
            {"item_id": "55", "timestamp": "2001-09-09T01:46:40Z"},
            {"item_id": 89, "event": "listen", "weight": -2},
        ],
        "k": 3,
        "category": ["pop"],
        "explain": "full",
        "exclude": ["1"],
        "diversity": 0.5,
        "without": ["item:a:b", "user:7", "category:24"],
    }
    response = await client.post("/v1/recommendations", json=body)
    assert response.status_code == 200
    EvidenceAnswerDocument.model_validate(response.json())
    assert response.json()["user_id"] is None
    evidence = [
        StatedEvidence("55", "interaction", 1.0, 1e9), StatedEvidence("89", "listen", -2.0),
    ]  # fmt: skip
    without = (("item", "a:b"), ("user", "7"), ("category", "24"))
    said = frozenset({"k", "diversity"})
    query = RecommendationQuery(3, ("pop",), True, "full", 0.5, ("1",), without, stated=said)
    assert fake.calls == [("recommend_for", evidence, query)]


async def test_recommendations_for_many_users(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    body = {"user_ids": ["2", 3, "nobody"], "k": 4, "explain": "none"}
    response = await client.post("/v1/recommendations/batch", json=body)
    assert response.status_code == 200
    BatchDocument.model_validate(response.json())
    assert [answer["user_id"] for answer in response.json()["answers"]] == ["2", "3"]
    assert response.json()["unknown"] == ["nobody"]
    query = RecommendationQuery(4, explain="none", stated=frozenset({"k"}))
    assert fake.calls == [("recommend_many", ["2", "3", "nobody"], query)]


@pytest.mark.parametrize("users", [[], ["2"] * 101, [""], "2", [None]])
async def test_wrong_users_are_refused(
    client: httpx.AsyncClient, fake: FakeEngine, users: object
) -> None:
    response = await client.post("/v1/recommendations/batch", json={"user_ids": users})
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"][:2] == ["body", "user_ids"]
    assert fake.calls == []


async def test_stated_evidence_has_the_same_defaults(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    await client.post("/v1/recommendations", json={"evidence": [{"item_id": "55"}] * 1000})
    assert fake.calls[0][2] == RecommendationQuery()


async def test_recourse_is_asked_for_a_list_and_a_kind_of_event(
    client: httpx.AsyncClient, fake: FakeEngine
):
    path = "/v1/users/2/recommendations/289/recourse"
    response = await client.get(path, params={"k": 3, "event": "listen"})
    document = RecourseDocument.model_validate(response.json())
    assert document.added is not None
    assert (document.item_id, document.rank_then, document.certain) == ("289", 4, True)
    assert [each.id for each in document.added] == ["55"]
    assert fake.calls == [("recourse", "2", "289", 3, "listen")]


async def test_recourse_of_an_item_is_asked_for_many_users(
    client: httpx.AsyncClient, fake: FakeEngine
):
    response = await client.get("/v1/items/289/recourse", params={"users": 3, "k": 5})
    document = ItemRecourseDocument.model_validate(response.json())
    assert (document.users, document.listed, document.sizes) == (3, 6, {"1": 9, "2": 3})
    assert [(each.id, each.users) for each in document.items] == [("55", 7)]
    assert fake.calls == [("item_recourse", "289", 3, 5, "interaction")]
    assert (await client.get("/v1/items/289/recourse", params={"users": 51})).status_code == 422


async def test_an_export_comes_in_parts_of_one_document(
    client: httpx.AsyncClient, fake: FakeEngine
):
    response = await client.get("/v1/users/2/export")
    document = ExportDocument.model_validate(response.json())
    assert (document.user_id, document.vectors[0].vector) == ("2", [0.5, -0.25])
    assert response.headers["content-type"] == "application/json"
    assert fake.calls == [("export", "2")]


async def test_an_explanation_is_the_item_and_what_the_answer_says_about_itself(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    response = await client.get("/v1/users/2/recommendations/289/explanation")
    assert response.status_code == 200
    document = ExplainedItemDocument.model_validate(response.json())
    assert document.item_id == "289"
    assert document.user_id == "2"
    assert document.versions == {"hybrid": 3, "lightgcn": 3}
    assert document.explanation is not None
    assert document.explanation.cypher
    assert document.request_id == response.headers["X-Request-Id"]
    assert fake.calls == [("explain", "2", "289")]


@pytest.mark.parametrize("kind", ["item", "user"])
async def test_similar(client: httpx.AsyncClient, fake: FakeEngine, kind: str) -> None:
    response = await client.get(f"/v1/{kind}s/55/similar")
    assert response.status_code == 200
    SimilarDocument.model_validate(response.json())
    await client.get(f"/v1/{kind}s/55/similar", params={"k": 3, "model": "node2vec"})
    assert fake.calls == [
        (f"similar_{kind}s", "55", 10, None),
        (f"similar_{kind}s", "55", 3, "node2vec"),
    ]


async def test_models(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/models")
    waiting = {"pending": 0, "since": None, "reason": None}
    assert response.json() == {"models": [VERSION], "deletions": waiting}
    ModelsDocument.model_validate(response.json())


async def test_a_version_is_activated_and_rolled_back(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    body = {"version": 2}
    response = await client.post("/v1/models/light%2Fgcn/activate", json=body)
    assert (response.status_code, response.json()) == (200, {"versions": fake.versions})
    response = await client.post("/v1/models/hybrid/rollback")
    assert (response.status_code, response.json()) == (200, {"versions": fake.versions})
    assert fake.calls == [("activate", "light/gcn", 2), ("roll_back", "hybrid")]
    for wrong in ({}, {"version": 0}, {"version": "two"}, {"version": 2, "force": True}):
        response = await client.post("/v1/models/hybrid/activate", json=wrong)
        assert response.status_code == 422, wrong


async def test_live_asks_nothing(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    response = await client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "live"})
    assert fake.calls == []


async def test_ready(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    assert (await client.get("/health/ready")).json() == {"status": "ready", "degraded": {}}
    fake.readiness = Readiness({}, {"neo4j": "the graph database does not answer"})
    response = await client.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["degraded"] == {"neo4j": "the graph database does not answer"}
    fake.readiness = Readiness({"snapshot": "no version is active"}, {})
    response = await client.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["reasons"] == {"snapshot": "no version is active"}


async def test_the_engine_starts_and_stops_with_the_app(app: FastAPI, fake: FakeEngine) -> None:
    async with app.router.lifespan_context(app):
        assert fake.calls == [("start",)]
    assert fake.calls == [("start",), ("stop",)]


async def test_an_engine_that_cannot_start_keeps_the_app_from_starting(
    app: FastAPI, fake: FakeEngine
) -> None:
    fake.error = RuntimeError("no")
    with pytest.raises(RuntimeError):
        async with app.router.lifespan_context(app):
            pass


async def test_docs_come_with_the_service(client: httpx.AsyncClient) -> None:
    pytest.importorskip("fastapi_offline", reason="the package with Swagger UI's files")
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"docs/{asset}" in page.text
        assert (await client.get(f"/docs/{asset}")).status_code == 200
    for other in ("redoc.standalone.js", "..%2Fcore.py", "..%2F..%2F..%2Fetc%2Fpasswd"):
        assert (await client.get(f"/docs/{other}")).status_code == 404


ERRORS_OF_QUERIES: list[tuple[str, str, dict[str, Any]]] = [
    ("/v1/users/2/recommendations", "k", {"k": 0}),
    ("/v1/users/2/recommendations", "k", {"k": 501}),
    ("/v1/users/2/recommendations", "k", {"k": "ten"}),
    ("/v1/users/2/recommendations", "explain", {"explain": "all"}),
    ("/v1/users/2/recommendations", "exclude_seen", {"exclude_seen": "perhaps"}),
    ("/v1/users/2/recommendations", "category", {"category": ""}),
    ("/v1/users/2/recommendations", "exclude", {"exclude": "x" * 513}),
    ("/v1/users/2/recommendations", "kk", {"kk": 1}),
    ("/v1/items/2/similar", "k", {"k": 501}),
    ("/v1/users/2/similar", "k", {"k": 0}),
    ("/v1/users/2/similar", "model", {"model": ""}),
]


@pytest.mark.parametrize(("path", "field", "query"), ERRORS_OF_QUERIES)
async def test_a_wrong_query_is_refused_by_name(
    client: httpx.AsyncClient, fake: FakeEngine, path: str, field: str, query: dict[str, Any]
) -> None:
    response = await client.get(path, params=query)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["location"][:2] == ["query", field]
    assert fake.calls == []


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/users/2/recommendations?exclude=%FF", "exclude"),
        ("/v1/users/2/recommendations?k=1&without=item:%FF", "without"),
        ("/v1/users/2/recommendations?category=a%C3", "category"),
        ("/v1/users/2/recommendations?%FF=1", "\ufffd"),
        ("/v1/users?search=%ED%A0%80", "search"),
        ("/v1/items/2/similar?model=%80", "model"),
        ("/v1/users/2?%FF", "\ufffd"),
    ],
)
async def test_a_query_that_is_not_utf_8_is_refused(
    client: httpx.AsyncClient, fake: FakeEngine, path: str, field: str
) -> None:
    response = await client.get(path)
    assert response.status_code == 422
    expected = {"location": ["query", field], "detail": "expected percent-encoded UTF-8"}
    assert response.json()["errors"] == [expected]
    assert fake.calls == []


E55 = {"item_id": "55"}
ERRORS_OF_EVIDENCE: list[tuple[list[str | int], dict[str, Any]]] = [
    (["evidence"], {}),
    (["evidence"], {"evidence": []}),
    (["evidence"], {"evidence": [E55] * 1001}),
    (["evidence", 0, "item_id"], {"evidence": [{"event": "view"}]}),
    (["evidence", 0, "item_id"], {"evidence": [{"item_id": ""}]}),
    (["evidence", 0, "item_id"], {"evidence": [{"item_id": 1.5}]}),
    (["evidence", 0, "item_id"], {"evidence": [{"item_id": 9007199254740993.0}]}),
    (["exclude", 0], {"evidence": [E55], "exclude": [9007199254740993.0]}),
    (["evidence", 0, "event"], {"evidence": [E55 | {"event": "x" * 101}]}),
    (["evidence", 0, "item_id"], {"evidence": [{"item_id": True}]}),
    (["evidence", 1, "item_id"], {"evidence": [E55, {"item_id": "x" * 513}]}),
    (["evidence", 0, "event"], {"evidence": [E55 | {"event": ""}]}),
    (["evidence", 0, "weight"], {"evidence": [E55 | {"weight": "1"}]}),
    (["evidence", 0, "weight"], {"evidence": [E55 | {"weight": 1e300}]}),
    (["evidence", 0, "timestamp"], {"evidence": [E55 | {"timestamp": 1}]}),
    (["k"], {"evidence": [E55], "k": True}),
    (["k"], {"evidence": [E55], "k": "10"}),
    (["k"], {"evidence": [E55], "k": None}),
    (["category"], {"evidence": [E55], "category": "pop"}),
    (["explain"], {"evidence": [E55], "explain": "all"}),
    (["without", 0], {"evidence": [E55], "without": ["1"]}),
    (["without", 0], {"evidence": [E55], "without": ["song:1"]}),
    (["without", 1], {"evidence": [E55], "without": ["user:1", "item:"]}),
    (["diversity"], {"evidence": [E55], "diversity": 1.01}),
    (["diversity"], {"evidence": [E55], "diversity": -0.1}),
]


@pytest.mark.parametrize(("location", "body"), ERRORS_OF_EVIDENCE)
async def test_wrong_evidence_is_refused_by_location(
    client: httpx.AsyncClient, fake: FakeEngine, location: list[str | int], body: dict[str, Any]
) -> None:
    response = await client.post("/v1/recommendations", json=body)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["location"] == ["body", *location]
    assert fake.calls == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_weight_is_finite(client: httpx.AsyncClient, number: str) -> None:
    response = await client.post(
        "/v1/recommendations",
        content=f'{{"evidence": [{{"item_id": "55", "weight": {number}}}]}}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == ["body", "evidence", 0, "weight"]


@pytest.mark.parametrize(("real", "fake"), [(Engine, FakeEngine), (Nodes, FakeNodes)])
def test_the_fake_is_called_as_the_engine_is(real: type, fake: type) -> None:
    for name, method in inspect.getmembers(real, inspect.isfunction):
        # What no route calls, such as `estimate`, the fake need not have.
        if not name.startswith("_") and hasattr(fake, name):
            taken = [list(inspect.signature(f).parameters) for f in (method, getattr(fake, name))]
            assert taken[0] == taken[1], name


async def test_services_of_one_process_share_routes_and_no_engine(
    app: FastAPI, client: httpx.AsyncClient, fake: FakeEngine, tmp_path: Path
) -> None:
    """To make the routes takes longer than all else of a service."""
    other = FakeEngine()
    second = create_app(other.engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path))
    shared = [route for route in second.routes if any(route is each for each in app.routes)]
    assert len(shared) > 10
    assert len(second.routes) == len(app.routes)  # each has its own for what it was given
    await client.get("/v1/users/2/recommendations")
    assert (len(fake.calls), other.calls) == (1, [])
